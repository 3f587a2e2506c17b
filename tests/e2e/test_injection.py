"""The table of real calls, each entry failing in turn: no crash, no descriptor lost, no dialling but to
the server. The program has the hooks inside.

What needs one process alone fails with every errno that makes sense in tests/unit/test_injection.c; here
with two of them, and with all of them with TORTURE=all."""

import os

import bed
import servers as s
from hostile import CHOSEN, OK, Talk
import test_bind
import test_udp
from world import INSIDE, test


def injected(w, scenario, port):
    if scenario == "answered":
        test_bind.callers()
    if scenario == "datagram":
        test_udp.targets(w)
    status, out, err = bed.run(
        bed.CLIENT, [w.app("inject_calls"), bed.TARGET4, str(s.ECHO), scenario, bed.PROXY4],
        dict(w.env, SOCKS5_SERVER="socks5h://%s:%d" % (bed.PROXY4, port),
             TORTURE=os.environ.get("TORTURE", "")), 150)
    assert status == 0, (status, out, err[-3000:].decode(errors="replace"))


def closes(t):
    """Takes no request in the flight of the greeting, and says nothing."""
    t.greeting()
    if not t.held:
        t.c.say(CHOSEN)
        t.request()
        t.c.say(OK)
        t.c.echo()


def dialled_again(w, scenario):
    w.hostile.play(lambda conversation: closes(Talk(conversation)))
    injected(w, scenario, s.HOSTILE)


for SCENARIO in ("blocking", "poll", "epoll", "datagram", "called", "answered", "names", "octets", "doubled",
                 "forked", "executed", "spawned"):
    if SCENARIO in ("blocking", "poll", "epoll"):
        test("injected: %s, dialled again: each real call fails in turn" % SCENARIO, on=INSIDE, slow=20)(
            lambda w, n=SCENARIO: dialled_again(w, n))
    test("injected: %s: each real call fails in turn" % SCENARIO, on=INSIDE, slow=20)(
        lambda w, n=SCENARIO: injected(w, n, s.DANTED))
