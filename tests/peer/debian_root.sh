#!/bin/bash
# debian_root.sh RELEASE ARCH [PACKAGE...] prints the path of a minimal Debian root directory with
# the packages installed: debian_root.sh trixie amd64 gcc libc6-dev
#
# debootstrap makes the root from the machine's Debian sources, with the name of the release replaced. apt works
# in it as it does outside: the sources, their keys, the preferences, the Acquire settings (for example proxies),
# resolv.conf and hosts are copied.
#
# Roots are kept in ${XDG_CACHE_HOME:-~/.cache}/socksify-tests/roots for a week. They must not be changed: use
# one as the lower layer of an overlay, or copy it. A root with packages starts as a copy of the one without.
# The .deb files of all roots are kept in socksify-tests/debs.
#
# For another architecture than the machine's, the kernel must be able to run programs of that architecture.
set -eu

if [ $# -lt 2 ]; then
    echo "usage: debian_root.sh RELEASE ARCH [PACKAGE...]" >&2
    exit 2
fi
if [ "$(id -u)" != 0 ]; then
    echo "debian_root.sh: only root can make a root directory" >&2
    exit 1
fi
release=$1
arch=$2
shift 2

here=$(readlink -f "$0")
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/socksify-tests
roots=$cache/roots
debs=$cache/debs
week=$((7 * 24 * 3600))

# Prints the newest root that is less than a week old.
current()
{
    local path made newest=
    for path in "$roots/$key".[0-9]*; do
        made=${path##*.}
        [ -d "$path/etc" ] && [ $(($(date +%s) - made)) -lt "$week" ] && newest=$path
    done
    [ -n "$newest" ] && echo "$newest"
}

# Removes the roots that no run can still use: those that are a day older than a week.
remove_old()
{
    local path made
    for path in "$roots/$key".[0-9]*; do
        made=${path##*.}
        [ ! -d "$path" ] || [ $(($(date +%s) - made)) -lt $((week + 24 * 3600)) ] ||
            rm -rf --one-file-system "$path"
    done
}

# Prints the machine's Debian sources. With "sources" it prints them for RELEASE as apt reads them, and with
# "bootstrap" the mirror, the keyring and the components for debootstrap, one per line.
machine_sources()
{
    python3 - "$1" "$release" <<'PYTHON'
import glob, re, sys

what, release = sys.argv[1:]
with open("/etc/os-release", encoding="utf-8") as f:
    own = re.search(r"^VERSION_CODENAME=\W?(\w+)", f.read(), re.M)
own = own.group(1) if own else "stable"


def stanzas():
    """Every source as deb822 fields, including the sources in one-line style."""
    for path in ["/etc/apt/sources.list"] + sorted(glob.glob("/etc/apt/sources.list.d/*.list")):
        try:
            text = open(path, encoding="utf-8").read()
        except FileNotFoundError:
            continue
        for line in text.splitlines():
            m = re.match(r"\s*deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
            if m:
                options = dict(re.findall(r"([\w-]+)=(\S+)", m.group(1) or ""))
                yield {"uris": m.group(2), "suites": m.group(3), "components": m.group(4).strip(),
                       **{k.lower(): v for k, v in options.items()}}
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")):
        text = re.sub(r"^#.*\n", "", open(path, encoding="utf-8").read(), flags=re.M)
        for block in re.split(r"\n\s*\n", text):
            fields = {k.lower(): v.strip() for k, v in
                      re.findall(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", block, re.M)}
            if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
                yield fields


def renamed(suite):
    """The suite with RELEASE in place of the machine's release or "stable". None for other repositories."""
    m = re.fullmatch(r"(?:%s|stable)((?:-updates|-security)?/?)" % own, suite)
    return m and release + m.group(1)


def found():
    for fields in stanzas():
        suites = [s for s in map(renamed, fields.get("suites", "").split()) if s]
        uris = [u for u in fields.get("uris", "").split() if not u.startswith("cdrom:")]
        if suites and uris:
            yield uris, suites, fields


every = list(found())
base = [(u, s, f) for u, s, f in every if release in s]
if not base:
    sys.exit("debian_root.sh: the machine has no source of Debian's for " + own)
if what == "bootstrap":
    (uri, *_), _, fields = base[0]
    signed = fields.get("signed-by", "").split()
    print(uri)
    print("none" if fields.get("trusted") == "yes" else
          signed[0] if signed and signed[0].startswith("/") else
          "/usr/share/keyrings/debian-archive-keyring.gpg")
    print(",".join(fields.get("components", "main").split()))
else:
    for uris, suites, fields in every:
        print("Types: deb\nURIs: %s\nSuites: %s" % (" ".join(uris), " ".join(suites)))
        for field, name in (("components", "Components"), ("signed-by", "Signed-By"),
                            ("trusted", "Trusted"),
                            ("check-valid-until", "Check-Valid-Until")):
            if fields.get(field):
                print("%s: %s" % (name, fields[field]))
        print()
PYTHON
}

# Prints the Acquire settings of the machine that differ from apt's defaults, and proxies of the environment.
acquire_settings()
{
    printf 'Dir::Etc::parts "/dev/null";\nDir::Etc::main "/dev/null";\n' >"$work/no.conf"
    APT_CONFIG=$work/no.conf apt-config dump >"$work/defaults"
    apt-config dump | grep '^Acquire' | grep -v '::IndexTargets' | grep -vxF -f "$work/defaults" || true
    local scheme proxy
    for scheme in http https; do
        proxy=${scheme}_proxy
        [ -z "${!proxy:-}" ] || echo "Acquire::$scheme::Proxy \"${!proxy}\";"
    done
}

# Configures apt in the root at $1 to reach the mirrors as the machine does.
configure_apt()
{
    local root=$1 file settings=$1/etc/apt/apt.conf.d/80machine
    rm -f "$root/etc/apt/sources.list"
    machine_sources sources >"$root/etc/apt/sources.list.d/debian.sources"
    acquire_settings >"$settings"
    if grep -q '^URIs:.*https:' "$root/etc/apt/sources.list.d/debian.sources"; then
        # The certificates that apt trusts outside. The package ca-certificates is not installed in the root.
        cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/apt/ca-certificates.crt"
        echo 'Acquire::https::CaInfo "/etc/apt/ca-certificates.crt";' >>"$settings"
    fi
    while read -r file; do # the keys of the sources, and programs that detect proxies
        [ ! -f "$file" ] || [ -e "$root$file" ] || install -D "$file" "$root$file"
    done < <(sed -n 's/^Signed-By: //p' "$root/etc/apt/sources.list.d/debian.sources"
        sed -n 's/.*Proxy-Auto-Detect "\(.*\)";/\1/p' "$settings")
    for file in auth.conf auth.conf.d preferences preferences.d trusted.gpg trusted.gpg.d; do
        [ ! -e "/etc/apt/$file" ] || cp -rn "/etc/apt/$file" "$root/etc/apt/"
    done
}

# Copies resolv.conf and hosts, which may have changed since the root was made.
refresh_names()
{
    local file
    for file in resolv.conf hosts; do
        cmp -s "/etc/$file" "$1/etc/$file" || cp -L "/etc/$file" "$1/etc/$file"
    done
}

bootstrap() # ROOT
{
    local from
    mapfile -t from < <(machine_sources bootstrap)
    [ ${#from[@]} = 3 ] || return 1
    local options=(--variant=minbase --arch="$arch" --components="${from[2]}"
        --cache-dir="$work/debs")
    if [ "${from[1]}" = none ]; then
        options+=(--no-check-gpg)
    else
        options+=(--keyring="${from[1]}")
    fi
    local proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "$proxy" ] || [ "$proxy" = DIRECT ] || export http_proxy=$proxy
    # dpkg need not wait for the disk: an incomplete root is discarded.
    mkdir -p "$1/etc/dpkg/dpkg.cfg.d"
    echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/hasty"
    debootstrap "${options[@]}" "$release" "$1" "${from[0]}"
    rm -f "$1/etc/dpkg/dpkg.cfg.d/hasty" "$1"/var/cache/apt/archives/*.deb
    configure_apt "$1"
    refresh_names "$1"
    apt_inside "$1" dist-upgrade
}

# Updates the lists of the root at $1 and runs apt-get with the rest of the arguments in it.
# No service is started. Downloaded packages are stored in $work/debs.
apt_inside()
{
    local root=$1 guard=$1/usr/sbin/policy-rc.d
    shift
    printf '#!/bin/sh\nexit 101\n' >"$guard"
    chmod 755 "$guard"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=755 run "$root/run"
    mount --bind "$work/debs" "$root/var/cache/apt/archives"
    local inside=(chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Options::=--force-unsafe-io)
    "${inside[@]}" update
    "${inside[@]}" -y --no-install-recommends "$@"
    umount -R "$root/var/cache/apt/archives" "$root/run" "$root/dev" "$root/proc"
    rm -rf "$guard" "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
}

# Runs in its own mount namespace, so that all mounts end with it.
if [ "${1:-}" = --build ]; then
    work=$2
    root=$3
    base=$4
    shift 4
    if [ -z "$base" ]; then
        bootstrap "$root"
    else
        cp -a --reflink=auto "$base" "$root"
        apt_inside "$root" install "$@"
    fi
    exit
fi

mapfile -t packages < <(printf '%s\n' "$@" | sed '/^$/d' | sort -u)
key=$release-$arch
if [ ${#packages[@]} -gt 0 ]; then
    key+=-$(printf '%s\n' "${packages[@]}" | sha256sum | cut -c 1-12)
fi
log=$roots/$key.log
mkdir -p "$roots" "$debs"
exec 9>"$roots/$key.lock"
flock 9 # another run may be making it
if root=$(current); then
    refresh_names "$root"
    echo "$root"
    exit 0
fi
base=
if [ ${#packages[@]} -gt 0 ]; then
    base=$("$here" "$release" "$arch")
fi
work=$(mktemp -d "$cache/root.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
# Each run has hard links to the shared files, so that runs do not lock each other out.
cp -rl "$debs" "$work/debs"
echo "making a root of $key" >&2
unshare --mount --propagation private --pid --fork --kill-child \
    "$here" "$release" "$arch" --build "$work" "$work/root" "$base" ${packages[@]+"${packages[@]}"} \
    >"$log" 2>&1 9>&- </dev/null || {
    tail -n 40 "$log" "$work/root/debootstrap/debootstrap.log" >&2 || true
    exit 1
}
find "$work/debs" -maxdepth 1 -name '*.deb' -links 1 -exec mv -t "$debs" {} +
find "$debs" -name '*.deb' -atime +30 -delete
remove_old
root=$roots/$key.$(date +%s)
mv "$work/root" "$root"
echo "$root"
