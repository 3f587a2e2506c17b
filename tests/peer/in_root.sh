#!/bin/bash
# in_root.sh ROOT COMMAND...: runs a command as root in a root file system, in the current directory.
#
# The root file system is not changed: an overlay in memory is above it. The project's folder, the cache of the
# tests and that of ccache have the same paths as outside. The network is the machine's.
set -eu
here=$(dirname "$(readlink -f "$0")")
root=$1
shift
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}
mkdir -p "$cache/ccache" "$cache/socksify-tests"
# shellcheck disable=SC2016
exec "$here/../isolated.py" bash -euc '
    root=$1 folder=$2 cache=$3 here=$4
    shift 4
    layer=$(mktemp -d)
    mount -t tmpfs -o mode=755 layer "$layer"
    mkdir "$layer/upper" "$layer/work" "$layer/root"
    mount -t overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" layer "$layer/root"
    for path in /proc /sys /dev "$(readlink -f "$here/../..")" "$cache/ccache" "$cache/socksify-tests"; do
        mkdir -p "$layer/root$path"
        mount --rbind "$path" "$layer/root$path"
    done
    cp -L /etc/resolv.conf /etc/hosts "$layer/root/etc/"
    exec chroot "$layer/root" env -i --chdir="$folder" PATH=/usr/lib/ccache:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root LANG=C.UTF-8 TERM=dumb CCACHE_DIR="$cache/ccache" CI="${CI-}" "$@"
' in_root "$root" "$PWD" "$cache" "$here" "$@"
