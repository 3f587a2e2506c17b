"""Names: they travel to the server, and no query of anybody's leaves the client."""

import os

import bed
import servers as s
from run import CURL, PAGE, PYTHON, fine, right, test

BOTH, ONLY4, ONLY6 = "both.example", "only4.example", "only6.example"
WILD = "any.thing.wild.example"
A, PTR, MX, TXT, AAAA = 1, 12, 15, 16, 28

for NAME in (BOTH, ONLY4, ONLY6, WILD, "BOTH.Example."):
    for LABEL, PORT in (("danted", s.DANTED), ("microsocks", s.MICROSOCKS), ("ssh -D", s.SSH_D)):
        test("curl http://%s/ by name through %s" % (NAME, LABEL))(
            lambda w, n=NAME, p=PORT: right(w.via(p, CURL + ["http://%s/" % n]), PAGE))


def unasked(w, function):
    """The name server, which the client cannot reach, is asked by the proxy for addresses alone."""
    before = len(w.nameserver.asked)
    function()
    assert all(kind in (A, AAAA) for _, kind in w.nameserver.asked[before:])


# --- the small programs ---


@test("names_shape: the same bare and covered")
def _(w):
    for name in (BOTH, "both.example.", "localhost", "127.0.0.1", "::1"):
        bare = bed.run(bed.PROXY, [w.app("names_shape", False), name], w.env, 60)
        covered = w.via(s.DANTED, [w.app("names_shape"), name])
        assert bare[0] == covered[0] == 0, (bare, covered)
        differ = [(a, b) for a, b in zip(bare[1].splitlines(), covered[1].splitlines()) if a != b]
        assert bare[1].count(b"\n") > 800 and not differ, differ[:5]


@test("names_connect: bare")
def _(w):
    fine(bed.run(bed.PROXY, [w.app("names_connect", False), WILD, "7"], w.env, 60))


for NAME in (ONLY4, ONLY6, WILD):
    for LABEL, PORT in (("danted", s.DANTED), ("microsocks", s.MICROSOCKS), ("ssh -D", s.SSH_D)):
        if NAME != WILD:
            continue
        for DOOR in ("socksify", "preload"):
            test("names_connect to %s through %s, %s" % (NAME, LABEL, DOOR))(
                lambda w, n=NAME, p=PORT, d=DOOR: fine(
                    (w.via if d == "socksify" else w.preloaded)(
                        p, [w.app("names_connect"), n, "7", "covered"])))

for NAME in ("names_odd", "names_all_at_once"):
    test("%s, covered" % NAME)(lambda w, n=NAME: fine(w.via(s.DANTED, [w.app(n)], seconds=120)))


@test("names_65536: as many names in one tree resolve and connect")
def _(w):
    fine(w.via(1097, [w.app("names_65536"), "1097"], host="127.0.0.1", seconds=200))
