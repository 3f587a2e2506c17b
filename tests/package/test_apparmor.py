"""The AppArmor profile in the packages. debian/socksify.postinst links it into /etc/apparmor.d where it can be read."""

import glob
import os
import re
import subprocess

import deb
import test_deb
from test_deb import HELPERS, PROFILE, words
from world import test

LINK = "/etc/apparmor.d/socksify"
LINKED = "test $(readlink %s) = %s && test -s %s" % (LINK, PROFILE, LINK)
ABSENT = "! test -e %s && ! test -L %s" % (LINK, LINK)
ABI4 = {
    "DEBIAN/control": "Package: abi4\nVersion: 1\nArchitecture: all\nMaintainer: test <test@localhost>\n"
                      "Description: test\n",
    "DEBIAN/conffiles": "/etc/apparmor.d/abi/4.0\n",
    "etc/apparmor.d/abi/4.0": "",
}


def with_abi4(w):
    """A package with the file by which AppArmor 4 is recognised. The package apparmor has it since version 4."""
    folder = w.scratch + "/abi4"
    for path, text in ABI4.items():
        os.makedirs(os.path.dirname(folder + "/" + path), exist_ok=True)
        with open(folder + "/" + path, "w", encoding="ascii") as f:
            f.write(text)
    words("dpkg-deb", "--build", "--root-owner-group", folder, folder + ".deb")
    return folder + ".deb"


@test("packages: the AppArmor profile is in /etc exactly where AppArmor has its ABI")
def _(w):
    abi4 = with_abi4(w)
    with test_deb.machine(w, "apparmor") as here:
        here.must("rm -f /etc/apparmor.d/abi/4.0")
        deb.install(here, w.scratch)
        here.must(ABSENT)
        here.must("dpkg -i --force-overwrite %s; %s" % (abi4, LINKED))  # AppArmor is upgraded later
        here.must("dpkg --remove socksify; %s" % ABSENT)
        deb.install(here, w.scratch, ["socksify"])  # AppArmor is there before
        here.must(LINKED)
        deb.install(here, w.scratch, ["socksify"])
        here.must(LINKED)
        here.must("dpkg --purge socksify; %s" % ABSENT)


@test("packages: a profile of the administrator's stays until the package is purged")
def _(w):
    own = "test $(cat %s) = own" % LINK
    with test_deb.machine(w, "own_profile") as here:
        here.must("mkdir -p /etc/apparmor.d/abi; : >/etc/apparmor.d/abi/4.0; echo own >" + LINK)
        deb.install(here, w.scratch)
        here.must(own)
        here.must("dpkg --remove socksify; %s" % own)
        here.must("dpkg --purge socksify; %s" % ABSENT)


@test("packages: AppArmor 4 can read the profile, and the link to it")
def _(w):
    """The parser is that of Debian 13. It compiles a profile without the kernel's support."""
    architecture = words("dpkg", "--print-architecture").strip()
    root = words(deb.TOP + "/tests/arch/root.sh", "trixie", architecture, "apparmor").split()[-1]
    parser = [*glob.glob(root + "/usr/lib*/ld-linux-*"), "--library-path", "%s/usr/lib/%s" % (root, test_deb.TRIPLET),
              root + "/usr/sbin/apparmor_parser", "--base", root + "/etc/apparmor.d", "--config-file=/dev/null",
              "--skip-kernel-load", "--skip-cache"]
    shipped, folder = w.scratch + "/shipped", w.scratch + "/profiles"
    words("dpkg-deb", "-x", deb.path(w.scratch, "socksify"), shipped)
    os.makedirs(folder)
    os.symlink(shipped + PROFILE, folder + "/socksify")
    for path in (shipped + PROFILE, folder):
        words(*parser, path)
        assert words(*parser, "--names", path).split() == ["socksify"], path
    with open(shipped + PROFILE, encoding="ascii") as f:
        text = f.read()
    assert re.search(r"^profile socksify %s flags=\(unconfined\) {\n  userns,$" % HELPERS[0], text, re.M), text
    with open(folder + "/socksify_wrong", "w", encoding="ascii") as f:
        f.write(text.replace("  userns,", "  no_such_rule,"))
    assert subprocess.run([*parser, folder + "/socksify_wrong"], stderr=subprocess.DEVNULL, timeout=60,
                          check=False).returncode != 0
