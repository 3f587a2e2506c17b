"""Writes by other calls than write() and send() during a negotiation with a slow server: they wait as write() does, or
the connection fails and one line is logged."""

import time

from hostile import CHOSEN, OK
from test_hostile import probe
from world import test

SPOILT = b"SPOILT!"
LINE = b"octets of the program entered the negotiation"
NAMED = ["splice", "vmsplice", "tee", "sendfile", "pwritev2", "syscall pwritev2", "syscall splice",
         "syscall sendfile", "aio_write", "lio_listio", "dprintf"]
UNSEEN = ["stream", "instruction"]


def slow(heard):
    """Records each message of the negotiation."""
    def script(t):
        heard.clear()
        for length, answer in ((3, CHOSEN), (10, OK)):
            heard.append(t.take(length))
            time.sleep(0.25)
            if heard[-1][:1] != b"\5":
                return
            t.c.say(answer)
        if t.pending:
            t.c.say(t.pending)
        t.c.echo()
    return script


def attempt(w, how, wait, pipeline):
    heard = []
    status, out, err = probe(w, slow(heard), pipeline, how, name="unseen_writes", extra_words=[str(wait)], timeout=5)
    assert status == 0, (status, out, err)
    clean = heard == [b"\5\1\0", b"\5\1\0\1" + bytes([10, 88, 2, 2, 0, 7])]
    return out.decode().split(), clean, err


for HOW in NAMED:
    @test("unseen: %s waits for the negotiation as write() does" % HOW)
    def _(w, how=HOW):
        for wait, pipeline in ((0, "off"), (100, "off"), (0, "on"), (350, "auto")):
            said, clean, err = attempt(w, how, wait, pipeline)
            assert said == ["EAGAIN", "connected"] and clean, (wait, pipeline, said, clean, err)

for HOW in UNSEEN:
    @test("unseen: a connection fails if octets of the program got into its negotiation: %s" % HOW)
    def _(w, how=HOW):
        for wait, pipeline in ((0, "off"), (100, "off"), (350, "off"), (0, "on"), (0, "auto"), (100, "auto")):
            said, clean, err = attempt(w, how, wait, pipeline)
            assert said[0] == "written", (wait, pipeline, said, err)
            assert said[1] == "connected" and clean or said[1] == "ECONNABORTED" and err.count(LINE) == 1, \
                (wait, pipeline, said, clean, err)
