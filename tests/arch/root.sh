#!/bin/bash
# root.sh RELEASE ARCHITECTURE PACKAGE...: makes a folder with the packages of another Debian release or
# architecture and their dependencies, and prints its path. The packages are unpacked, not configured. No
# program of the root runs, so that no emulation is needed and it takes seconds. This is enough for headers,
# libraries, and programs that need no configuration.
#
# The packages come from the machine's Debian mirror. The root is kept in
# ${XDG_CACHE_HOME:-~/.cache}/socksify-tests and reused for a week.
set -euo pipefail

release=$1 arch=$2
shift 2
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/socksify-tests
key=$(echo "$release $arch $*" | sha256sum | cut -c 1-12)
root=$cache/unpacked-$release-$arch-$key
mkdir -p "$cache/debs"
exec 9>"$cache/lock-unpacked-$release-$arch"
flock 9 # another run may be making it
if [ -n "$(find "$root" -maxdepth 0 -mtime -7 2>/dev/null)" ]; then
    echo "$root"
    exit 0
fi
work=$(mktemp -d "$cache/unpacked.XXXXXX")
trap 'rm -rf "$work"' EXIT

# In the background, then "wait": with "||" after the subshell, "set -e" would have no effect in it.
(
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root"
    : >"$work/status"
    own=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    apt-get indextargets 'Created-By: Packages' --format '$(RELEASE) $(REPO_URI) $(COMPONENT)' |
        awk -v own="$own" -v release="$release" \
            '($1 == own || $1 == "stable") && $3 == "main" { print "deb", $2, release, "main" }' |
        sort -u >"$work/sources.list"
    [ -s "$work/sources.list" ] || {
        echo "no Debian mirror of $own is among the machine's package sources"
        exit 1
    }
    options=(-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status"
        -o Dir::State::extended_states="$work/extended"
        -o Dir::Cache::archives="$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
        -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o APT::Sandbox::User=root
        -o APT::Install-Recommends=false -o Debug::NoLocking=true)
    apt-get "${options[@]}" -qq update
    cp -l "$cache"/debs/*_{"$arch",all}.deb "$work/archives" 2>/dev/null || true
    apt-get "${options[@]}" -qq -y --download-only install "$@"
    # Only these versions: the folder may also hold older ones.
    mkdir -p "$work/chosen/partial"
    apt-get "${options[@]}" -o Dir::Cache::archives="$work/chosen" -qq -y --print-uris install "$@" |
        awk '{ print $2 }' >"$work/names"
    # Directories that must exist before the packages are unpacked.
    for folder in bin sbin lib; do
        mkdir -p "$work/root/usr/$folder"
        ln -s "usr/$folder" "$work/root/$folder"
    done
    mkdir -p "$work"/root/{dev,etc,proc,run,sys,tmp,mnt}
    while read -r name; do
        dpkg-deb --fsys-tarfile "$work/archives/$name" |
            tar -C "$work/root" -x --keep-directory-symlink
    done <"$work/names"
    ln -f "$work"/archives/*.deb "$cache/debs"
) >"$work/log" 2>&1 &
wait $! || {
    tail -n 40 "$work/log" >&2
    exit 1
}
find "$cache" -maxdepth 1 -name "unpacked-$release-$arch-*" -mtime +8 -exec rm -rf {} +
rm -rf "$root"
mv "$work/root" "$root"
touch "$root"
echo "$root"
