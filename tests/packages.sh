# Sourced. install_packages NAME... installs those of the Debian packages that are missing. Services
# in them are not started. Root is needed only if a package is missing.
install_packages()
{
    local name missing=() as_root=() log status=0
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
            missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        as_root=(sudo)
        if ! command -v sudo >/dev/null || ! sudo true; then
            echo "ask an administrator to install: ${missing[*]}" >&2
            return 1
        fi
    fi
    echo "installing ${#missing[@]} package(s) and their dependencies: ${missing[*]}"
    local guard=/usr/sbin/policy-rc.d made=
    if [ ! -e "$guard" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$guard" >/dev/null &&
            "${as_root[@]}" chmod 755 "$guard" && made=yes
    fi
    log=$(mktemp)
    # A failure of "update" is shown. It does not count if "install" finds what it needs.
    "${as_root[@]}" apt-get update -qq >"$log" 2>&1 || cat "$log" >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 || status=$?
    if [ "$status" != 0 ]; then
        cat "$log" >&2
        echo "could not install: ${missing[*]}" >&2
    fi
    rm -f "$log"
    [ -z "$made" ] || "${as_root[@]}" rm -f "$guard"
    return "$status"
}
