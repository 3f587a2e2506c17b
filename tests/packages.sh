# Sourced: install_packages NAME... installs what is missing of Debian's packages, without starting
# the services among them. Needs root only when something is missing.
install_packages()
{
    local name missing=() as_root=()
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
            missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing ${missing[*]}"
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    local guard=/usr/sbin/policy-rc.d made=
    if [ ! -e "$guard" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$guard" >/dev/null &&
            "${as_root[@]}" chmod 755 "$guard" && made=yes
    fi
    local result=0
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || result=$?
    [ -z "$made" ] || "${as_root[@]}" rm -f "$guard"
    return "$result"
}
