#!/bin/bash
# source.sh NAME [RELEASE]: unpacks a Debian source package and prints the folder. The folder is kept in
# ${XDG_CACHE_HOME:-~/.cache}/socksify-tests and reused the next time.
#
# The source package comes from the same place as the machine's packages. The machine's lists of sources are
# copied, with "deb-src" instead of "deb" and the name of RELEASE instead of the machine's, and apt reads the
# copies.
set -eu

name=$1
own=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
renamed="s/\\b$own\\b/${2:-$own}/g"
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/socksify-tests
source=$cache/$name-source
mkdir -p "$cache"
exec 9>"$cache/lock-$name-source"
flock 9 # another run may be fetching it
if [ -d "$source" ]; then
    echo "$source"
    exit 0
fi
work=$(mktemp -d "$cache/source.XXXXXX")
trap 'rm -rf "$work"' EXIT
{
    mkdir -p "$work/sources.list.d" "$work/lists/partial"
    : >"$work/sources.list"
    if [ -f /etc/apt/sources.list ]; then
        sed -n "s/^deb /deb-src /;T;${renamed};p" /etc/apt/sources.list >"$work/sources.list"
    fi
    for list in /etc/apt/sources.list.d/*.list; do
        [ ! -f "$list" ] || sed -n "s/^deb /deb-src /;T;${renamed};p" "$list" \
            >"$work/sources.list.d/${list##*/}"
    done
    for list in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$list" ] || sed "s/^Types:.*/Types: deb-src/;/^Suites:/$renamed" "$list" \
            >"$work/sources.list.d/${list##*/}"
    done
    options=(-o Dir::Etc::sourcelist="$work/sources.list"
        -o Dir::Etc::sourceparts="$work/sources.list.d"
        -o Dir::State::lists="$work/lists" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" -qq update
    cd "$work"
    apt-get "${options[@]}" -qq --download-only source "$name"
    dpkg-source -x "$name"_*.dsc source
} >"$cache/source.log" 2>&1 || {
    tail -n 40 "$cache/source.log" >&2
    exit 1
}
mv "$work/source" "$source"
echo "$source"
