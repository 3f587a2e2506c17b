"""Each entry of the table of real calls fails in turn: the program does not crash, leaks no descriptor and connects
only to the server. The hooks are linked into the program.

tests/unit/test_injection.c covers what one process does alone, with every plausible errno. Here each call fails with
two of them, or with all of them if TORTURE=all."""

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
    """Does not reply if the request arrives together with the greeting."""
    t.greeting()
    if not t.pending:
        t.c.say(CHOSEN)
        t.request()
        t.c.say(OK)
        t.c.echo()


def second_attempt(w, scenario):
    w.hostile.play(lambda conversation: closes(Talk(conversation)))
    injected(w, scenario, s.HOSTILE)


for SCENARIO in ("blocking", "poll", "epoll", "datagram", "called", "answered", "names", "octets", "doubled",
                 "forked", "executed", "spawned"):
    if SCENARIO in ("blocking", "poll", "epoll"):
        test("injected: %s, with a second attempt: each real call fails in turn" % SCENARIO, on=INSIDE, slow=20)(
            lambda w, n=SCENARIO: second_attempt(w, n))
    test("injected: %s: each real call fails in turn" % SCENARIO, on=INSIDE, slow=20)(
        lambda w, n=SCENARIO: injected(w, n, s.DANTED))
