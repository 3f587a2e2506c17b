"""Names: they travel to the server, and no query of anybody's leaves the client."""

import bed
import servers as s
from run import CURL, PAGE, PYTHON, right, test

BOTH, ONLY4, ONLY6 = "both.example", "only4.example", "only6.example"

for NAME in (BOTH, ONLY4, ONLY6, "any.thing.wild.example", "BOTH.Example."):
    for LABEL, PORT in (("danted", s.DANTED), ("microsocks", s.MICROSOCKS), ("ssh -D", s.SSH_D)):
        test("curl http://%s/ by name through %s" % (NAME, LABEL))(
            lambda w, n=NAME, p=PORT: right(w.via(p, CURL + ["http://%s/" % n]), PAGE))


@test("names: wget")
def _(w):
    right(w.via(s.DANTED, ["wget", "-q", "-T", "20", "-O", "-", "http://both.example/"]), PAGE)
