#!/bin/bash
# Builds Dante's server with GSSAPI from Debian 12's source package (Debian 13 has none) and prints the path of
# the program. Debian's package of it is built without GSSAPI. The build is kept in
# ${XDG_CACHE_HOME:-~/.cache}/socksify-tests and reused the next time.
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
source=$("$(dirname "$(readlink -f "$0")")/source.sh" dante bookworm)
{
    cp -a "$source" "$work/source"
    cd "$work/source"
    # The client library and the other methods are left out, with their dependencies. Debian's patches are newer
    # than the files that autoconf made; "as_is" keeps make from generating these files again.
    # Newer compilers reject some C of 2014.
    permissive=-fpermissive
    gcc $permissive -Werror -x c -c -o /dev/null /dev/null || permissive=
    ./configure CFLAGS="-O2 $permissive" --prefix="$cache/dante.new" --with-gssapi --without-upnp --without-libwrap \
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
