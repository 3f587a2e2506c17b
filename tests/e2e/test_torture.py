"""A server that fails at an octet of its messages, in every way. For each command the program gets the errno that fits
the place, in time; no descriptor leaks; data after a good reply is delivered completely; and the trap records nothing.
One process runs all cases.

tests/unit/test_torture.c does this at every octet, over a simulated network. Here a real kernel is used, and the server
fails at the first, a middle and the last octet of each message, or at all octets if TORTURE=all."""

import itertools
import os
import subprocess
import tempfile

import bed
import servers as s
from hostile import Talk
from world import test

SELECTION, STATUS = {"none": b"\5\0", "password": b"\5\2"}, {"none": b"", "password": b"\1\0"}
REPLY = bytes([5, 0, 0, 1, 10, 88, 2, 1, 0x12, 0x34])
SECOND = bytes([5, 0, 0, 1, 10, 88, 2, 2, 0x43, 0x21])
WAYS = ("close", "reset", "half-close", "garbage")
PORTS = {(method, pipeline): 2000 + number for number, (method, pipeline) in
         enumerate(itertools.product(SELECTION, ("off", "on", "auto")))}
TRAILER = b"\xff" * 5
ALL = os.environ.get("TORTURE") == "all"


def places(*messages):
    """The positions to fail at in the sequence of these messages, and the end of the sequence."""
    chosen, begun = set(), 0
    for message in messages:
        size = len(message)
        chosen |= {begun + at for at in (range(size) if ALL else {0, size // 2, size - 1} if size
                                         else ())}
        begun += size
    return sorted(chosen | {begun})


def pipelines(how):
    """The pipeline modes for one way of waiting. Together the ways of waiting have all modes."""
    return ("off", "on", "auto") if ALL else {"block": ("auto",), "poll": ("on",), "select": ("off",),
                                              "epoll": ("auto", "on")}[how]


def configuration(w, seconds):
    text = ""
    for (method, pipeline), port in PORTS.items():
        words = 'username = "alice" password = "secret"' if method == "password" else ""
        text += ('server "%d" { address = "%s" port = %d pipeline = %s timeout = %d %s }\n'
                 'rule "%d" { ports = {"%d"} command = {"connect", "bind", "udp"} via = {"%d"} }\n'
                 % (port, bed.PROXY4, s.HOSTILE, pipeline, seconds, words, port, port, port))
    path = s.write("%s/torture-%d.conf" % (w.scratch, seconds), text)
    os.chmod(path, 0o600)
    return path


class Client:
    """The program that executes orders."""

    def __init__(self, w, seconds=20, alone=None, **more):
        """ALONE: the command of another program, without the preload object."""
        env = dict(w.env, **(more or {"SOCKS5_CONF": configuration(w, seconds)}))
        command = alone or [w.app("torture")]
        if not w.linked and not alone:
            command = ["/usr/bin/env", "LD_PRELOAD=" + w.object] + command
        self.stderr = tempfile.TemporaryFile()  # a pipe without a reader would fill up
        self.process = subprocess.Popen(bed.within(bed.CLIENT, command), env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.stderr, start_new_session=True)
        self.descriptors = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        if kind is None:
            assert self.process.returncode == 0, (self.process.returncode, self.end_of_stderr())

    def end_of_stderr(self):
        self.stderr.seek(0)
        return self.stderr.read()[-2000:].decode(errors="replace")

    def order(self, how, port, what=""):
        """Sends an order and returns its result: (name of the errno, number of octets received)."""
        self.process.stdin.write(b"%s %s %d\n" % (how.encode(), bed.TARGET4.encode(), port))
        self.process.stdin.flush()
        line = self.process.stdout.readline().decode().split()
        if len(line) != 3:
            self.process.communicate(timeout=60)
            raise AssertionError("%sthe program died: %s" % (what, self.end_of_stderr()))
        # The first order opens descriptors that stay open, for example that of the shared memory.
        self.descriptors = self.descriptors or int(line[2])
        assert int(line[2]) <= self.descriptors, "%s descriptors, %d before" % (line[2],
                                                                                self.descriptors)
        return line[0], int(line[1])


def fails(method, at, way, second=b""):
    """A server that sends AT octets of its messages and then fails in the given WAY."""
    def script(conversation):
        t, left = Talk(conversation), at

        def say(octets):
            nonlocal left
            t.c.say(octets[:left])
            left -= len(octets)
            if left >= 0:
                return True
            if way == "garbage":
                t.c.say(b"\xff" * -left + TRAILER)
                t.c.hang()
            elif way == "reset":
                t.c.reset()
            elif way == "half-close":
                t.c.sock.shutdown(1)
                t.c.hang()
            elif way == "stall":
                t.c.hang()
            return False

        t.greeting()
        if not say(SELECTION[method]):
            return
        if method == "password":
            t.password()
            if not say(STATUS[method]):
                return
        t.request()
        if say(REPLY) and say(second):
            say(b"?")  # after the last message: it fails here at the latest
    return script


def expected(method, at, way):
    """The errnos that a failure AT an octet may have, and the number of octets that the program receives."""
    head = len(SELECTION[method]) + len(STATUS[method])
    total = head + len(REPLY)
    if at == total:
        return {"ok"} | ({"ECONNRESET"} if way == "reset" else set()), 6 if way == "garbage" else 0
    if way == "garbage":
        if at == 1 or (method == "password" and at == 3):
            return {"EACCES"}, None
        # Any address and port are valid, and RSV is ignored, but ATYP is checked.
        return ({"ok"}, 5) if at >= head + 4 else ({"EPROTO"}, None)
    if at < 2 or head <= at < head + 2:
        why = "ECONNREFUSED"
    elif at < head:
        why = "EACCES"
    else:
        why = "EPROTO"
    return {why} | ({"ECONNRESET"} if way == "reset" else set()), None


def each(title, ways, hows):
    for METHOD, HOW in itertools.product(SELECTION, hows):
        def run(w, method=METHOD, how=HOW):
            chosen = places(SELECTION[method], STATUS[method], REPLY)
            with Client(w) as client:
                w.hostile.play(fails(method, chosen[-1], "close"))
                client.order(how, PORTS[method, "off"])
                for pipeline, at, way in itertools.product(pipelines(how), chosen, ways):
                    w.hostile.play(fails(method, at, way))
                    what = "%s, pipeline %s, octet %d, %s: " % (how, pipeline, at, way)
                    got, octets = client.order(how, PORTS[method, pipeline], what)
                    allowed, theirs = expected(method, at, way)
                    assert got in allowed, what + "%s, not %s" % (got, allowed)
                    assert theirs is None or octets == theirs or (way == "reset" and octets < 0), \
                        what + "%d octets" % octets
        test("torture: %s at octets of every message have the right result, %s, %s" % (title, METHOD, HOW))(run)


each("failures", WAYS, ("block", "poll", "select", "epoll"))


@test("torture: silence after octets of every message ends by the program or by the timeout")
def _(w):
    with Client(w, 1) as client:
        for method, pipeline in PORTS:
            for number, at in enumerate(places(SELECTION[method], STATUS[method], REPLY)[:-1]):
                w.hostile.play(fails(method, at, "stall"))
                how = "block" if number == 3 or (ALL and number % 7 == 3) else "impatient"
                got, _ = client.order(how, PORTS[method, pipeline])
                assert got == ("ETIMEDOUT" if how == "block" else "late"), \
                    "%s, pipeline %s, octet %d, %s: %s" % (method, pipeline, at, how, got)


REFUSALS = {"ECONNREFUSED", "EACCES", "EPROTO", "ECONNABORTED", "ECONNRESET", "EOPNOTSUPP",
            "EHOSTUNREACH"}


@test("torture: BIND has the right result for failures at octets of both replies")
def _(w):
    for method in SELECTION:
        total = len(SELECTION[method]) + len(STATUS[method]) + len(REPLY) + len(SECOND)
        chosen = places(SELECTION[method], STATUS[method], REPLY, SECOND)
        with Client(w) as client:
            for pipeline, at, way in itertools.product(("off", "on") if ALL else ("on",), chosen, WAYS):
                w.hostile.play(fails(method, at, way, SECOND))
                got, _ = client.order("bind", PORTS[method, pipeline])
                first = total - len(SECOND)
                allowed = REFUSALS if at < first else REFUSALS | {"late", "EAGAIN"}
                if at == total:
                    allowed = {"ok"} | ({"ECONNABORTED", "ECONNRESET"} if way == "reset" else set())
                if way == "garbage":
                    allowed = allowed | {"ok", "late"}
                assert got in allowed, "%s, pipeline %s, octet %d, %s: %s" % (method, pipeline, at,
                                                                            way, got)


@test("torture: UDP ASSOCIATE has the right result for failures at octets of every message")
def _(w):
    for method, pipeline in PORTS:
        chosen = places(SELECTION[method], STATUS[method], REPLY)
        with Client(w) as client:
            for at, way in itertools.product(chosen[:-1], WAYS):
                w.hostile.play(fails(method, at, way))
                got, _ = client.order("udp", PORTS[method, pipeline])
                allowed = REFUSALS | ({"ok"} if way == "garbage" else set())
                assert got in allowed, "%s, pipeline %s, octet %d, %s: %s" % (method, pipeline, at,
                                                                            way, got)
