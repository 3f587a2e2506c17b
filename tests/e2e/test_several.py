"""Rules with several servers: what is wrong with a server, and the program's connection goes through the next one, on
the same socket, before the program hears of anything."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time

import bed
import servers as s
from hostile import CHOSEN, Talk
from world import ASAN, CURL, PAGE, PLAIN, PYTHON, TSAN, URL4, fine, right, test

_fresh = itertools.count()
CLOSED = 'port = %d' % s.CLOSED
SILENT = 'port = %d' % s.BLACK_HOLE
HOSTILE = 'port = %d' % s.HOSTILE
GOOD = 'port = %d' % s.DANTED
REFUSING = 'port = %d username = "%s" password = "wrong"' % (s.DANTED_AUTH, s.USER)


class Configured:
    """A configuration with the SERVERS, each at PROXY4 if its keys do not say otherwise, and with the text REST, which may
    name them s0, s1 and so on. What is known of servers at its beginning: nothing."""

    def __init__(self, w, servers, timeout, rest):
        self.w, n = w, next(_fresh)
        own = 'address = "%s" ' % bed.PROXY4
        text = "".join('server "s%d" { %stimeout = %d %s }\n' % (i, "" if "address = " in words else own, timeout, words)
                       for i, words in enumerate(servers))
        self.conf = s.write("%s/several-%d.conf" % (w.scratch, n), text + rest)
        os.chmod(self.conf, 0o600)
        self.env = dict(w.env, XDG_CACHE_HOME="%s/several-cache-%d" % (w.scratch, n))

    def run(self, command, seconds=40, options=("-v",)):
        return self.w.configured(self.conf, command, self.env, seconds, () if self.w.linked else options)

    def probe(self, how="", host=bed.TARGET4, port=s.ECHO):
        status, out, err = self.run([self.w.app("probe"), host, str(port)] + ([how] if how else []))
        assert status == 0, (status, out, err)
        lines = err.decode().splitlines(True)
        return out.decode().strip(), "".join(line for line in lines if ": info: " not in line)


def names_of(servers):
    return ", ".join('"s%d"' % i for i in range(len(servers)))


class Case(Configured):
    """A configuration whose rule has the SERVERS in this order."""

    def __init__(self, w, *servers, rule="", timeout=3):
        super().__init__(w, servers, timeout, 'rule "all" { via = {%s} %s command = {"connect", "bind", "udp"} }\n' % (
            names_of(servers), rule))


def start_danted(w, port):
    """Starts another server. Returns its process group."""
    s.start_danted(w.scratch, port, "none")
    bed.wait_port(bed.PROXY, bed.PROXY4, port)
    path, end = "%s/danted-%d.pid" % (w.scratch, port), time.monotonic() + 20
    while time.monotonic() < end:
        try:
            with open(path, encoding="ascii") as f:
                return os.getpgid(int(f.read()))
        except (OSError, ValueError):  # not written yet, or not whole
            time.sleep(0.1)
    raise AssertionError("no file " + path)


def danted_of(group):
    """The processes of the server whose process group is GROUP."""
    members = []
    for n in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % n, encoding="ascii") as f:
                if f.read() == "danted\n" and os.getpgid(int(n)) == group:
                    members.append(int(n))
        except OSError:
            continue
    return members


def kill_all(members):
    """The end of one may be the end of others."""
    for member in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)


def play(w, function):
    w.hostile.play(lambda conversation: function(Talk(conversation)))


def never_answers(t):
    t.c.hang()


def no_method(t):
    t.greeting()
    t.c.say(b"\5\xff")


def speaks_http(t):
    t.c.receive()
    t.c.say(b"HTTP/1.0 400 Bad Request\r\n\r\n")


def closes_at_once(t):
    t.c.sock.close()


def refuses_password(t):
    t.greeting()
    t.c.say(b"\5\2")
    t.password()
    t.c.say(b"\1\1")


def replies(code):
    def script(t):
        if b"\2" in t.greeting():
            t.c.say(b"\5\2")
            t.password()
            t.c.say(b"\1\0")
        else:
            t.c.say(CHOSEN)
        t.request()
        t.c.say(bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0]))
        t.c.hang()
    return script


def closes_in_place_of_a_reply(t):
    t.begin()


def answers_late(t):
    t.begin()
    time.sleep(4)
    t.c.say(t.c.OK)
    t.c.echo()


WITH_PASSWORD = HOSTILE + ' username = "alice" password = "secret"'
# What is wrong with the first server; its keys; the script of the scripted server.
FAULTS = {
    "refuses connections": (CLOSED, None),
    "does not accept connections": (SILENT, None),
    "refuses the user": (REFUSING, None),
    "never answers": (HOSTILE, never_answers),
    "accepts no method": (HOSTILE, no_method),
    "is a web server": (HOSTILE, speaks_http),
    "closes at once": (HOSTILE, closes_at_once),
    "refuses a password": (WITH_PASSWORD, refuses_password),
    "does not support the command": (HOSTILE, replies(7)),
    "does not support the address": (HOSTILE, replies(8)),
}
PROGRAMS = ("tcp_blocking", "tcp_nonblock_poll", "tcp_nonblock_select", "epoll_before", "epoll_after", "options_kept")
THREADED = ("epoll_thread", "poll_shared", "close_connecting")
FORKING = ("exec_inherit", "fork_connecting")

for NUMBER, (LABEL, (WORDS, SCRIPT)) in enumerate(FAULTS.items()):
    @test("several: the next server is used if the first one " + LABEL)
    def _(w, words=WORDS, script=SCRIPT):
        for host in (bed.TARGET4, bed.TARGET6):
            for name in PROGRAMS:
                play(w, script or never_answers)
                fine(Case(w, words, GOOD).run([w.app(name), host, str(s.ECHO)]))
                assert (w.hostile.connections > 0) == (script is not None)

    @test("several: programs with threads and forks use the next server if the first one " + LABEL,
          on=(ASAN, TSAN) if NUMBER < 4 else ASAN, full=NUMBER > 3)
    def _(w, words=WORDS, script=SCRIPT):
        play(w, script or never_answers)
        # A time limit does not wake a thread that slept in the kernel before another one began to connect.
        waits = words == SILENT or script is never_answers
        for name in THREADED[waits:] + (FORKING if w.variant == ASAN else ()):
            fine(Case(w, words, GOOD, timeout=30, rule="timeout = 10").run([w.app(name), bed.TARGET4, str(s.ECHO)], 60))


@test("several: all faults one after another, and a name")
def _(w):
    play(w, never_answers)
    case = Case(w, CLOSED, REFUSING, SILENT, HOSTILE, GOOD)
    right(case.run(CURL + ["http://both.example/"]), PAGE)
    right(case.run(CURL + ["-g", "http://[%s]/" % bed.TARGET6]), PAGE)


@test("several: 500 connects at once, the first server refuses connections", on=(PLAIN, ASAN), slow=5)
def _(w):
    fine(Case(w, CLOSED, GOOD, timeout=30).run([w.app("connect_500"), bed.TARGET4, str(s.ECHO)], 80))


ASYNC = """
import asyncio
async def one(i):
    r, w = await asyncio.open_connection('%s', %d)
    w.write(b'%%d\\n' %% i)
    assert await r.readline() == b'%%d\\n' %% i
    w.close()
async def main(): await asyncio.gather(*map(one, range(50)))
asyncio.run(main())
print('all')
""" % (bed.TARGET4, s.ECHO)

NODE = """
let left = 20;
for (let i = 0; i < 20; i++) {
    const c = require('net').connect(%d, '%s', () => c.write('x' + i));
    c.on('data', d => { if (String(d) == 'x' + i && --left == 0) console.log('all'); c.end(); });
}""" % (s.ECHO, bed.TARGET4)


@test("several: event loops of Python and Node.js, 50 at a time, the first server never answers", on=PLAIN)
def _(w):
    play(w, never_answers)
    for command in ([PYTHON, "-c", ASYNC], ["node", "-e", NODE]):
        right(Case(w, HOSTILE, GOOD).run(command), b"all")


@test("several: a server that is stopped, and one that is killed, while programs use them", on=PLAIN, root=True,
      in_chroot=False)
def _(w):
    port = 1093
    group = start_danted(w, port)
    case = Case(w, "port = %d" % port, GOOD)
    assert case.probe() == ("ok", "")
    members = danted_of(group)
    try:
        for member in members:
            os.kill(member, signal.SIGSTOP)
        out, err = case.probe()
        assert out == "ok" and 'server "s0": it does not answer; trying s1' in err, (out, err)
        assert case.probe() == ("ok", ""), "it is known to be down"
    finally:
        kill_all(members)


@test("several: what is known of a server is known to the whole tree and to the next run", on=(PLAIN, ASAN))
def _(w):
    play(w, never_answers)
    case = Case(w, HOSTILE, GOOD, timeout=2)
    command = ["sh", "-c", "for i in 1 2 3; do %s %s %d; done" % (w.app("probe"), bed.TARGET4, s.ECHO)]
    status, out, err = case.run(command)
    assert (status, out) == (0, b"ok\nok\nok\n"), (status, out, err)
    first = w.hostile.connections
    assert first in (1, 2), "one connection, with pipelining and perhaps step by step: %d" % first
    assert case.probe()[0] == "ok" and w.hostile.connections == first
    # A server that works again is used again, after a while.
    play(w, lambda t: t.serve())
    end = time.monotonic() + 15
    while not w.hostile.connections and time.monotonic() < end:
        assert case.probe()[0] == "ok"
        time.sleep(0.3)
    assert w.hostile.connections == 1
    assert case.probe() == ("ok", "") and w.hostile.connections == 2


@test("several: a server that is known to be down is used if no other is left", on=PLAIN)
def _(w):
    play(w, never_answers)
    case = Case(w, HOSTILE, CLOSED, timeout=2)
    assert case.probe()[0] == "ECONNREFUSED"
    play(w, lambda t: t.serve())
    assert case.probe()[0] == "ok"


for CODE, ERRNO in ((1, "ECONNREFUSED"), (2, "EACCES"), (3, "ENETUNREACH"), (4, "EHOSTUNREACH"), (5, "ECONNREFUSED"),
                    (6, "ETIMEDOUT")):
    @test("several: reply %d is the program's" % CODE, on=PLAIN)
    def _(w, code=CODE, errno=ERRNO):
        play(w, replies(code))
        for how in ("", "nonblock"):
            got, err = Case(w, HOSTILE + " pipeline = on", GOOD).probe(how)
            assert (got, err) == (errno, "") or code == 1 and got.startswith("E"), (got, err)
        assert w.hostile.connections == 2


for CODE, WORD in ((1, "general-failure"), (2, "not-allowed"), (3, "network-unreachable")):
    @test("several: the next server is used after reply %d if the rule says so, once" % CODE, on=PLAIN)
    def _(w, code=CODE, word=WORD):
        play(w, replies(code))
        words = HOSTILE + " pipeline = on"
        for how in ("", "nonblock"):
            got, err = Case(w, words, GOOD, rule='next-on = "%s"' % word).probe(how)
            assert got == "ok" and err.count("\n") == 1, (got, err)
        assert w.hostile.connections == 2
        case = Case(w, words, words + ' username = "a" password = "b"', GOOD,
                    rule='next-on = "%s"' % word)
        assert case.probe()[0].startswith("E") and w.hostile.connections == 4, w.hostile.connections
        assert case.probe()[0].startswith("E") and w.hostile.connections == 6, "nothing is remembered"


def passed_over_at_the_third_time(w, closing):
    play(w, closes_in_place_of_a_reply)
    command = ["sh", "-c", "for i in 1 2 3 4; do %s %s %d; done" % (w.app("probe"), bed.TARGET4, s.ECHO)]
    status, out, err = Case(w, closing + " pipeline = off", GOOD).run(command)
    assert out == b"ECONNREFUSED\nECONNREFUSED\nok\nok\n", (status, out, err)


test("several: a server that closes in place of replies is passed over after the third time", on=PLAIN)(
    lambda w: passed_over_at_the_third_time(w, HOSTILE))


@test("several: a slow target has the whole time of its server", on=PLAIN)
def _(w):
    play(w, answers_late)
    for how in ("", "nonblock"):
        assert Case(w, HOSTILE + " pipeline = off", GOOD, timeout=6).probe(how) == ("ok", "")


@test("several: the whole time is limited, and the last error is the program's", on=(PLAIN, ASAN))
def _(w):
    play(w, never_answers)
    for how in ("", "nonblock"):
        begun = time.monotonic()
        got, err = Case(w, HOSTILE, SILENT, CLOSED, timeout=20, rule="timeout = 4").probe(how)
        assert got == "ECONNREFUSED" and time.monotonic() - begun < 15, (got, err)
        assert err.count("\n") == 3 and "no server is left" in err, err
    begun = time.monotonic()
    got, err = Case(w, HOSTILE, SILENT, timeout=20, rule="timeout = 3").probe()
    assert got == "ETIMEDOUT" and time.monotonic() - begun < 15, (got, err)


@test("several: the log says which server was used and why", on=PLAIN)
def _(w):
    case = Case(w, CLOSED, REFUSING, GOOD)
    status, out, err = case.run([w.app("probe"), bed.TARGET4, str(s.ECHO)], options=("-v",))
    lines = err.decode().splitlines()
    assert status == 0 and out == b"ok\n" and len(lines) == 3, err
    assert 'warning: server "s0": connection refused; trying s1' in lines[0], err
    assert 'warning: server "s1": wrong name or password; trying s2' in lines[1], err
    assert 'via "s2": connected' in lines[2], err


def servers_used(case, w, n, host=bed.TARGET4):
    """The servers of N connections of one run."""
    code = "import socket\nfor i in range(%d): socket.create_connection(('%s', %d)).close()" % (n, host, s.ECHO)
    status, out, err = case.run([PYTHON, "-c", code])
    assert status == 0, (status, out, err)
    return [line.split('via "')[1][:2] for line in err.decode().splitlines() if "connected" in line]


@test("several: pick chooses the server: in turn, at random, by destination", on=PLAIN)
def _(w):
    servers = (GOOD, "port = %d" % s.MICROSOCKS, "port = %d" % s.SSH_D)
    got = servers_used(Case(w, *servers, rule='pick = "round-robin"'), w, 6)
    assert got == ["s0", "s1", "s2"] * 2, got
    got = servers_used(Case(w, *servers, rule='pick = "random"'), w, 40)
    assert set(got) == {"s0", "s1", "s2"}, got
    case, of_host = Case(w, *servers, rule='pick = "sticky"'), {}
    for host in (bed.TARGET4, "both.example", "only4.example", bed.TARGET4, "BOTH.example"):
        got = set(servers_used(case, w, 3, host))
        assert len(got) == 1, (host, got)
        assert of_host.setdefault(host.lower(), got) == got, (host, got)
    # Without the first one the others share its connections.
    got = servers_used(Case(w, CLOSED, *servers[:2], rule='pick = "round-robin"'), w, 8)
    assert got.count("s1") >= 3 and got.count("s2") >= 3 and len(got) == 8, got


@test("several: with LD_PRELOAD alone names of servers are resolved, and one that cannot be is passed over", on=PLAIN)
def _(w):
    case = Case(w, GOOD, GOOD)
    with open(case.conf, encoding="ascii") as f:
        text = f.read().replace('address = "%s"' % bed.PROXY4, 'address = "nobody.near.example"', 1)
    s.write(case.conf, text)
    with bed.resolv_conf("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n"):
        status, out, err = w.preloaded(None, [w.app("probe"), bed.TARGET4, str(s.ECHO)], SOCKS5_CONF=case.conf)
    assert (status, out) == (0, b"ok\n"), (status, out, err)


# --- datagrams and listeners ---


DATAGRAM = """
import socket, sys
u = socket.socket(socket.AF_INET6 if ':' in '%(host)s' else socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(10 if not sys.argv[1:] else 1)
for i in range(%(n)d):
    if sys.argv[1:] and i: input()
    for again in range(10 if sys.argv[1:] else 1):
        try:
            u.sendto(b'%%d' %% i, ('%(host)s', 4007))
            answer = u.recvfrom(99)[0]
            break
        except OSError as error:  # a datagram may get lost while its relay ends
            answer = str(error).encode()
    print(answer.decode(), flush=True)
"""


_echoing = []


def udp_echo():
    """Port 4007 of the target, for the rest of the run."""
    if _echoing:
        return
    with bed.inside(bed.TARGET):
        for family, host in ((socket.AF_INET, bed.TARGET4), (socket.AF_INET6, bed.TARGET6)):
            u = socket.socket(family, socket.SOCK_DGRAM)
            u.bind((host, 4007))
            threading.Thread(target=_echo, args=(u,), daemon=True).start()
            _echoing.append(u)


def _echo(u):
    while True:
        octets, peer = u.recvfrom(65536)
        u.sendto(octets, peer)


@test("several: datagrams go through the first server that supports them", on=(PLAIN, ASAN))
def _(w):
    udp_echo()
    microsocks = "port = %d" % s.MICROSOCKS  # has no UDP
    for host in (bed.TARGET4, bed.TARGET6):
        for servers in ((CLOSED, GOOD), (microsocks, GOOD), (REFUSING, GOOD), (SILENT, microsocks, GOOD)):
            result = Case(w, *servers).run([PYTHON, "-c", DATAGRAM % {"host": host, "n": 3}])
            assert result[:2] == (0, b"0\n1\n2\n"), result
    for how in ("", "nonblock"):  # connections still use a server without UDP
        assert Case(w, microsocks, GOOD).probe(how)[0] == "ok"
    status, out, err = Case(w, microsocks, CLOSED).run([PYTHON, "-c", DATAGRAM % {"host": bed.TARGET4, "n": 1}])
    assert b"Errno" in out and b"refused: UDP through server" in err, (status, out, err)


@test("several: an association moves to the next server when its own is killed", on=PLAIN, root=True, in_chroot=False)
def _(w):
    udp_echo()
    port = 1094
    group = start_danted(w, port)
    case = Case(w, "port = %d" % port, GOOD)
    command = [w.socksify, "-c", case.conf, "--", PYTHON, "-c", DATAGRAM % {"host": bed.TARGET4, "n": 40}, "wait"]
    with subprocess.Popen(bed.within(bed.CLIENT, command), env=case.env, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as p:
        assert p.stdout.readline() == "0\n"
        kill_all(danted_of(group))
        end, got = time.monotonic() + 30, ""
        for i in range(1, 6):
            p.stdin.write("\n")
            p.stdin.flush()
            got = p.stdout.readline()
            assert got == "%d\n" % i, (i, got)
            time.sleep(0.3)
        assert time.monotonic() < end
        p.kill()


LISTEN = """
import socket
c = socket.create_connection(('%(host)s', 7))
l = socket.socket(c.family)
l.bind((c.getsockname()[0], 0))
l.listen()
print(*l.getsockname()[:2], flush=True)
a, peer = l.accept()
print(peer[0], a.recv(99).decode(), flush=True)
"""


def listen_and_answer(case, host=bed.TARGET4):
    """A program of CASE listens at a server, and is called there. Returns how long (s) that took, and its log lines."""
    begun = time.monotonic()
    command = [case.w.socksify, "-c", case.conf, "--", PYTHON, "-c", LISTEN % {"host": host}]
    with subprocess.Popen(bed.within(bed.CLIENT, command), env=case.env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as p:
        try:
            at, port = p.stdout.readline().split()
            with bed.inside(bed.TARGET):
                caller = socket.create_connection((at, int(port)), 10)
            caller.sendall(b"called")
            out, err = p.communicate(timeout=30)
            assert out == "%s called\n" % bed.TARGET4, (out, err)
            caller.close()
        finally:
            p.kill()
    return time.monotonic() - begun, err


@test("several: a listener is at the first server that supports BIND", on=(PLAIN, ASAN))
def _(w):
    for servers in ((CLOSED, GOOD), ("port = %d" % s.MICROSOCKS, GOOD), (REFUSING, GOOD)):
        listen_and_answer(Case(w, *servers))


LISTEN_NOW = """
import socket
l = socket.socket()
l.bind(('0.0.0.0', 8000))
try: l.listen(); print('listens', flush=True)
except OSError as error: print(error.strerror)
"""


@test("several: the time of the rule limits a listener's requests to all servers", on=(PLAIN, ASAN))
def _(w):
    play(w, never_answers)
    for first in (HOSTILE, SILENT):
        begun = time.monotonic()
        status, out, err = Case(w, first, GOOD, timeout=60, rule="timeout = 4").run([PYTHON, "-c", LISTEN_NOW])
        assert (status, out) == (0, b"listens\n"), (status, out, err)
        assert 1.5 < time.monotonic() - begun < 15, err
    begun = time.monotonic()
    status, out, err = Case(w, HOSTILE, SILENT, timeout=60, rule="timeout = 4").run([PYTHON, "-c", LISTEN_NOW])
    assert (status, out) == (0, b"Connection timed out\n"), (status, out, err)
    assert 3.5 < time.monotonic() - begun < 15, err


def summary_of(case, command, *options):
    options = ("--summary", *options)
    status, out, err = case.run(command, options=options)
    return err.decode()


@test("several: --summary counts the connections of each server, and how often it was passed over", on=(PLAIN, ASAN))
def _(w):
    three = "import socket\nfor i in range(3): socket.create_connection(('%s', %d))" % (bed.TARGET4, s.ECHO)
    text = summary_of(Case(w, CLOSED, REFUSING, GOOD), [PYTHON, "-c", three])
    for line in ('via "s0": 0 connected, 1 passed over for the next server\n',
                 'via "s1": 0 connected, 1 passed over for the next server\n', 'via "s2": 3 connected\n'):
        assert line in text, text
    text = summary_of(Case(w, GOOD, "port = %d" % s.MICROSOCKS, rule='pick = "round-robin"'), [PYTHON, "-c", three])
    assert 'via "s0": 2 connected\n' in text and 'via "s1": 1 connected\n' in text, text
    for how in ("", "nonblock"):
        for words in (CLOSED, SILENT):
            text = summary_of(Case(w, CLOSED, words + ' username = "a" password = "b"'),
                              [w.app("probe"), bed.TARGET4, str(s.ECHO)] + [how] * bool(how))
            assert 'via "s0": 0 connected, 1 passed over for the next server\n' in text, text
            assert 'via "s1": 0 connected, 1 not started, because the server was not reached\n' in text, text
    udp_echo()
    text = summary_of(Case(w, "port = %d" % s.MICROSOCKS, GOOD),
                      [PYTHON, "-c", DATAGRAM % {"host": bed.TARGET4, "n": 1}], "--log-json")
    servers = {each["server"]: each for each in json.loads(text.splitlines()[-1])["summary"]["servers"]}
    assert servers["s0"]["passed_over"] == 1 and servers["s1"]["associations"] == 1, text


@test("several: -x more than once", on=(PLAIN, ASAN))
def _(w):
    url = "socks5h://%s:%d"
    env = dict(w.env, XDG_CACHE_HOME="%s/several-cache-x%d" % (w.scratch, next(_fresh)))
    words = [w.socksify, "-v", "-x", url % (bed.PROXY4, s.CLOSED), "-x", url % (bed.PROXY4, s.DANTED), "--"]
    status, out, err = bed.run(bed.CLIENT, words + CURL + [URL4], env, 40)
    assert status == 0 and PAGE in out and b"connection refused; trying " in err, (status, out, err)
    assert b'via "%s:%d": connected' % (bed.PROXY4.encode(), s.DANTED) in err, err
    two = "socks5h://one:s3cret@%s:%d", "two:s3cret@%s:%d"
    for options, more in ((["-x", two[0] % (bed.PROXY4, 1), "-x", two[1] % (bed.PROXY4, 2)], {}),
                          ([], {"SOCKS5_SERVER": " ".join(two) % (bed.PROXY4, 1, bed.PROXY4, 2)})):
        status, out, err = bed.run(bed.CLIENT, [w.socksify, *options, "--", "env"], dict(env, **more), 40)
        assert status == 0 and b"SOCKS5_SERVER=socks5h://one@" in out and b" two@" in out, (status, out, err)
        assert b"s3cret" not in out, out
    words[5] = "socks5://nobody.example:1"
    status, out, err = bed.run(bed.CLIENT, words + CURL + [URL4], env, 40)
    assert status == 125 and b"socks5h" in err, (status, out, err)
