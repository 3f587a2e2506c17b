#!/bin/sh
# after_install.sh LIBDIR: "meson install" runs this when it installs on this machine (no DESTDIR).
# It renews the cache by which the dynamic loader finds libraries. Only root can do that.
set -eu

PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" = 0 ] && command -v ldconfig >/dev/null; then
    ldconfig
    if ! ldconfig -p | grep -qF "$1/libsocks5client.so.0"; then
        echo "The dynamic loader does not search $1. Programs find the library after:"
        echo "    echo $1 >/etc/ld.so.conf.d/socks5client.conf && ldconfig"
    fi
fi
# A log that belongs to root would make the next installation by the owner of the build directory fail.
log=$MESON_BUILD_ROOT/meson-logs/install-log.txt
[ "$(id -u)" != 0 ] || [ ! -f "$log" ] || chown --reference="$MESON_BUILD_ROOT/build.ninja" "$log"
