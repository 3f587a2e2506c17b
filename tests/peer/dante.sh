#!/bin/bash
# Builds Dante's server with GSSAPI, which Debian's own package of it is built without, from
# Debian's source package, and prints the path of the program. What was built is kept in
# ${XDG_CACHE_HOME:-~/.cache}/socksify-tests and taken from there the next time.
#
# The source package comes from wherever the machine's own packages do: its lists of sources are
# read anew with "deb-src" in the place of "deb", in a folder of this script's own.
set -eu

cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/socksify-tests
program=$cache/dante/sbin/sockd
if [ -x "$program" ]; then
    echo "$program"
    exit 0
fi
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # another run may be building it
if [ -x "$program" ]; then
    echo "$program"
    exit 0
fi
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
{
    mkdir -p "$work/sources.list.d" "$work/lists/partial"
    : >"$work/sources.list"
    if [ -f /etc/apt/sources.list ]; then
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$work/sources.list"
    fi
    for list in /etc/apt/sources.list.d/*.list; do
        [ ! -f "$list" ] || sed -n 's/^deb /deb-src /p' "$list" \
            >"$work/sources.list.d/${list##*/}"
    done
    for list in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$list" ] || sed 's/^Types:.*/Types: deb-src/' "$list" \
            >"$work/sources.list.d/${list##*/}"
    done
    own=(-o Dir::Etc::sourcelist="$work/sources.list"
        -o Dir::Etc::sourceparts="$work/sources.list.d"
        -o Dir::State::lists="$work/lists" -o APT::Sandbox::User=root)
    apt-get "${own[@]}" -qq update
    cd "$work"
    apt-get "${own[@]}" -qq --download-only source dante
    dpkg-source -x dante_*.dsc source
    cd source
    # What the clients' library and the other methods need is left out. Debian's patches are newer
    # than the files autoconf made, which are good as they are.
    ./configure --prefix="$cache/dante.new" --with-gssapi --without-upnp --without-libwrap \
        --without-ldap --without-sasl --without-krb5 --without-pac --without-bsdauth \
        --without-pam --disable-client --disable-preload
    as_is=(ACLOCAL=: AUTOCONF=: AUTOMAKE=: AUTOHEADER=:)
    make -j"$(nproc)" "${as_is[@]}"
    make "${as_is[@]}" install
} >"$cache/build.log" 2>&1 || {
    tail -n 40 "$cache/build.log" >&2
    exit 1
}
rm -rf "$cache/dante"
mv "$cache/dante.new" "$cache/dante"
echo "$program"
