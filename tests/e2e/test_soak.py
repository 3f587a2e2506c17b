"""Mixed use for SOAK seconds (15 by default): see tests/apps/soak.c. Through danted, microsocks, and a server that
fails at a random octet in a random way."""

import os
import random

import bed
import servers as s
import test_udp
from world import INSIDE, PLAIN, TSAN, test
from test_torture import WAYS, fails

SECONDS = int(os.environ.get("SOAK", "15"))


def fail_at_random(conversation):
    fails("none", random.randrange(13), random.choice(WAYS + ("stall",)))(conversation)


@test("soak: many kinds of use at once work for a while", on=(PLAIN, INSIDE, TSAN), slow=60)
def _(w):
    test_udp.targets(w)
    text = ""
    for name, port, more in (("d", s.DANTED, ""), ("m", s.MICROSOCKS, ""), ("h", s.HOSTILE, "timeout = 2")):
        text += ('server "%s" { address = "%s" port = %d %s }\n' % (name, bed.PROXY4, port, more)
                 + 'rule "%s" { to = {"%s.wild.example"} command = {"connect", "bind", "udp"} via = {"%s"} }\n'
                 % (name, name, name))
    text += 'rule "rest" { command = {"connect", "bind", "udp"} via = {"d"} }\n'
    w.hostile.play(fail_at_random)
    status, out, err = w.configured(s.write(w.scratch + "/soak.conf", text),
                                    [w.app("soak"), str(s.ECHO), "d.wild.example", "m.wild.example",
                                     "h.wild.example", str(SECONDS)], w.env, SECONDS + 40)
    lines = [x for x in err.decode(errors="replace").splitlines() if "cannot be preloaded" not in x]
    assert status == 0, "%d, %s\n%s" % (status, out, "\n".join(lines)[-6000:])
    print(out.decode().strip())
