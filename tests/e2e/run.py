#!/usr/bin/python3
"""End to end, with real programs and real servers, in namespaces of the run's own. A test passes only
when its result is right and the trap saw nothing."""

import argparse
import contextlib
import glob
import importlib
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bed
import nameserver
import servers as s

TESTS = []


def test(title, linked=True):
    """LINKED: it makes sense too for a program that has the preload object inside."""
    def add(function):
        TESTS.append((title, function, linked))
        return function
    return add


class World:
    def __init__(self, build, scratch, linked=False):
        self.socksify = os.path.abspath(build) + "/tools/socksify"
        self.object = os.path.abspath(build) + "/preload/libsocksify.so"
        self.build, self.linked = os.path.abspath(build), linked
        self.kind = "linked_"
        self.scratch, self.env = scratch, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                                           "HOME": scratch + "/home"}
        os.makedirs(scratch + "/home")

    def app(self, name, covered=True):
        """A program of tests/apps; in a linked run one with the preload object inside."""
        kind = self.kind if self.linked and covered else "app_"
        return os.path.join(self.build, "tests", "apps", kind + name)

    def via(self, port, command, user="", host=bed.PROXY4, seconds=40):
        url = "socks5h://%s%s:%d" % (user and user + "@", host, port)
        if self.linked:
            return bed.run(bed.CLIENT, command, dict(self.env, SOCKS5_SERVER=url), 3 * seconds)
        return bed.run(bed.CLIENT, [self.socksify, "-x", url, "--"] + command, self.env, seconds)

    def configured(self, conf, command, env, seconds):
        if self.linked:
            return bed.run(bed.CLIENT, command, dict(env, SOCKS5_CONF=conf), 3 * seconds)
        return bed.run(bed.CLIENT, [self.socksify, "-c", conf, "--"] + command, env, seconds)

    def preloaded(self, port, command, seconds=40, **env):
        if self.linked:
            return bed.run(bed.CLIENT, command, dict(self.env, **env), 3 * seconds)
        env = dict(self.env, LD_PRELOAD=self.object, **env)
        words = ["%s=%s" % pair for pair in env.items() if pair[0] != "PATH"]
        if port:
            words.append("SOCKS5_SERVER=socks5h://%s:%d" % (bed.PROXY4, port))
        return bed.run(bed.CLIENT, ["/usr/bin/env"] + words + command, self.env, seconds)


def right(result, out):
    assert result[0] == 0 and out in result[1], result


def words(w, command):
    """COMMAND with the run's directory where it says SCRATCH."""
    return [word.replace("SCRATCH", w.scratch) for word in command]


def fine(result):
    status, out, err = result
    assert status == 0, "status %s: %s%s" % (status, out.decode(), err.decode(errors="replace"))


CURL = ["curl", "-sS", "-m", "20"]
PAGE = b"it came through"
AUTH = s.USER + ":" + s.PASSWORD.replace(":", "%3A").replace("@", "%40").replace("/", "%2F")
PYTHON = "/usr/bin/python3"
SSH = ["ssh", "-F", "none", "-q", "-i", "SCRATCH/user_key", "-o", "StrictHostKeyChecking=no", "-o",
       "UserKnownHostsFile=/dev/null"]
URL4, URL6 = "http://%s/" % bed.TARGET4, "http://[%s]/" % bed.TARGET6

@test("bare LD_PRELOAD")
def _(w):
    right(w.preloaded(s.DANTED, CURL + [URL4]), PAGE)


@test("without a configuration everything fails, and says why")
def _(w):
    status, out, err = w.preloaded(None, CURL + [URL4])
    assert status != 0 and not out and b"no configuration" in err, (status, out, err)


@test("a refused target is ECONNREFUSED")
def _(w):
    code = "import socket; print(socket.socket().connect_ex(('%s', 11)))" % bed.TARGET4
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"111")


@test("a server that is down is ECONNREFUSED")
def _(w):
    code = "import socket; print(socket.socket().connect_ex(('%s', 80)))" % bed.TARGET4
    right(w.via(s.CLOSED, [PYTHON, "-c", code]), b"111")


@test("a wrong password is EACCES")
def _(w):
    code = "import socket; print(socket.socket().connect_ex(('%s', 80)))" % bed.TARGET4
    right(w.via(s.DANTED_AUTH, [PYTHON, "-c", code], s.USER + ":wrong"), b"13")


@test("UDP is refused with EOPNOTSUPP and does not leave")
def _(w):
    code = """
import socket
try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('%s', 9999))
except OSError as e: print(e.errno)""" % bed.TARGET4
    status, out, err = w.via(s.MICROSOCKS, [PYTHON, "-c", code])
    assert b"95" in out and b"does not do UDP" in err, (status, out, err)


@test("MSG_FASTOPEN goes through the server")
def _(w):
    code = """
import socket
c = socket.socket(); c.sendto(b'hello', socket.MSG_FASTOPEN, ('%s', 7)); print(c.recv(9))
""" % bed.TARGET4
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"hello")


@test("syscall(SYS_connect) goes through the server")
def _(w):
    code = """
import ctypes, socket, struct
c = socket.socket(); libc = ctypes.CDLL(None)
a = struct.pack('=H', 2) + struct.pack('!H', 9) + socket.inet_aton('%s') + bytes(8)
assert libc.syscall(42, c.fileno(), a, 16) == 0
print(c.recv(99))""" % bed.TARGET4
    right(w.via(s.DANTED, [PYTHON, "-c", code]), s.BANNER_TEXT[:30])


@test("one flight with no authentication, and with a password")
def _(w):
    def good(c):
        first = c.flight()
        c.say(bytes([5, first[2]]) + (b"\1\0" if first[2] == 2 else b"") + c.OK)
        c.echo()
    code = """
import socket
c = socket.create_connection(('%s', 7)); c.sendall(b'mine'); print(c.recv(9))""" % bed.TARGET4
    for user in ("", "a:b"):
        w.hostile.play(good)
        right(w.via(s.HOSTILE, [PYTHON, "-c", code], user), b"mine")
        assert len(w.hostile.flights) == 1, w.hostile.flights


@test("every failing REP is its errno")
def _(w):
    expected = {2: 13, 3: 101, 4: 113, 5: 111, 6: 110, 7: 95, 8: 97, 9: 71, 255: 71}
    code = "import socket; print(socket.socket().connect_ex(('%s', 80)))" % bed.TARGET4
    for rep, errno in expected.items():
        def refuse(c, rep=rep):
            c.flight()
            c.say(bytes([5, 0, 5, rep, 0, 1, 0, 0, 0, 0, 0, 0]))
        w.hostile.play(refuse)
        right(w.via(s.HOSTILE, [PYTHON, "-c", code]), b"%d" % errno)


@test("socksify's exit codes")
def _(w):
    for command, status in ((["false"], 1), (["sh", "-c", "exit 42"], 42), (["/nonexistent"], 127),
                            (["/etc/passwd"], 126)):
        assert w.via(s.DANTED, command)[0] == status, command


def run_one(world, trap, title, function):
    trap.take()
    try:
        function(world)
        wrong = ""
    except Exception as e:  # a test may fail in any way
        wrong = "%s: %s" % (type(e).__name__, e)
    caught = trap.take()
    if caught:
        wrong += " THE TRAP CAUGHT " + "; ".join(sorted(set(caught)))
    print("%s - %s%s" % ("FAILED" if wrong else "ok", title, wrong and ": " + wrong), flush=True)
    return not wrong


def trap_works(world, trap):
    """The trap must see a packet that goes past the proxy, or nothing here means anything."""
    for command in (CURL + ["-m", "1", URL4], CURL + ["-m", "1", URL6]):
        trap.take()
        bed.run(bed.CLIENT, command, world.env)
        if not trap.take():
            return False
    return True


OWN = len(TESTS)


def gather(modules, folder):
    """The tests of FOLDER's test_*.py, which know this module as "run"."""
    sys.modules["run"] = sys.modules[__name__]
    sys.path.insert(0, folder)
    for module in modules:
        for path in sorted(glob.glob("%s/test_%s.py" % (folder, module))):
            importlib.import_module(os.path.basename(path)[:-3])


@contextlib.contextmanager
def made(build, linked=False):
    """The bed with all its servers, and what tests are told of them: (world, trap)."""
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o755)
        trap = bed.make()
        keep = [s.targets(scratch), nameserver.Nameserver(), s.socks(scratch)]
        world = World(build, scratch, linked)
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                world.env[name] = os.environ[name]
        world.target, world.nameserver, world.trap = keep[0], keep[1], trap
        world.hostile = s.scripted()
        try:
            yield world, trap
        finally:
            bed.stop_all()
            del keep


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", default="build")
    options.add_argument("-k", default="", help="run tests whose title holds this")
    options.add_argument("--skip", metavar="SUBSTR,...", help="not those whose title holds one of these")
    options.add_argument("--only", metavar="MODULE,...", help="the tests of test_MODULE.py alone")
    options.add_argument("--only-of", metavar="FOLDER", help="the tests of this folder alone")
    options.add_argument("--linked", metavar="MODULE,...", help="a build with a sanitizer: the tests "
                         "of these modules alone, with programs that have the preload object inside")
    args = options.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    gather((args.linked or args.only or "*").split(","), os.path.abspath(args.only_of or here))
    if args.only_of:  # those of this file are about other programs
        TESTS[:] = TESTS[OWN:]
    elif args.linked or args.only:  # not of the modules that those only use
        TESTS[:] = [t for t in TESTS if t[1].__module__[5:] in (args.linked or args.only).split(",")
                    and (t[2] or not args.linked)]
    passed = failed = 0
    with made(args.build, args.linked is not None) as (world, trap):
        good = trap_works(world, trap)
        print("%s - the trap catches what goes past the proxy" % ("ok" if good else "FAILED"))
        passed, failed = passed + good, failed + (not good)
        for title, function, _ in TESTS:
            if args.k in title and not any(x in title for x in (args.skip or "\n").split(",")):
                good = run_one(world, trap, title, function)
                passed, failed = passed + good, failed + (not good)
    print("e2e: %d passed, %d failed" % (passed, failed), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
