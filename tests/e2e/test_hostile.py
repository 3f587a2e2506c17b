"""A server that breaks the protocol in every way there is: the program sees the right errno, in time,
and whatever is behind a good reply is the program's. With pipelining forced, off, and automatic, where
the faults of the first try lead to a second."""

import itertools
import os
import re
import time

import bed
import servers as s
from hostile import CHOSEN, OK, Talk
from world import ASAN, TSAN, fine, test

PIPELINE = ("off", "on", "auto")
_fresh = itertools.count()


def play(function):
    return lambda conversation: function(Talk(conversation))


def probe(w, script, pipeline="off", how="", host=bed.TARGET4, extra="", name="probe", seconds=25,
          timeout=2, n=None, extra_words=()):
    """What the probe says of its connection through a server that plays SCRIPT. Nothing is
    remembered of the server from another one, unless both have the same N."""
    w.hostile.play(play(script))
    n = n or next(_fresh)
    conf = s.write("%s/hostile-%s.conf" % (w.scratch, n),
                   'server "hostile" { address = "%s" port = %d pipeline = %s timeout = %d '
                   '%s }\nrule "all" { via = {"hostile"} }\n'
                   % (bed.PROXY4, s.HOSTILE, pipeline, timeout, extra))
    os.chmod(conf, 0o600)
    env = dict(w.env, XDG_CACHE_HOME="%s/cache-%s" % (w.scratch, n))
    command = [w.app(name), host, str(s.ECHO)] + ([how] if how else []) + list(extra_words)
    return w.configured(conf, command, env, seconds)


def told(result):
    assert result[0] == 0, result
    return result[1].decode().split("\n")[0]


def each_way(title, script, allowed):
    """One test: blocking and not, in each pipeline mode."""
    def run(w):
        for pipeline in PIPELINE:
            for how in ("", "nonblock"):
                got = told(probe(w, script, pipeline, how))
                assert got in allowed.split(), "pipeline %s, %s: %s" % (pipeline, how or "blocking",
                                                                        got)
    test("hostile: " + title)(run)


def ends(t, how):
    if how == "reset":
        t.c.reset()
    elif how == "stall":
        t.c.hang()


def cut(w, after, how, pipeline):
    """The server's answer (12 octets) ends after AFTER of them, in the way HOW."""
    def script(t):
        if after <= 2:
            t.greeting()
            t.c.say(CHOSEN[:after])
        else:
            t.begin()
            t.c.say(OK[:after - 2])
        ends(t, how)
    allowed = {"close": "ECONNREFUSED EPROTO", "reset": "ECONNREFUSED ECONNRESET EPROTO",
               "stall": "ETIMEDOUT"}[how]
    got = told(probe(w, script, pipeline, "nonblock" if after & 1 else ""))
    assert got in allowed.split(), "after %d octets, pipeline %s: %s" % (after, pipeline, got)


@test("hostile: an answer cut after each octet, then closed")
def _(w):
    for after, pipeline in itertools.product(range(12), PIPELINE):
        cut(w, after, "close", pipeline)


@test("hostile: an answer cut after each octet, then reset")
def _(w):
    for after, pipeline in itertools.product(range(12), PIPELINE):
        cut(w, after, "reset", pipeline)


@test("hostile: an answer cut here and there, then silence: the time-out ends it")
def _(w):
    for after, pipeline in ((0, "off"), (0, "auto"), (1, "on"), (5, "off"), (11, "auto")):
        cut(w, after, "stall", pipeline)


def answer(selection, reply=OK):
    def script(t):
        t.greeting()
        t.c.say(selection)
        t.request()
        t.c.say(reply)
        t.c.hang()
    return script


each_way("wrong version in the selection", answer(b"\4\0"), "EPROTO")
each_way("wrong version in the reply", answer(CHOSEN, b"\4" + OK[1:]), "EPROTO")
each_way("wrong address type in the reply", answer(CHOSEN, b"\5\0\0\2" + OK[4:]), "EPROTO")
each_way("a method that was not offered", answer(b"\5\2"), "EPROTO EACCES")
each_way("no acceptable method", answer(b"\5\xff"), "EACCES")
each_way("HTTP", answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "EPROTO")
each_way("an empty name in the reply", answer(CHOSEN, b"\5\1\0\3\0\0\0"), "ECONNABORTED EPROTO")
each_way("a close at once", lambda t: None, "ECONNREFUSED")
each_way("a reset at once", lambda t: t.c.reset(), "ECONNREFUSED ECONNRESET EPIPE ECONNABORTED")


def password(status):
    def script(t):
        t.greeting()
        t.c.say(b"\5\2")
        assert t.password() == (b"alice", b"secret")
        t.c.say(status)
        if status[-1:] == b"\0" and status[:1] == b"\1":
            t.request()
            t.c.say(OK)
            t.c.echo()
    return script


@test("hostile: user and password: refused, a wrong version, a close, taken")
def _(w):
    for status, allowed in ((b"\1\1", "EACCES"), (b"\1\xff", "EACCES"), (b"\5\1", "EACCES EPROTO"),
                            (b"\7\0", "EPROTO EACCES"), (b"", "EACCES"), (b"\1\0", "ok")):
        for pipeline in PIPELINE:
            got = told(probe(w, password(status), pipeline,
                             extra='username = "alice" password = "secret"'))
            assert got in allowed.split(), "status %r, pipeline %s: %s" % (status, pipeline, got)


ERRNO = {1: "ECONNABORTED", 2: "EACCES", 3: "ENETUNREACH", 4: "EHOSTUNREACH", 5: "ECONNREFUSED",
         6: "ETIMEDOUT", 7: "EOPNOTSUPP", 8: "EAFNOSUPPORT"}


def refused(w, reps, pipeline, closes):
    for rep in reps:
        def script(t, rep=rep):
            t.begin()
            t.c.say(bytes([5, rep]) + OK[2:])
            if not closes:
                t.c.hang()
        got = told(probe(w, script, pipeline, "nonblock" if rep & 1 else ""))
        wanted = ERRNO.get(rep, "EPROTO").replace("EOPNOTSUPP", "EOPNOTSUPP ENOTSUP").split()
        assert got in wanted, "REP %02x, pipeline %s: %s" % (rep, pipeline, got)


@test("hostile: assigned REPs and some others, the connection closed behind them")
def _(w):
    refused(w, [*range(1, 18), 0x7F, 0x80, 0xF0, 0xFF], "off", True)


@test("hostile: REP 01 to FF, the connection closed behind it", full=True)
def _(w):
    refused(w, range(1, 256), "off", True)


@test("hostile: each assigned REP and some others, in one flight and at first acquaintance")
def _(w):
    for pipeline, closes in itertools.product(("on", "auto"), (True, False)):
        refused(w, [1, 2, 3, 4, 5, 6, 7, 8, 9, 0xF0, 255], pipeline, closes)


# --- what must work all the same ---

@test("hostile: a good answer octet by octet")
def _(w):
    def script(t):
        t.greeting()
        t.c.say_slowly(CHOSEN)
        t.request()
        t.c.say_slowly(OK)
        t.c.echo()
    for pipeline in PIPELINE:
        for name in ("tcp_blocking", "tcp_nonblock_poll", "epoll_before"):
            fine(probe(w, script, pipeline, name=name))


@test("hostile: BND as IPv6 address and as a name of 255 octets")
def _(w):
    for bound in (b"\4" + bytes(16), b"\3\xff" + b"n" * 255, b"\3\1n"):
        def script(t, bound=bound):
            t.serve(lambda _: t.c.say(b"\5\0\0" + bound + b"\0\x50"))
        for pipeline in PIPELINE:
            fine(probe(w, script, pipeline, name="tcp_blocking"))


@test("hostile: what comes behind the reply in the same segment is the program's")
def _(w):
    def script(t):
        t.greeting()
        t.c.say(CHOSEN)
        t.request()
        t.c.say(OK + b"220 banner\r\n")
        t.c.hang()

    def at_once(t):
        t.greeting()
        t.request()
        t.c.say(CHOSEN + OK + b"220 banner\r\n")
        t.c.hang()
    for pipeline, play_ in itertools.product(PIPELINE, (script, at_once)):
        if play_ is at_once and pipeline == "off":
            continue
        status, out, err = probe(w, play_, pipeline, "read")
        assert status == 0 and out == b"ok\n220 banner\r\n", (pipeline, status, out, err)


def drops(how):
    """Answers what the first octets ask for and never sees what came with them, as microsocks."""
    def script(t):
        t.greeting()
        lost, t.held = t.held, b""
        t.c.say(CHOSEN)
        if lost and how == "refuses":
            t.c.say(b"\5\1" + OK[2:])
            return
        if lost and how == "closes":
            return
        t.request()
        t.c.say(OK)
        t.c.echo()
    return script


@test("hostile: a server that drops pipelined octets costs a second try, unnoticed")
def _(w):
    for how in ("hangs", "refuses", "closes"):
        for name in ("tcp_blocking", "tcp_nonblock_poll", "tcp_nonblock_select", "epoll_before",
                     "epoll_after", "options_kept", "fastopen", "threads_200"):
            fine(probe(w, drops(how), "auto", name=name, seconds=40))


@test("hostile: a server found not to take one flight is not asked again to")
def _(w):
    fine(probe(w, drops("refuses"), "auto", name="tcp_nonblock_poll"))
    assert w.hostile.connections == 5, "%d connections for 4" % w.hostile.connections


@test("hostile: a slow target makes no good server bad")
def _(w):
    def script(t):
        t.begin()
        time.sleep(1.3)
        t.c.say(OK)
        t.c.echo()
    assert told(probe(w, script, "auto", timeout=20, n="slow")) == "ok"
    assert told(probe(w, Talk.serve, "auto", n="slow")) == "ok"
    assert w.hostile.connections == 1 and len(w.hostile.negotiations) == 1, w.hostile.negotiations


@test("hostile: what was found out about a server outlives the program")
def _(w):
    bed.user_folder(w.scratch + "/cache-known")
    assert told(probe(w, drops("hangs"), "auto", timeout=20, n="known")) == "ok"
    assert told(probe(w, drops("hangs"), "auto", n="known")) == "ok"
    assert w.hostile.connections == 1, "%d connections" % w.hostile.connections


@test("hostile: and is kept where no cache directory was before")
def _(w):
    assert told(probe(w, drops("hangs"), "auto", timeout=20, n="kept")) == "ok"
    assert told(probe(w, drops("hangs"), "auto", n="kept")) == "ok"
    assert w.hostile.connections == 1, "%d connections" % w.hostile.connections


@test("hostile: a program that comes back later than the time-out")
def _(w):
    for pipeline in PIPELINE:
        fine(probe(w, lambda t: t.serve(), pipeline, name="late", timeout=1))


@test("hostile: of two connections begun at once each finds out for itself, and both are made")
def _(w):
    # The blocking connect() of the second one carries the first one on.
    assert told(probe(w, drops("hangs"), "auto", name="probe_twice", timeout=20)) == "ok"
    assert w.hostile.connections == 4, "%d connections" % w.hostile.connections


# --- flights ---

def flights(w, count, **more):
    def script(t):
        if "extra" in more:
            t.begin_with_password()
            t.c.say(OK)
            t.c.hang()
        t.serve()
    # At first acquaintance a server that takes a second is asked again, step by step. On a busy machine
    # ours may: once of three times it does not.
    tries = 3 if more.get("pipeline") == "auto" else 1
    for how in ("", "nonblock"):
        seen = []
        for _ in range(tries):
            assert told(probe(w, script, how=how, **more)) == "ok"
            seen.append(list(w.hostile.negotiations))
            if len(seen[-1]) == count:
                break
        assert len(seen[-1]) == count, "flights: %r" % seen


# --- what other threads do meanwhile ---


ALICE = 'username = "alice" password = "secret"'


@test("hostile: who gets the number of a descriptor whose connect() blocks is left alone", on=(ASAN, TSAN))
def _(w):
    def slow(t):
        time.sleep(2.5)
        t.begin_with_password()
        t.c.say(OK)
        t.c.echo()
    fine(probe(w, slow, extra=ALICE, name="close_connecting", timeout=60, seconds=60))
    fine(probe(w, lambda t: t.c.hang(), extra=ALICE, name="close_connecting", how="fails", timeout=3,
               seconds=60))


AUTH = {"extra": ALICE}
test("flights: one without authentication")(lambda w: flights(w, 1, pipeline="on"))
test("flights: one with user and password")(lambda w: flights(w, 1, pipeline="on", **AUTH))
test("flights: one at first acquaintance")(lambda w: flights(w, 1, pipeline="auto"))
test("flights: one at first acquaintance with a password")(
    lambda w: flights(w, 1, pipeline="auto", **AUTH))
test("flights: two step by step")(lambda w: flights(w, 2, pipeline="off"))
test("flights: three step by step with a password")(
    lambda w: flights(w, 3, pipeline="off", **AUTH))
test("flights: the request for an IPv6 target is one flight too")(
    lambda w: flights(w, 1, pipeline="on", host=bed.TARGET6))


@test("the server is slow: connect returns at once, and so do 500 of them")
def _(w):
    def script(t):
        t.begin()
        time.sleep(0.5)
        t.c.say(OK)
        t.c.echo()
    status, out, err = probe(w, script, "on", name="connect_500", seconds=120, timeout=60)
    assert status == 0, (status, out, err)
    longest = int(re.search(rb"longest connect: (\d+) us", out).group(1))
    assert longest < 1000000, "%d us" % longest
