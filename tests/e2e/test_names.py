"""Names and the small programs: they are what libc would have said, and travel to the server."""

import bed
import run
import servers as s
from run import fine

BOTH, WILD = "both.example", "any.thing.wild.example"


def test(title, **more):
    return run.test("names: " + title, **more)


@test("names_shape: the same bare and covered")
def _(w):
    for name in (BOTH, "both.example.", "localhost", "127.0.0.1", "::1"):
        bare = bed.run(bed.PROXY, [w.app("names_shape", False), name], w.env, 60)
        covered = w.via(s.DANTED, [w.app("names_shape"), name])
        assert bare[0] == covered[0] == 0, (bare, covered)
        differ = [(a, b) for a, b in zip(bare[1].splitlines(), covered[1].splitlines()) if a != b]
        assert bare[1].count(b"\n") > 800 and not differ, differ[:5]


@test("names_connect, bare", linked=False)
def _(w):
    fine(bed.run(bed.PROXY, [w.app("names_connect", False), WILD, "7"], w.env, 60))


def connects(w, port, door):
    command = [w.app("names_connect"), WILD, "7", "covered"]
    if door == "socksify":
        fine(w.via(port, command))
    else:
        fine(w.preloaded(None, command, SOCKS5_SERVER="socks5h://%s:%d" % (bed.PROXY4, port)))


for LABEL, PORT in (("danted", s.DANTED), ("microsocks", s.MICROSOCKS), ("ssh -D", s.SSH_D)):
    for DOOR in ("socksify", "preload"):
        test("names_connect through %s, %s" % (LABEL, DOOR))(
            lambda w, p=PORT, d=DOOR: connects(w, p, d))

@test("names_questions: the same bare and covered")
def _(w):
    for bare in (True, False):
        command = [w.app("names_questions", not bare), BOTH, "unknown.example"]
        fine(bed.run(bed.PROXY, command, w.env, 60) if bare else w.via(s.DANTED, command))


for NAME in ("names_odd", "names_all_at_once"):
    test("%s, covered" % NAME)(lambda w, n=NAME: fine(w.via(s.DANTED, [w.app(n)], seconds=120)))


@test("names_65536: as many names in one tree resolve and connect")
def _(w):
    fine(w.via(1097, [w.app("names_65536"), "1097"], host="127.0.0.1", seconds=200))
