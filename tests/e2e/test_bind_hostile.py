"""A server that violates BIND in every possible way: listen() and accept() fail with the right errno, in time, and
data after a good second reply is delivered to the program."""

import itertools
import os
import time

import bed
import servers as s
from hostile import CHOSEN, Talk
from world import PYTHON, right, test

FIRST = bytes([5, 0, 0, 1, 10, 88, 2, 1, 0x12, 0x34])
SECOND = bytes([5, 0, 0, 1, 10, 88, 2, 2, 0x43, 0x21])
NAMED = FIRST[:2] + b"\0\3\4host\x12\x34"
PROGRAM = """
import errno, os, socket, struct, sys
how = sys.argv[1:]
def tried(what, f, *a):
    try: return f(*a)
    except OSError as e:
        print(what, errno.errorcode[e.errno].replace('ENOTSUP', 'EOPNOTSUPP'))
        sys.exit(0)
l = socket.socket()
l.bind(('%s', 0))
if 'SO_RCVTIMEO' in how:
    l.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 1, 0))
if 'settimeout' in how:
    l.settimeout(1)
tried('listen', l.listen, 5)
print(*l.getsockname())
try: c, peer = tried('accept', l._accept) if 'SO_RCVTIMEO' in how else tried('accept', l.accept)
except ValueError: pass
print(*peer)
c.settimeout(10)
print(c.recv(100).decode(), flush=True)
c.sendall(b'mine')
print(c.recv(100).decode())
""" % bed.CLIENT4
_fresh = itertools.count()


def probe(w, script, *how, pipeline="off", timeout=3, seconds=25, again=None, code=PROGRAM):
    """The output of the program and its log, with a listener at a server that plays SCRIPT for the first BIND request
    and AGAIN for later ones (by default: a good first reply, then silence)."""
    requests = itertools.count()

    def play(conversation):
        t = Talk(conversation)
        if next(requests) == 0:
            script(t)
        else:
            (again or first_reply_only)(t)
    w.hostile.play(play)
    n = next(_fresh)
    conf = s.write("%s/bind-%d.conf" % (w.scratch, n),
                   'server "hostile" { address = "%s" port = %d pipeline = %s timeout = %d }\n'
                   'rule "called" { command = {"bind"} via = {"hostile"} }\n'
                   % (bed.PROXY4, s.HOSTILE, pipeline, timeout))
    os.chmod(conf, 0o600)
    env = dict(w.env, XDG_CACHE_HOME="%s/bind-cache-%d" % (w.scratch, n))
    status, out, err = w.configured(conf, [PYTHON, "-c", code] + list(how), env, seconds)
    assert status == 0, (status, out, err)
    return out.decode().splitlines(), err.decode()


def begin(t):
    t.greeting()
    t.c.say(CHOSEN)
    request = t.request()
    assert request[1] == 2, request
    return request


def first_reply_only(t):
    begin(t)
    t.c.say(FIRST)
    t.c.hang()


def first(reply):
    def script(t):
        begin(t)
        t.c.say(reply)
        t.c.hang()
    return script


def second(*pieces, then=None):
    """The second reply in PIECES, after the first one."""
    def script(t):
        begin(t)
        t.c.say(FIRST)
        for piece in pieces:
            time.sleep(0.1)
            t.c.say(piece)
        (then or (lambda c: c.hang()))(t.c)
    return script


def behind(c):
    c.say(b"data")
    c.echo()


def check(title, script, expected, *how, **more):
    def run(w):
        out, err = probe(w, script, *how, **more)
        assert out == expected, (out, err)
    test("bind, hostile: " + title)(run)


HERE = "10.88.2.1 %d" % 0x1234
GOOD = [HERE, "10.88.2.2 %d" % 0x4321, "data", "mine"]

check("a correct server works", second(SECOND, then=behind), GOOD)
for PIPELINE in ("on", "auto"):
    check("a correct server works with pipeline = %s" % PIPELINE, second(SECOND, then=behind), GOOD,
          pipeline=PIPELINE)
check("data in the segment of the second reply is delivered", second(SECOND + b"data", then=lambda c: c.echo()), GOOD)


@test("bind, hostile: both replies and data in one segment are accepted")
def _(w):
    def script(t):
        begin(t)
        t.c.say(FIRST + SECOND + b"data")
        t.c.echo()
    out, err = probe(w, script)
    assert out == GOOD, (out, err)


check("a second reply that arrives octet by octet is accepted", second(*(bytes([b]) for b in SECOND), then=behind), GOOD)
for REP, NAME in ((1, "ECONNABORTED"), (2, "EACCES"), (4, "EHOSTUNREACH"), (5, "ECONNREFUSED"),
                  (6, "ETIMEDOUT"), (7, "EOPNOTSUPP"), (8, "EAFNOSUPPORT"), (99, "EPROTO")):
    check("REP %d in the first reply makes listen() fail with %s" % (REP, NAME), first(bytes([5, REP]) + FIRST[2:]),
          ["listen " + NAME])
    check("REP %d in the second reply makes accept() fail with %s" % (REP, NAME), second(bytes([5, REP]) + SECOND[2:]),
          [HERE, "accept " + NAME])
check("a wrong version in the first reply is EPROTO", first(b"\4" + FIRST[1:]), ["listen EPROTO"])
check("a wrong version in the second reply is EPROTO", second(b"\4" + SECOND[1:]), [HERE, "accept EPROTO"])
check("a wrong address type in the second reply is EPROTO", second(b"\5\0\0\7" + SECOND[4:]),
      [HERE, "accept EPROTO"])
check("an empty name in the second reply is reported as 0.0.0.0", second(b"\5\0\0\3\0\1\2", then=behind),
      [HERE, "0.0.0.0 258", "data", "mine"])
check("a name in the second reply is reported as 0.0.0.0", second(b"\5\0\0\3\4host\1\2", then=behind),
      [HERE, "0.0.0.0 258", "data", "mine"])
check("an IPv6 peer of an IPv4 listener is reported as 0.0.0.0", second(b"\5\0\0\4" + bytes(15) + b"\1\1\2", then=behind),
      [HERE, "0.0.0.0 258", "data", "mine"])
check("a name in the first reply means the server's address", first(NAMED), [bed.PROXY4 + " 4660",
                                                                "accept EAGAIN"], "SO_RCVTIMEO")
check("0.0.0.0 in the first reply means the server's address", first(FIRST[:4] + bytes(4) + FIRST[8:]),
      [bed.PROXY4 + " 4660", "accept EAGAIN"], "SO_RCVTIMEO")
check("port 0 in the first reply is EPROTO", first(FIRST[:8] + bytes(2)), ["listen EPROTO"])
check("an IPv6 address for an IPv4 listener is EAFNOSUPPORT", first(b"\5\0\0\4" + bytes(15) + b"\1\1\2"),
      ["listen EAFNOSUPPORT"])
check("a close instead of the first reply is EOPNOTSUPP", lambda t: begin(t), ["listen EOPNOTSUPP"])
check("a close before the second reply is ECONNABORTED", second(then=lambda c: None), [HERE, "accept ECONNABORTED"])
check("a reset before the second reply is ECONNABORTED", second(then=lambda c: c.reset()),
      [HERE, "accept ECONNABORTED"])
check("a close within the second reply is EPROTO", second(SECOND[:5], then=lambda c: None),
      [HERE, "accept EPROTO"])
check("without a first reply listen() fails with ETIMEDOUT", first(b""), ["listen ETIMEDOUT"])
check("without a second reply accept() ends after SO_RCVTIMEO", second(), [HERE, "accept EAGAIN"], "SO_RCVTIMEO")
check("after half a second reply accept() ends after SO_RCVTIMEO", second(SECOND[:7]), [HERE, "accept EAGAIN"], "SO_RCVTIMEO")


@test("bind, hostile: without a second reply accept() ends after settimeout()")
def _(w):
    out, err = probe(w, second(), "settimeout") if False else (None, None)
    code = PROGRAM.replace("tried('accept', l.accept)", "timed(l)").replace(
        "how = sys.argv[1:]", """how = ['settimeout']
def timed(l):
    try: l.accept()
    except TimeoutError:
        print('timed out')
        sys.exit(0)""")
    w.hostile.play(lambda c: first_reply_only(Talk(c)))
    conf = s.write(w.scratch + "/bind-timeout.conf",
                   'server "h" { address = "%s" port = %d pipeline = off }\n'
                   'rule "called" { command = {"bind"} via = {"h"} }\n' % (bed.PROXY4, s.HOSTILE))
    os.chmod(conf, 0o600)
    result = w.configured(conf, [PYTHON, "-c", code], w.env, 25)
    right(result, b"timed out")


@test("bind, hostile: if the server closes after a connection, the next accept() logs it")
def _(w):
    def gone(t):
        begin(t)
    out, err = probe(w, second(SECOND, then=behind), again=gone)
    assert out == GOOD and err.count("refused: listening") == 1, (out, err)


WAITS = {
    "blocking": "",
    "polling": "l.setblocking(False)\np = select.poll(); p.register(l, select.POLLIN)\n"
               "wait = lambda: p.poll(20000)",
    "epoll": "l.setblocking(False)\np = select.epoll(); p.register(l, select.EPOLLIN)\n"
             "wait = lambda: p.poll(20)",
    "trying": "l.setblocking(False)\nwait = lambda: time.sleep(0.01)",
}

for HOW, SET in WAITS.items():
    @test("bind, hostile: a failed BIND request is repeated after one second, then after two, %s" % HOW)
    def _(w, set_up=SET):
        asked = []

        def failing(t):
            asked.append(time.monotonic())
            (first(b"\5\1" + FIRST[2:]) if len(asked) < 3 else second(SECOND, then=behind))(t)

        code = PROGRAM + """
import select, time
wait = lambda: None
%s
errors = []
while True:
    try:
        wait(); c, peer = l.accept(); break
    except BlockingIOError: pass
    except OSError as e: errors.append(errno.errorcode[e.errno])
c.setblocking(True)
print(errors, c.recv(9).decode(), flush=True)""" % set_up
        out, err = probe(w, second(SECOND, then=behind), code=code, again=failing)
        assert out == GOOD + ["['ECONNABORTED'] data"], (out, err)
        assert len(asked) >= 3 and asked[1] - asked[0] > 0.9 and asked[2] - asked[1] > 1.9, asked


for LABEL, PORT in (("microsocks", s.MICROSOCKS), ("ssh -D", s.SSH_D)):
    def without(w, port=PORT):
        code = """
import errno, socket
socket.create_connection(('%s', 7)).close()
l = socket.socket(); l.bind(('%s', 0))
for i in range(2):
    try: l.listen()
    except OSError as e: print(e.errno)""" % (bed.TARGET4, bed.CLIENT4)
        status, out, err = w.via(port, [PYTHON, "-c", code])
        assert out == b"95\n" * 2 and err.count(b"\n") == 2, (status, out, err)
    test("bind: with a server without BIND (%s) listen() fails with EOPNOTSUPP and logs a line" % LABEL)(without)


@test("bind and udp: with a server that does not answer SYN, calls end after the configured timeout")
def _(w):
    code = """
import errno, socket, time
begun = time.monotonic()
l = socket.socket(); l.bind(('%s', 0))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for call in (l.listen, lambda: u.sendto(b'mine', ('%s', 7))):
    try: print('no error', call())
    except OSError as e: print(errno.errorcode[e.errno])
print(time.monotonic() - begun < 20)""" % (bed.CLIENT4, bed.TARGET4)
    conf = s.write(w.scratch + "/full.conf", """
server "full" { address = "%s" port = %d timeout = 1 }
rule "all" { command = {"connect", "bind", "udp"} via = {"full"} }""" % (bed.PROXY4, s.BLACK_HOLE))
    out = w.configured(conf, [PYTHON, "-c", code], w.env, 100)
    assert out[1] == b"ETIMEDOUT\nETIMEDOUT\nTrue\n", out
