"""The packages: lintian, their contents, installation, use and removal."""

import contextlib
import os
import re
import subprocess

import bed
import deb
import root as roots
import servers as s
from world import PAGE, URL4, right, test

TRIPLET = subprocess.run(["gcc", "-print-multiarch"], stdout=subprocess.PIPE, text=True,
                         check=False).stdout.strip()
LIB = "/usr/lib/" + TRIPLET
HELPERS = ("/usr/libexec/socksify/socks5-reach", "/usr/libexec/socksify/socks5-gateway")
PROFILE = "/usr/share/socksify/apparmor.d/socksify"  # see test_apparmor.py


def words(*command):
    return subprocess.run(command, check=True, timeout=120, stdout=subprocess.PIPE, text=True).stdout


def contents(w, name):
    """Pairs of the mode and owner, and the path, of each file and directory of a package."""
    listing = words("dpkg-deb", "-c", deb.path(w.scratch, name))
    fields = [re.split(r"\s+", line, maxsplit=5) for line in listing.splitlines()]
    return [(mode + " " + owner, rest.split(" -> ")[0][1:]) for mode, owner, _, _, _, rest in fields]


def files(w, name):
    return {path for mode, path in contents(w, name) if not mode.startswith("d")}


def field(w, package, name):
    return words("dpkg-deb", "-f", deb.path(w.scratch, package), name).strip()


@test("packages: dpkg-buildpackage builds them from a copy of the sources")
def _(w):
    for name in deb.BINARY:
        assert os.path.getsize(deb.path(w.scratch, name)) > 2000, name


@test("packages: lintian has neither errors nor warnings")
def _(w):
    folder = deb.built(w.scratch)
    changes = [folder + "/" + f for f in os.listdir(folder) if f.endswith(".changes")]
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning"] + changes,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0 and not done.stdout.strip(), done.stdout


@test("packages: each file is in the right package, at the path that Debian requires")
def _(w):
    share = "/usr/share/"
    for name, wanted in (
            ("socksify", {"/usr/bin/socksify", "/usr/bin/socks5-bridge", *HELPERS, PROFILE,
                          share + "man/man1/socksify.1.gz", share + "man/man1/socks5-bridge.1.gz",
                          share + "man/man5/socks5.conf.5.gz",
                          share + "bash-completion/completions/socksify",
                          share + "zsh/vendor-completions/_socksify"}),
            ("socksify-preload", {LIB + "/socksify/libsocksify.so"}),
            ("libsocks5client0", {LIB + "/libsocks5client.so.0"}),
            ("libsocks5client-dev", {"/usr/include/socks5client.h", LIB + "/libsocks5client.so",
                                     LIB + "/pkgconfig/socks5client.pc"})):
        assert wanted <= files(w, name), (name, wanted - files(w, name))


@test("packages: all files belong to root, only root can change them, and none has a set-user-ID bit")
def _(w):
    modes = {path: mode for name in deb.BINARY for mode, path in contents(w, name)}
    wrong = {path: mode for path, mode in modes.items()
             if not re.fullmatch(r"(-rw-r--r--|[-d]rwxr-xr-x|lrwxrwxrwx) root/root", mode)}
    assert not wrong, wrong
    for path in HELPERS:
        assert modes[path].startswith("-rwxr-xr-x "), (path, modes[path])


@test("packages: the command requires the libraries of the namespace engine, the preload object does not")
def _(w):
    libraries = {"libmnl0", "libnetfilter-queue1", "libnftnl11"}
    assert libraries <= set(re.findall(r"[\w.+-]+", field(w, "socksify", "Depends")))
    for name in ("socksify-preload", "libsocks5client0"):
        assert not libraries & set(re.findall(r"[\w.+-]+", field(w, name, "Depends"))), name


@test("packages: packages of two architectures can be installed side by side")
def _(w):
    for name in ("socksify-preload", "libsocks5client0"):
        beside = [f for f in files(w, name) if not f.startswith((LIB + "/", "/usr/share/doc/"))]
        assert not beside, beside
        assert field(w, name, "Multi-Arch") == "same", name


class Machine(roots.Root):
    """A machine with the packages installed, shared by all tests that do not change it."""
    made = None

    def __init__(self, w):
        super().__init__(w.scratch + "/machine")
        deb.install(self, w.scratch)

    @classmethod
    def of(cls, w):
        cls.made = cls.made or cls(w)
        return cls.made


@test("packages: the installed socksify sends a program and its children through the server")
def _(w):
    here = Machine.of(w)
    via = ["socksify", "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)]
    right(here.run(via + ["curl", "-sS", "-m", "20", URL4]), PAGE)
    right(here.run(via + ["sh", "-c", "curl -sS -m 20 " + URL4]), PAGE)
    status, out, _ = here.run(via + ["sh", "-c", "env; env -i /usr/bin/env"])
    names = re.findall(rb"^LD_PRELOAD=(.*)$", out, re.M)
    assert status == 0 and names == [b"/usr/$LIB/socksify/libsocksify.so"] * 2, (status, out)


@test("packages: the preload object is found by $LIB, also in an empty environment")
def _(w):
    env = {"LD_PRELOAD": "/usr/$LIB/socksify/libsocksify.so",
           "SOCKS5_SERVER": "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)}
    right(Machine.of(w).run(["curl", "-sS", "-m", "20", URL4], env), PAGE)
    right(Machine.of(w).run(["env", "-i", "sh", "-c", "exec curl -sS -m 20 " + URL4], env), PAGE)


@test("packages: the installed socksify runs a static program through the server, as root and as an ordinary user")
def _(w):
    here = Machine.of(w)
    program = w.scratch + "/static_probe"
    words("gcc", "-static", "-D_GNU_SOURCE", "-o", program, deb.TOP + "/tests/reach/programs/probe.c")
    for before in ([], bed.as_user()):
        via = before + ["socksify", "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)]
        for command in ([program, "tcp", "both.example", str(s.HTTP)],
                        ["sh", "-c", "%s tcp %s %d" % (program, bed.TARGET6, s.HTTP)]):
            right(here.run(via + command), PAGE)


@contextlib.contextmanager
def machine(w, name):
    here = roots.Root(w.scratch + "/" + name)
    try:
        yield here
    finally:
        here.close()


@test("packages: after a purge nothing is left behind")
def _(w):
    with machine(w, "purged") as here:
        listing = "find /etc /opt /usr /var/lib -xdev -path /var/lib/dpkg -prune -o -path /etc/netns -prune -o ! -type d -print | sort"
        before = here.must(listing)
        deb.install(here, w.scratch)
        assert here.must(listing) != before
        here.must("dpkg --purge " + " ".join(deb.BINARY))
        after = here.must(listing)
        assert after == before, set(after.splitlines()) ^ set(before.splitlines())
