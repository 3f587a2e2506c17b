"""Mixed use for SOAK seconds (15 by default): see tests/apps/soak.c. Through danted, microsocks, and a server that
fails at a random octet in a random way."""

import itertools
import os
import random
import threading

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


def reload_until(w, conf, text, ended, said):
    """Replaces the configuration until ENDED."""
    for n in itertools.count(1):
        if ended.wait(0.2):
            return
        s.write(conf, text(n % 5))
        said.append(bed.run(bed.CLIENT, [w.build + "/tools/socksify", "--reload"], w.env))


@test("soak: many kinds of use while the configuration is replaced", on=(PLAIN, TSAN), slow=20)
def _(w):
    test_udp.targets(w)

    def text(n):
        rules = ""
        for name, port in (("d", s.DANTED), ("m", s.MICROSOCKS), ("h", s.DANTED)):
            rules += ('server "%s%d" { address = "%s" port = %d timeout = %d }\n' % (name, n, bed.PROXY4, port, 20 + n)
                      + 'rule "%s" { to = {"%s.wild.example"} command = {"connect", "bind", "udp"} via = {"%s%d"} }\n'
                      % (name, name, name, n))
        return rules + 'rule "rest" { command = {"connect", "bind", "udp"} via = {"d%d"} }\n' % n
    conf, ended, said = s.write(w.scratch + "/soak-reload.conf", text(0)), threading.Event(), []
    reloads = threading.Thread(target=reload_until, args=(w, conf, text, ended, said))
    reloads.start()
    try:
        status, out, err = w.configured(conf, [w.app("soak"), str(s.ECHO), "d.wild.example", "m.wild.example",
                                               "h.wild.example", "8"], w.env, 60)
    finally:
        ended.set()
        reloads.join()
    assert status == 0, (status, out, err[-6000:])
    assert sum(result[0] == 0 for result in said) >= 5, said[-3:]
