"""The library. Its drop-in functions: the programs of tests/apps and a Debian source package, recompiled with the
header and without any other change, run through real servers, without and with the preload object. Its other
functions: the examples of docs/examples."""

import copy
import glob
import os
import re
import shlex
import shutil
import socket
import subprocess

import bed
import hostile
import servers as s
import test_apps
import test_bind
from kerberos import krb
import test_names
import test_udp
import world
from world import PAGE, PLAIN, fine, right

# Programs that make calls which only the preload object intercepts.
ALONE = {"changes_ids", "checked_calls", "exec_family", "exec_inherit", "fork_otherwise", "other_names", "raw_calls",
         "raw_syscall", "spawn", "under_way", "vfork_exec"}


def test(title, **more):
    """Declares a test of the library as it is installed, and of programs that are linked with it."""
    return world.test(title, on=PLAIN, **more)


def dropped(w):
    """The same World for recompiled programs."""
    other = copy.copy(w)
    other.linked, other.kind = True, "drop_"
    return other


for NAME in [name for name in test_apps.ECHOING if name not in ALONE]:
    for HOST in [bed.TARGET4] + ([bed.TARGET6] if NAME in test_apps.FAMILY6 else []):
        test("recompiled: %s to %s" % (NAME, HOST))(
            lambda w, n=NAME, h=HOST: test_apps.covered(
                dropped(w), "socksify", s.MICROSOCKS if n == "udp_refused" else s.DANTED, "", n, h))
test("recompiled: tcp_blocking with a password")(lambda w: test_apps.covered(
    dropped(w), "socksify", s.DANTED_AUTH, test_apps.AUTH, "tcp_blocking", bed.TARGET4))

for NAME in test_apps.STALLING:
    test("recompiled: %s with a server that cannot be reached" % NAME)(
        lambda w, n=NAME: test_apps.covered(dropped(w), "socksify", s.BLACK_HOLE, "", n,
                                            bed.TARGET4, 80))

test("recompiled: so_error is ECONNREFUSED for a refused target")(lambda w: test_apps.covered(
    dropped(w), "socksify", s.DANTED, "", "so_error", bed.TARGET4, s.REFUSED))

for HOW in [how for how in test_bind.WAYS if how != "exec"]:
    test("recompiled: called_back accepts connections at %s, %s" % (bed.TARGET4, HOW))(
        lambda w, how=HOW: test_bind.called_back(dropped(w), how, bed.TARGET4, s.DANTED))
test("recompiled: called_back accepts connections at %s, blocking" % bed.TARGET6)(
    lambda w: test_bind.called_back(dropped(w), "blocking", bed.TARGET6, s.DANTED))

for HOST, LESS in test_udp.FAMILIES:
    test("recompiled: every datagram call works to %s" % HOST)(
        lambda w, h=HOST, n=LESS: fine(test_udp.through(
            dropped(w), s.DANTED, "", [dropped(w).app("udp_calls"), h, "7", str(n)])))


@test("recompiled: names resolve, connect and look as without socksify")
def _(w):
    other = dropped(w)
    test_names.connects(other, s.DANTED, "socksify")
    for name in ("names_odd", "names_all_at_once"):
        fine(other.via(s.DANTED, [other.app(name)], seconds=120))
    for name in (test_names.BOTH, "localhost"):
        bare = bed.run(bed.PROXY, [w.app("names_shape", False), name], w.env, 60)
        again = other.via(s.DANTED, [other.app("names_shape"), name])
        assert bare[0] == again[0] == 0, (bare[0], again[0], again[2])
        differ = [pair for pair in zip(bare[1].splitlines(), again[1].splitlines())
                  if pair[0] != pair[1]]
        assert bare[1].count(b"\n") > 800 and not differ, differ[:5]


@test("recompiled: without a configuration every connection fails and the reason is logged")
def _(w):
    other = dropped(w)
    status, _, err = bed.run(bed.CLIENT, [other.app("tcp_blocking"), bed.TARGET4, "7"], w.env, 60)
    assert status != 0 and b"no configuration" in err, (status, err)


@test("recompiled: a program that is run by socksify is proxied once")
def _(w):
    """The drop-in functions and the preload object have the same server. It gets one connection, with one request."""
    def serve(c):
        hostile.Talk(c).serve()
    program = dropped(w).app("tcp_blocking")
    w.hostile.play(serve)
    fine(w.via(s.HOSTILE, [program, bed.TARGET4, "7"]))
    asked = b"".join(w.hostile.received)
    assert w.hostile.connections == 1 and asked.count(socket.inet_aton(bed.TARGET4)) == 1, \
        w.hostile.received
    assert socket.inet_aton(bed.PROXY4) not in asked, asked
    for name in ("epoll_before", "threads_200", "listen_local", "close_all"):
        fine(w.via(s.DANTED, [dropped(w).app(name), bed.TARGET4, "7"]))
    fine(w.via(s.DANTED, [dropped(w).app("names_connect"), test_names.WILD, "7", "covered"]))
    fine(test_udp.through(w, s.DANTED, "", [dropped(w).app("udp_calls"), bed.TARGET4, "7",
                                            str(test_udp.FAMILIES[0][1])]))
    test_bind.callers()
    fine(w.via(s.DANTED, [dropped(w).app("called_back"), bed.TARGET4, str(test_bind.CALLER),
                          "nonblock epoll"]))


# --- docs/examples, each run as a reader would run it ---


def example(w, name, *arguments):
    return bed.run(bed.CLIENT, [w.build + "/docs/examples/example_" + name] + list(arguments),
                   dict(w.env, SOCKS5_SERVER=URL), 40)


URL = "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)
PAGE_AT = [bed.TARGET4, str(s.HTTP), "/index.html"]
SERVER = [bed.PROXY4, str(s.DANTED)]

test("example: fetch gets a page with blocking calls")(
    lambda w: right(example(w, "fetch", URL, *PAGE_AT), PAGE))
test("example: fetch gets a page by name, over IPv6, with a password")(
    lambda w: right(example(w, "fetch", "socks5h://%s@[%s]:%d" % (test_apps.AUTH, bed.PROXY6,
                                                                 s.DANTED_AUTH),
                            test_names.BOTH, "80", "/index.html"), PAGE))
test("example: loop gets a page with a poll loop over the session")(
    lambda w: right(example(w, "loop", *SERVER, *PAGE_AT), PAGE))
test("example: event gets a page with libevent")(
    lambda w: right(example(w, "event", *SERVER, *PAGE_AT), PAGE))
test("example: the recompiled legacy client gets a page")(
    lambda w: right(example(w, "legacy", test_names.BOTH, "80", "GET /index.html HTTP/1.0"), PAGE))


@test("example: query sends a DNS query in a datagram")
def _(w):
    test_udp.targets(w)
    for host, port in ((bed.PROXY4, s.DANTED), ("[%s]" % bed.PROXY6, s.DANTED)):
        right(example(w, "query", "socks5h://%s:%d" % (host, port), bed.TARGET4, str(test_udp.DNS),
                      "name.example"), b"192.0.2.77, says 10.88.2.2 port 5353")
    status, _, err = example(w, "query", "socks5h://%s:%d" % (bed.PROXY4, s.MICROSOCKS), bed.TARGET4,
                             str(test_udp.DNS), "name.example")
    assert status == 1 and b"not supported" in err, (status, err)


@test("example: ftp gets a file in active mode")
def _(w):
    for host in (bed.TARGET4, bed.TARGET6):
        right(example(w, "ftp", URL, host, str(s.FTP), "index.html"), PAGE)


@test("example: failures are reported")
def _(w):
    for name, arguments in (("fetch", [URL]), ("loop", SERVER), ("event", SERVER)):
        status, out, err = example(w, name, *arguments, bed.TARGET4, str(s.REFUSED), "/")
        assert status == 1 and not out and b"Connection refused" in err, (name, status, err)


# --- a program as old as the protocol, from a Debian source package ---


class Installed:
    """The library, installed in its own folder."""

    def __init__(self, w):
        self.root = w.scratch + "/installed"
        subprocess.run(bed.made_with(["meson", "install", "-C", w.build, "--no-rebuild", "--destdir", self.root]),
                       check=True, stdout=subprocess.DEVNULL, timeout=120)
        self.lib = os.path.dirname(glob.glob(self.root + "/**/libsocks5client.so",
                                             recursive=True)[0])
        self.env = dict(os.environ, PKG_CONFIG_PATH=self.lib + "/pkgconfig",
                        PKG_CONFIG_SYSROOT_DIR=self.root)

    def flags(self, *words):
        return subprocess.run(bed.made_with(["pkg-config", *words]), env=self.env, check=True, text=True,
                              stdout=subprocess.PIPE, timeout=20).stdout.strip()


def installed(w):
    if not hasattr(w, "installed"):
        w.installed = Installed(w)
    return w.installed


def netcat(w):
    """Debian's netcat-traditional, built as debian/rules does, with flags for its C of 1996 and the flags of the
    drop-in library."""
    folder = w.scratch + "/netcat"
    if not os.path.exists(folder):
        source = subprocess.run([os.path.dirname(hostile.__file__) + "/source.sh", "netcat", "bookworm"],
                                stdout=subprocess.PIPE, text=True, check=True, timeout=600)
        shutil.copytree(source.stdout.strip(), folder)
        words = shlex.split(subprocess.run(
            bed.made_with(["dpkg-buildflags", "--export=cmdline"]), check=True, text=True, stdout=subprocess.PIPE,
            env=dict(os.environ, DEB_BUILD_MAINT_OPTIONS="hardening=+all")).stdout)
        flags = dict(word.split("=", 1) for word in words)
        i = installed(w)
        make = ["make", "linux", "STATIC=", "DFLAGS=-DLINUX -DTELNET "
                "-DGAPING_SECURITY_HOLE -DIP_TOS -DDEBIAN_VERSION='\"1\"'",
                "CC=cc -std=gnu89 %s -Wno-error=implicit-function-declaration %s %s" % (flags["CFLAGS"], flags["CPPFLAGS"],
                                    i.flags("--cflags", "socks5client-dropin")),
                "XLIBS=" + flags["LDFLAGS"] + " " + i.flags("--libs", "socks5client-dropin")]
        subprocess.run(bed.made_with(make, folder), check=True, timeout=120, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    return folder + "/nc"


def nc(w, words, data=None, url=None):
    env = dict(w.env, LD_LIBRARY_PATH=installed(w).lib, SOCKS5_SERVER=url or URL)
    return bed.run(bed.CLIENT, [netcat(w)] + words, env, 40, data)


@test("netcat, recompiled: it gets a page by address and by name")
def _(w):
    for host in (bed.TARGET4, test_names.BOTH):
        for url in (URL, "socks5h://%s@%s:%d" % (test_apps.AUTH, bed.PROXY4, s.DANTED_AUTH)):
            right(nc(w, ["-q", "5", host, "80"], b"GET /index.html HTTP/1.0\r\n\r\n", url), PAGE)


@test("netcat, recompiled: it reports a refused target")
def _(w):
    status, out, err = nc(w, ["-v", "-n", bed.TARGET4, str(s.REFUSED)])
    assert status == 1 and not out and b"Connection refused" in err, (status, out, err)


@test("netcat, recompiled: it sends and receives datagrams")
def _(w):
    test_udp.targets(w)
    del test_udp.SEEN[1:]
    right(nc(w, ["-u", "-n", "-w", "3", "-q", "2", bed.TARGET4, "7"], b"there and back\n"),
          b"there and back")
    assert test_udp.SEEN[1:] == [bed.OUTER4], test_udp.SEEN


@test("netcat, recompiled: it accepts a connection at the server")
def _(w):
    """It prints the address where it listens, which is one of the server, and a caller connects there."""
    conf = s.write(w.scratch + "/listen.conf", 'server "a" { address = "%s" port = %d }\n'
                   'rule "all" { command = {"connect", "bind"} via = {"a"} }\n'
                   % (bed.PROXY4, s.DANTED))
    process = bed.start(bed.CLIENT, ["env", "LD_LIBRARY_PATH=" + installed(w).lib, "SOCKS5_CONF=" + conf,
                                     netcat(w), "-l", "-v", "-n", "-q", "1"],
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        line = process.stderr.readline().decode()
        where = re.search(r"\[([\d.]+)\] (\d+)", line)
        assert where, line
        host, port = where.groups()
        assert host == bed.OUTER4, line
        with bed.inside(bed.TARGET):
            caller = socket.create_connection((host, int(port)), 10)
        caller.sendall(b"called back\n")
        caller.close()
        assert process.stdout.read() == b"called back\n"
        assert bed.TARGET4 in process.stderr.readline().decode()
    finally:
        bed.stop(process)


@test("installed: the examples compile with the flags of pkg-config alone")
def _(w):
    i = installed(w)
    here = os.path.dirname(os.path.abspath(__file__)) + "/../../docs/examples/"
    for compiler, name, package in (("cc", "fetch", "socks5client"), ("cc", "loop", "socks5client"),
                                    ("cc", "legacy", "socks5client-dropin")):
        subprocess.run(bed.made_with([compiler, "-o", w.scratch + "/" + name, here + name + ".c",
                                      *i.flags("--cflags", "--libs", package).split()]), check=True, timeout=60)
    env = dict(w.env, LD_LIBRARY_PATH=i.lib, SOCKS5_SERVER=URL)
    right(bed.run(bed.CLIENT, [w.scratch + "/fetch", URL, *PAGE_AT], env), PAGE)
    right(bed.run(bed.CLIENT, [w.scratch + "/loop", *SERVER, *PAGE_AT], env), PAGE)
    right(bed.run(bed.CLIENT, [w.scratch + "/legacy", bed.TARGET4, "80",
                               "GET /index.html HTTP/1.0"], env), PAGE)


@test("recompiled: programs connect through a server that requires Kerberos")
def _(w):
    """They use a bridge, as any covered program does. It is found by the path of the library."""
    env = dict(w.env, **krb(w).realm.client, SOCKS5_CONF=krb(w).conf())
    for name in ("tcp_blocking", "epoll_before"):
        fine(bed.run(bed.CLIENT, [dropped(w).app(name), bed.TARGET4, "7"], env, 60))
