"""Names and the programs of tests/apps: results look as from libc, and names are resolved by the server."""

import bed
import world
import servers as s
from world import AUTH, PYTHON, fine

BOTH, WILD = "both.example", "any.thing.wild.example"


def test(title, **more):
    return world.test("names: " + title, **more)


def same_shape(w, names, locale="C", before=(), via=None):
    env = ["/usr/bin/env", "LC_ALL=" + locale, *before]
    via = via or (lambda command: w.via(s.DANTED, command))
    leaky = dict(w.env, ASAN_OPTIONS="detect_leaks=0")  # libc leaks some of what it has converted
    for name in names:
        bare = bed.run(bed.PROXY, env + [w.app("names_shape", False), name], leaky, 60)
        covered = via(env + [w.app("names_shape"), name])
        assert bare[0] == covered[0] == 0, (bare[0], bare[2][-3000:], covered[0], covered[2][-3000:])
        differ = [(a, b) for a, b in zip(bare[1].splitlines(), covered[1].splitlines())
                  if a != b and (name.isascii() or b" without room" not in a)]
        assert bare[1].count(b"\n") > 800 and not differ, (name, locale, differ[:8], len(differ))


@test("names_shape: results have the same form with and without socksify")
def _(w):
    same_shape(w, (BOTH, "both.example.", "localhost", "127.0.0.1", "::1"))


@test("names_shape: results for names that are not ASCII have the same form")
def _(w):
    for locale in ("C.UTF-8", "C"):
        same_shape(w, ("bücher.example", "BÜCHER.example", "xn--bcher-kva.example",
                       b"\xff.example", b"b\xc3.example", "ü\\.example",
                       "-ü.example", "b\u200bücher.example", "ü" * 64 + ".example"), locale)


@test("names_shape: results for names that are not ASCII have the same form without libidn2", root=True)  # mounts
def _(w):
    hide = """
        library=$(readlink -f /usr/lib/*-linux-gnu/libidn2.so.0)
        mount --bind /dev/null $library
        exec "$@" """
    without_library = ["unshare", "-m", "sh", "-ec", hide, "sh"]
    same_shape(w, ("bücher.example", "xn--bcher-kva.example"), "C.UTF-8", without_library)


@test("names_shape: results for a single word completed by \"search\" have the same form")
def _(w):
    conf = s.write(w.scratch + "/search.conf", 'server "p" { address = "%s" port = %d }\nsearch = '
                   '"wild.example"\nrule "all" { via = {"p"} }\n' % (bed.PROXY4, s.DANTED))
    same_shape(w, ("printer", "BOTH", "both.example", "localhost"), before=("LOCALDOMAIN=wild.example",),
               via=lambda command: w.configured(conf, command, w.env, 40))


@test("names_connect, without socksify")
def _(w):
    fine(bed.run(bed.PROXY, [w.app("names_connect", False), WILD, "7"], w.env, 60))


def connects(w, port, launcher):
    command = [w.app("names_connect"), WILD, "7", "covered"]
    if launcher == "socksify":
        fine(w.via(port, command))
    else:
        fine(w.preloaded(None, command, SOCKS5_SERVER="socks5h://%s:%d" % (bed.PROXY4, port)))


for LABEL, PORT in (("danted", s.DANTED), ("microsocks", s.MICROSOCKS), ("ssh -D", s.SSH_D)):
    for LAUNCHER in ("socksify", "preload"):
        test("names_connect through %s, %s" % (LABEL, LAUNCHER))(
            lambda w, p=PORT, d=LAUNCHER: connects(w, p, d))

@test("marked_names, without socksify")
def _(w):
    fine(bed.run(bed.PROXY, [w.app("marked_names", False), BOTH, "unknown.example", str(s.ECHO)], w.env, 60))


for LAUNCHER in ("socksify", "preload"):
    for MORE in ([], ["lost"]):
        @test("marked_names%s, %s" % (" with closed descriptors" if MORE else "", LAUNCHER))
        def _(w, launcher=LAUNCHER, more=MORE):
            other = WILD if more else "unknown.example"
            command = [w.app("marked_names"), BOTH, other, str(s.ECHO)] + more
            if launcher == "socksify":
                fine(w.via(s.DANTED, command, seconds=100))
            else:
                fine(w.preloaded(s.DANTED, command, seconds=100))


@test("drops_rights, without socksify", root=True)
def _(w):
    fine(bed.run(bed.PROXY, [w.app("drops_rights", False), BOTH, str(s.ECHO)], w.env, 60))


for LAUNCHER in ("socksify", "preload"):
    @test("drops_rights, %s" % LAUNCHER, root=True)
    def _(w, launcher=LAUNCHER):
        command = [w.app("drops_rights"), BOTH, str(s.ECHO)]
        if launcher == "socksify":
            fine(w.via(s.DANTED, command, seconds=100))
        else:
            fine(w.preloaded(s.DANTED, command, seconds=100))


# A process has the configuration, with its passwords, in one memfd, and no process can write to it.
SEALED = """
import mmap, os, socket, sys
def connect():
    socket.create_connection((sys.argv[1], int(sys.argv[2]))).close()
connect()
files = [int(fd) for fd in os.listdir('/proc/self/fd') if os.path.islink('/proc/self/fd/' + fd)
         and 'memfd:socksify-policy' in os.readlink('/proc/self/fd/' + fd)]
assert len(files) == 1, files
word = sys.argv[3].encode()
assert word in os.pread(files[0], 1 << 20, 0)
for attempt in (lambda: os.pwrite(files[0], bytes(1 << 12), 0), lambda: os.ftruncate(files[0], 0),
                lambda: mmap.mmap(files[0], 4096)):
    try:
        attempt()
        raise SystemExit('it could be changed')
    except OSError:
        pass
connect()
if len(sys.argv) == 4:
    os.execv(sys.executable, sys.orig_argv + ['again'])
"""

for LAUNCHER in ("socksify", "preload"):
    @test("programs cannot change the configuration, %s" % LAUNCHER)
    def _(w, launcher=LAUNCHER):
        command = [PYTHON, "-c", SEALED, bed.TARGET4, str(s.ECHO), s.PASSWORD]
        url = "socks5h://%s@%s:%d" % (AUTH, bed.PROXY4, s.DANTED_AUTH)
        fine(w.via(s.DANTED_AUTH, command, AUTH) if launcher == "socksify" else
             w.preloaded(None, command, SOCKS5_SERVER=url))


@test("names_questions: queries have the same results with and without socksify")
def _(w):
    for bare in (True, False):
        command = [w.app("names_questions", not bare), BOTH, "unknown.example"]
        fine(bed.run(bed.PROXY, command, w.env, 60) if bare else w.via(s.DANTED, command))


for NAME in ("names_odd", "names_all_at_once"):
    test("%s, covered" % NAME)(lambda w, n=NAME: fine(w.via(s.DANTED, [w.app(n)], seconds=120)))


@test("names_65536: 65,536 names in one process tree resolve and connect")
def _(w):
    fine(w.via(1097, [w.app("names_65536"), "1097"], host="127.0.0.1", seconds=200))
