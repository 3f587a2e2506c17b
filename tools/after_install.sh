#!/bin/sh
# after_install.sh LIBDIR: run by "meson install" when it installs on this machine (no DESTDIR).
# The dynamic loader finds libraries by its cache, which only root can renew.
set -eu

PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" = 0 ] && command -v ldconfig >/dev/null; then
    ldconfig
    if ! ldconfig -p | grep -qF "$1/libsocks5client.so.0"; then
        echo "The dynamic loader does not search $1. Programs find the library after:"
        echo "    echo $1 >/etc/ld.so.conf.d/socks5client.conf && ldconfig"
    fi
fi
# Root's log must not be in the way of the next installation by the owner of the build directory.
log=$MESON_BUILD_ROOT/meson-logs/install-log.txt
[ "$(id -u)" != 0 ] || [ ! -f "$log" ] || chown --reference="$MESON_BUILD_ROOT/build.ninja" "$log"
