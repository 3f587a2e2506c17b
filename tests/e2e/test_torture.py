"""A server that fails at each octet of each exchange in each way. One program does all cases of a
kind, so that what one leaves behind the others meet: the right errno each time, as many descriptors
open as before, nothing past the server (and with a sanitizer in it, nothing touched or lost)."""

import itertools
import os
import subprocess
import sys

import bed
import servers as s
from hostile import CHOSEN, OK, Talk
from run import test

CLOSED = "ECONNREFUSED ECONNRESET EPROTO".split()
BOUND = bytes([5, 0, 0, 1, 10, 88, 2, 1, 0x12, 0x34])
PASSWORD = 'username = "alice" password = "secret"'
_fresh = itertools.count()


class Program:
    """A run of tests/apps/torture through the scripted server; ended with the with-block."""

    def __init__(self, w, pipeline, extra="", timeout=8):
        n = next(_fresh)
        conf = s.write("%s/torture-%d.conf" % (w.scratch, n),
                       'server "hostile" { address = "%s" port = %d pipeline = %s timeout = %d %s }\n'
                       'rule "all" { via = {"hostile"} }\n'
                       % (bed.PROXY4, s.HOSTILE, pipeline, timeout, extra))
        os.chmod(conf, 0o600)
        env = dict(w.env, XDG_CACHE_HOME="%s/torture-cache-%d" % (w.scratch, n))
        command = [w.app("torture"), bed.TARGET4, str(s.ECHO)]
        if w.linked:
            env["SOCKS5_CONF"] = conf
        else:
            command = [w.socksify, "-c", conf, "--"] + command
        self.w, self.open, self.log = w, None, open("%s/torture-%d.log" % (w.scratch, n), "w+b")
        self.process = subprocess.Popen(["ip", "netns", "exec", bed.CLIENT] + command, env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.stdin.close()
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "killed"
        self.log.seek(0)
        text = self.log.read()[-3000:].decode(errors="replace")
        self.log.close()
        assert status == 0 or kind, "status %s: %s" % (status, text)
        if status != 0:
            print(text)

    def told(self, case, script):
        """What CASE comes to while the server plays SCRIPT: words, without the count behind them."""
        self.w.hostile.play(lambda conversation: script(Talk(conversation)))
        self.process.stdin.write(case + "\n")
        self.process.stdin.flush()
        *words, count = (self.process.stdout.readline() or "died 0").split()
        # The first case may leave what stays open, such as the memory of the process tree.
        assert self.open in (None, int(count)), "%s: %s descriptors, not %s" % (case, count, self.open)
        self.open = int(count)
        return words


def fails(t, how):
    if how == "reset":
        t.c.reset()
    elif how == "garbage":
        t.c.say(b"\xa5" * 40)
    elif how == "half":
        t.c.sock.shutdown(1)
        t.c.hang()
    elif how == "stall":
        t.c.hang()


def exchange(parts, after, how, pipelined):
    """The server says PARTS, each behind what it answers, and fails after AFTER octets."""
    def script(t):
        left = after
        for hear, answer in parts:
            if left < 0:
                return
            hear(t)
            t.c.say(answer[:left])
            if left <= len(answer):
                break
            left -= len(answer)
        fails(t, how)

    def at_once(t):
        for hear, _ in parts:
            hear(t)
        t.c.say(b"".join(answer for _, answer in parts)[:after])
        fails(t, how)
    return at_once if pipelined else script


def parts_of(method, replies):
    parts = [(Talk.greeting, CHOSEN if method == "none" else b"\5\2")]
    if method != "none":
        parts.append((Talk.password, b"\1\0"))
    parts += [(Talk.request, replies[0])] + [(lambda t: None, r) for r in replies[1:]]
    return parts


def allowed(after, how, method):
    """What may be told when the answer ends after AFTER octets."""
    if how == "garbage":
        # A5 in the place of a status is a refusal, in that of a REP an unknown one.
        refused = ["EACCES"] if method != "none" or after == 1 else []
        return ["EPROTO"] + refused
    # Closed instead of a status: a password refused.
    return CLOSED + (["EACCES"] if method != "none" and 2 <= after <= 3 else [])


def each_octet(w, case, method, pipeline, replies=(OK,)):
    """CASE with a fault in each octet of the answer and of each kind."""
    parts = parts_of(method, replies)
    total = sum(len(answer) for _, answer in parts)
    with Program(w, pipeline, PASSWORD if method != "none" else "") as program:
        # First one that goes well, since the process keeps some things from its first.
        program.told("connect", lambda t: None)
        ways = [(how, flight) for how in ("close", "reset", "half", "garbage")
                for flight in ((False, True) if pipeline == "on" else (False,))]
        if case == "send":  # a server that hangs up does no UDP, and is not asked again for a while
            ways = [way for way in ways if way[0] == "garbage"]
        for (how, flight), after in itertools.product(ways, range(total)):
            if how == "garbage" and after >= total - 6:
                continue  # an address like another
            got = program.told(case, exchange(parts, after, how, flight))
            assert got[0] in allowed(after, how, method), "%s after %d, %s: %s" % (
                how, after, "at once" if flight else "in steps", got)


def titled(case, method, pipeline, replies):
    test("torture: %s, %s, pipeline %s: a fault at each octet" % (case, method, pipeline))(
        lambda w: each_octet(w, case, method, pipeline, replies))


for METHOD, PIPELINE in itertools.product(("none", "password"), ("off", "on", "auto")):
    for CASE in ("connect", "poll", "send"):
        titled(CASE, METHOD, PIPELINE, (OK,))
@test("torture: a stall at each octet ends at the time-out, all at once")
def _(w):
    for method, pipeline in itertools.product(("none", "password"), ("off", "on")):
        parts = parts_of(method, (OK,))
        total = sum(len(answer) for _, answer in parts)
        with Program(w, pipeline, PASSWORD if method != "none" else "", 1) as program:
            for _ in range(2):
                number = itertools.count()
                got = program.told("many %d" % total,
                                   lambda t: exchange(parts, next(number), "stall", False)(t))
                assert got == ["ETIMEDOUT"] * total, (method, pipeline, got)


# --- the table of real calls, each entry failing in turn; the program has the hooks inside ---

def injected(w, scenario, port):
    status, out, err = bed.run(
        bed.CLIENT, [w.app("inject_calls"), bed.TARGET4, str(s.ECHO), scenario, bed.PROXY4],
        dict(w.env, SOCKS5_SERVER="socks5h://%s:%d" % (bed.PROXY4, port)), 150)
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


LINKED = "--linked" in sys.argv  # else there is no table to reach
for SCENARIO in ("blocking", "poll", "epoll", "datagram", "called") if LINKED else ():
    if SCENARIO in ("blocking", "poll", "epoll"):
        test("injected: %s, dialled again: each real call fails in turn" % SCENARIO)(
            lambda w, n=SCENARIO: dialled_again(w, n))
    test("injected: %s: each real call fails in turn" % SCENARIO)(
        lambda w, n=SCENARIO: injected(w, n, s.DANTED))
