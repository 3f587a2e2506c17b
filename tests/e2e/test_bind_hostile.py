"""A server that breaks BIND in every way there is: listen() and accept() tell the right errno, in time,
and what is behind a good second reply is the program's."""

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
if 'patience' in how:
    l.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 1, 0))
if 'settimeout' in how:
    l.settimeout(1)
tried('listen', l.listen, 5)
print(*l.getsockname())
try: c, peer = tried('accept', l._accept) if 'patience' in how else tried('accept', l.accept)
except ValueError: pass
print(*peer)
c.settimeout(10)
print(c.recv(100).decode(), flush=True)
c.sendall(b'mine')
print(c.recv(100).decode())
""" % bed.CLIENT4
_fresh = itertools.count()


def probe(w, script, *how, pipeline="off", timeout=3, seconds=25, again=None, code=PROGRAM):
    """What the program says of a listener at a server that plays SCRIPT for the first BIND, and AGAIN
    (by default: good, and then silent) for those after it."""
    turn = itertools.count()

    def play(conversation):
        t = Talk(conversation)
        if next(turn) == 0:
            script(t)
        else:
            (again or quiet)(t)
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


def quiet(t):
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


def tells(title, script, expected, *how, **more):
    def run(w):
        out, err = probe(w, script, *how, **more)
        assert out == expected, (out, err)
    test("bind, hostile: " + title)(run)


HERE = "10.88.2.1 %d" % 0x1234
GOOD = [HERE, "10.88.2.2 %d" % 0x4321, "data", "mine"]

tells("all is well", second(SECOND, then=behind), GOOD)
for PIPELINE in ("on", "auto"):
    tells("all is well, pipeline = %s" % PIPELINE, second(SECOND, then=behind), GOOD,
          pipeline=PIPELINE)
tells("data right behind the second reply", second(SECOND + b"data", then=lambda c: c.echo()), GOOD)


@test("bind, hostile: both replies and data in one segment")
def _(w):
    def script(t):
        begin(t)
        t.c.say(FIRST + SECOND + b"data")
        t.c.echo()
    out, err = probe(w, script)
    assert out == GOOD, (out, err)


tells("the second reply octet by octet", second(*(bytes([b]) for b in SECOND), then=behind), GOOD)
for REP, NAME in ((1, "ECONNABORTED"), (2, "EACCES"), (4, "EHOSTUNREACH"), (5, "ECONNREFUSED"),
                  (6, "ETIMEDOUT"), (7, "EOPNOTSUPP"), (8, "EAFNOSUPPORT"), (99, "EPROTO")):
    tells("REP %d in the first reply" % REP, first(bytes([5, REP]) + FIRST[2:]),
          ["listen " + NAME])
    tells("REP %d in the second reply" % REP, second(bytes([5, REP]) + SECOND[2:]),
          [HERE, "accept " + NAME])
tells("a wrong version in the first reply", first(b"\4" + FIRST[1:]), ["listen EPROTO"])
tells("a wrong version in the second reply", second(b"\4" + SECOND[1:]), [HERE, "accept EPROTO"])
tells("a wrong address type in the second reply", second(b"\5\0\0\7" + SECOND[4:]),
      [HERE, "accept EPROTO"])
tells("an empty name in the second reply", second(b"\5\0\0\3\0\1\2", then=behind),
      [HERE, "0.0.0.0 258", "data", "mine"])
tells("a name in the second reply", second(b"\5\0\0\3\4host\1\2", then=behind),
      [HERE, "0.0.0.0 258", "data", "mine"])
tells("an IPv6 peer for an IPv4 listener", second(b"\5\0\0\4" + bytes(15) + b"\1\1\2", then=behind),
      [HERE, "0.0.0.0 258", "data", "mine"])
tells("a name in the first reply is the server", first(NAMED), [bed.PROXY4 + " 4660",
                                                                "accept EAGAIN"], "patience")
tells("no address in the first reply is the server", first(FIRST[:4] + bytes(4) + FIRST[8:]),
      [bed.PROXY4 + " 4660", "accept EAGAIN"], "patience")
tells("no port in the first reply", first(FIRST[:8] + bytes(2)), ["listen EPROTO"])
tells("an IPv6 address for an IPv4 listener", first(b"\5\0\0\4" + bytes(15) + b"\1\1\2"),
      ["listen EAFNOSUPPORT"])
tells("closed instead of the first reply", lambda t: begin(t), ["listen EOPNOTSUPP"])
tells("closed before the second reply", second(then=lambda c: None), [HERE, "accept ECONNABORTED"])
tells("reset before the second reply", second(then=lambda c: c.reset()),
      [HERE, "accept ECONNABORTED"])
tells("closed within the second reply", second(SECOND[:5], then=lambda c: None),
      [HERE, "accept EPROTO"])
tells("no first reply at all", first(b""), ["listen ETIMEDOUT"])
tells("no second reply: SO_RCVTIMEO", second(), [HERE, "accept EAGAIN"], "patience")
tells("half a second reply: SO_RCVTIMEO", second(SECOND[:7]), [HERE, "accept EAGAIN"], "patience")


@test("bind, hostile: a second reply that does not come: settimeout()")
def _(w):
    out, err = probe(w, second(), "settimeout") if False else (None, None)
    code = PROGRAM.replace("tried('accept', l.accept)", "timed(l)").replace(
        "how = sys.argv[1:]", """how = ['settimeout']
def timed(l):
    try: l.accept()
    except TimeoutError:
        print('timed out')
        sys.exit(0)""")
    w.hostile.play(lambda c: quiet(Talk(c)))
    conf = s.write(w.scratch + "/bind-timeout.conf",
                   'server "h" { address = "%s" port = %d pipeline = off }\n'
                   'rule "called" { command = {"bind"} via = {"h"} }\n' % (bed.PROXY4, s.HOSTILE))
    os.chmod(conf, 0o600)
    result = w.configured(conf, [PYTHON, "-c", code], w.env, 25)
    right(result, b"timed out")


@test("bind, hostile: the server goes away after a connection: the next accept() says so")
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
    @test("bind, hostile: a server that fails is asked again after a second, and then two, %s" % HOW)
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
    test("bind: a server without BIND (%s) is EOPNOTSUPP and a log line" % LABEL)(without)


@test("bind and udp: a server that answers no SYN costs its time-out, not the kernel's")
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
