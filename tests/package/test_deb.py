"""The packages: lintian, their contents, installation, use and removal."""

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


def files(w, name):
    listing = subprocess.run(["dpkg-deb", "-c", deb.path(w.scratch, name)], check=True, timeout=60,
                             stdout=subprocess.PIPE, text=True).stdout
    return {re.split(r"\s+", line, maxsplit=5)[5].split(" -> ")[0][1:]
            for line in listing.splitlines() if not line.startswith("d")}


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
            ("socksify", {"/usr/bin/socksify", "/usr/bin/socks5-bridge",
                          share + "man/man1/socksify.1.gz", share + "man/man1/socks5-bridge.1.gz",
                          share + "man/man5/socks5.conf.5.gz",
                          share + "bash-completion/completions/socksify",
                          share + "zsh/vendor-completions/_socksify"}),
            ("socksify-preload", {LIB + "/socksify/libsocksify.so"}),
            ("libsocks5client0", {LIB + "/libsocks5client.so.0"}),
            ("libsocks5client-dev", {"/usr/include/socks5client.h", LIB + "/libsocks5client.so",
                                     LIB + "/pkgconfig/socks5client.pc"})):
        assert wanted <= files(w, name), (name, wanted - files(w, name))


@test("packages: packages of two architectures can be installed side by side")
def _(w):
    for name in ("socksify-preload", "libsocks5client0"):
        beside = [f for f in files(w, name) if not f.startswith((LIB + "/", "/usr/share/doc/"))]
        assert not beside, beside
        field = subprocess.run(["dpkg-deb", "-f", deb.path(w.scratch, name), "Multi-Arch"], check=True,
                               stdout=subprocess.PIPE, text=True, timeout=60).stdout
        assert field == "same\n", field


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


@test("packages: after a purge nothing is left behind")
def _(w):
    here = roots.Root(w.scratch + "/purged")
    try:
        listing = "find /etc /opt /usr /var/lib -xdev -path /var/lib/dpkg -prune -o -path /etc/netns -prune -o ! -type d -print | sort"
        before = here.must(listing)
        deb.install(here, w.scratch)
        assert here.must(listing) != before
        here.must("dpkg --purge " + " ".join(deb.BINARY))
        after = here.must(listing)
        assert after == before, set(after.splitlines()) ^ set(before.splitlines())
    finally:
        here.close()
