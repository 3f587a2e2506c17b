"""A connection through a server behaves like a direct one in details that the kernel decides: pending errors, full
buffers, the port chosen by bind()."""

import os
import socket
import struct
import time

import bed
import servers as s
import test_hostile
from hostile import OK
from world import PYTHON, fine, right, test

SILENT = "10.88.2.98"


@test("pending errors: the same as of a direct connection that is refused or not answered")
def _(w):
    def app(how, host, port):
        result = how([w.app("pending_error", how is not bare), host, str(port)])
        fine(result)
        return result[1].decode().splitlines()

    def bare(command):
        return bed.run(bed.PROXY, command, w.env)

    def reply(rep):
        def script(t):
            t.begin()
            t.c.say(bytes([5, rep]) + OK[2:])
            t.c.hang()
        return lambda command: test_hostile.probe(w, script, "auto", name="pending_error")

    refused, near = app(bare, bed.TARGET4, s.REFUSED), "lladdr 02:00:00:00:00:98 dev target nud permanent"
    bed.sh("ip -n %s neigh replace %s %s" % (bed.PROXY, SILENT, near))
    silent = app(bare, SILENT, 7)
    assert "Connection refused" in refused[0] and "timed out" in silent[0], (refused, silent)
    through = lambda command: w.via(s.DANTED, command)
    for how, host, expected in ((through, bed.TARGET4, refused), (reply(5), bed.TARGET4, refused),
                                (reply(6), bed.TARGET4, silent),
                                (lambda command: w.via(s.CLOSED, command), bed.TARGET4, refused)):
        got = app(how, host, s.REFUSED)
        assert got == expected, (got, expected)
    # A server that stops answering.
    got = test_hostile.probe(w, lambda t: t.c.hang(), "off", name="pending_error")
    assert got[1].decode().splitlines() == silent, got


@test("pending errors: a connection that is closed before its error is read does not affect another one")
def _(w):
    right(w.via(s.CLOSED, [PYTHON, "-c", """
import select, socket
a, b = socket.socket(), socket.socket()
for c in a, b:
    c.setblocking(False); c.connect_ex(('%s', 7))
    p = select.poll(); p.register(c, select.POLLOUT); p.poll(20000)
a.close() # without asking
try: b.send(b'x')
except OSError as e: print(e.errno, b.getsockopt(1, 4))""" % bed.TARGET4]), b"111 0")


# --- calls with odd addresses, and other protocols ---

@test("connect() of a socket bound to loopback fails with EAFNOSUPPORT and logs why")
def _(w):
    code = """
import errno, socket
c = socket.socket()
c.bind(('127.0.0.1', 0))
print(errno.errorcode[c.connect_ex((%r, 7))], c.getsockname()[0])""" % bed.TARGET4
    status, out, err = w.via(s.DANTED, [PYTHON, "-c", code])
    assert status == 0 and err.count(b"a socket bound to loopback cannot reach a server") == 1, (status, out, err)
    assert out == b"EAFNOSUPPORT 127.0.0.1\n", (out, err)


@test("connect() accepts an IPv6 address without a scope ID, as the kernel does")
def _(w):
    code = """
import ctypes, errno, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
there = struct.pack('=H', 10) + struct.pack('>HI', 7, 0) + socket.inet_pton(10, %r)
c = socket.socket(socket.AF_INET6)
assert libc.connect(c.fileno(), there, 24) == 0, ctypes.get_errno()
c.sendall(b'whole'); assert c.recv(9) == b'whole'
print(c.getpeername())
d = socket.socket(socket.AF_INET6)
assert libc.connect(d.fileno(), there, 23) == -1
print(errno.errorcode[ctypes.get_errno()])""" % bed.TARGET6
    bare = bed.run(bed.PROXY, [PYTHON, "-c", code], w.env)
    right(bare, b"('%s', 7, 0, 0)\nEINVAL\n" % bed.TARGET6.encode())
    assert w.via(s.DANTED, [PYTHON, "-c", code])[1] == bare[1]


@test("UDP-Lite is refused")
def _(w):
    code = """
import errno, socket
def result_of(call, *args):
    try: return call(*args)
    except OSError as e: return errno.errorcode[e.errno]
def lite(): # kernels since 6.20 have none
    try: return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136)
    except OSError: return None
name = socket.gethostbyname('both.example')
results = {result_of(*call) for u in (lite(),) if u for at in (%r, name)
        for call in ((u.connect, (at, 7)), (u.sendto, b'x', (at, 7)))}
print(results <= {'ENOTSUP'} and 'refused')""" % bed.TARGET4
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"refused\n")


# --- a direct connection while another one is negotiated ---

BESIDE = """
import ctypes, errno, resource, signal, socket, struct, time
c = socket.socket(); c.setblocking(False)
assert c.connect_ex((%r, 7)) == errno.EINPROGRESS
def direct():
    return socket.socket()
def result_of(call, *args):
    try: return call(*args)
    except OSError as e: return errno.errorcode[e.errno]
def established(): # one call that does not wait shows whether the other connection is established
    return result_of(c.send, b'x')
""" % bed.TARGET4


def beside(w, code, finish=None):
    """Runs CODE while a connection is negotiated with a server that delays each message."""
    def script(t):
        t.greeting()
        time.sleep(0.2)
        t.c.say(b"\5\0")
        t.request()
        time.sleep(0.2)
        t.c.say(OK)
        if finish:
            finish()
        t.c.echo()

    conf = s.write("%s/beside.conf" % w.scratch, 'server "p" { address = "%s" port = %d pipeline = off }\n'
                   'rule "near" { to = {"10.88.1.0/24"} via = {"direct"} }\n'
                   'rule "all" { via = {"p"} }\n' % (bed.PROXY4, s.HOSTILE))
    os.chmod(conf, 0o644)
    w.hostile.play(test_hostile.play(script))
    return w.configured(conf, [PYTHON, "-c", BESIDE + code], w.env, 40)


@test("a direct connect() without an answer drives another connection, and ends as it would alone")
def _(w):
    code = """
there = (%r, %d)
d = direct()
d.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('ll', 1, 0))
begun = time.monotonic()
print(result_of(d.connect, there), established(), time.monotonic() - begun > 0.9,
      struct.unpack('ll', d.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16)))
""" % (bed.PROXY4, s.BLACK_HOLE)
    right(beside(w, code), b"EINPROGRESS 1 True (1, 0)\n")
    interrupted = """
class Interrupted(Exception): pass
def handle(*_): raise Interrupted
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 1)
d = direct()
try: print(result_of(d.connect, (%r, %d)))
except Interrupted: print('interrupted', established())
d.setblocking(False)
print(errno.errorcode[d.connect_ex((%r, %d))])
""" % ((bed.PROXY4, s.BLACK_HOLE) * 2)
    right(beside(w, interrupted), b"interrupted 1\nEALREADY\n")
    refused = "print(result_of(direct().connect, (%r, %d)), established())" % (bed.PROXY4, s.CLOSED)
    right(beside(w, refused), b"ECONNREFUSED EAGAIN\n")


@test("a direct connect() succeeds when it is answered, after another connection was established meanwhile")
def _(w):
    with bed.inside(bed.PROXY):
        listener = socket.socket()
        listener.bind((bed.PROXY4, 1097))
        listener.listen(0)
        fill = [socket.socket() for _ in range(2)]
        for one in fill:  # from now on connections are not answered
            one.setblocking(False)
            one.connect_ex((bed.PROXY4, 1097))

    def finish():
        listener.listen(5)
        listener.accept()

    try:
        code = "d = direct(); print(result_of(d.connect, (%r, 1097)), established(), d.getpeername())" % bed.PROXY4
        right(beside(w, code, finish), b"None 1 ('%s', 1097)\n" % bed.PROXY4.encode())
    finally:
        for one in [listener, *fill]:
            one.close()


@test("poll() with the largest possible set drives a connection that is not in the set")
def _(w):
    code = """
libc = ctypes.CDLL(None, use_errno=True)
most = 64
resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
class Wait(ctypes.Structure):
    _fields_ = [('fd', ctypes.c_int), ('events', ctypes.c_short), ('revents', ctypes.c_short)]
def poll(n, ms):
    n = libc.poll((Wait * n)(*[Wait(-1, 1, 0)] * n), n, ms)
    return n if n >= 0 else errno.errorcode[ctypes.get_errno()]
begun = time.monotonic()
print(poll(most, 1500), time.monotonic() - begun > 1.4, established(), poll(most + 1, 0))
"""
    right(beside(w, code), b"0 True 1 EINVAL\n")


# --- a full buffer: packets that wait for an ARP answer, which never arrives, stay in it ---

FULL = """
import ctypes, os, select, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
class Part(ctypes.Structure):
    _fields_ = [('base', ctypes.c_char_p), ('len', ctypes.c_size_t)]
class Message(ctypes.Structure):
    _fields_ = [('name', ctypes.c_void_p), ('namelen', ctypes.c_uint), ('iov', ctypes.POINTER(Part)),
                ('iovlen', ctypes.c_size_t), ('control', ctypes.c_void_p), ('controllen', ctypes.c_size_t),
                ('flags', ctypes.c_int), ('sent', ctypes.c_uint)]
part = Part(b'x' * 1000, 1000)
two = (Message * 2)(*[Message(None, 0, ctypes.pointer(part), 1) for _ in range(2)])
def many(u):
    if libc.sendmmsg(u.fileno(), two, 2, 0) < 0:
        raise OSError(ctypes.get_errno(), '')
to = (sys.argv[1], 49980)
for what, call in (('send', lambda u: u.send(b'x' * 1000)), ('sendto', lambda u: u.sendto(b'x' * 1000, to)),
                   ('sendmsg', lambda u: u.sendmsg([b'x' * 500] * 2)), ('sendmmsg', many),
                   ('long', lambda u: u.send(b'x' * 2500)), ('write', lambda u: os.write(u.fileno(), b'x'))):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    if what != 'sendto': u.connect(to)
    u.setblocking(False)
    try:
        for i in range(1000): call(u)
        print(what, 'never')
    except OSError as e:
        p = select.poll(); p.register(u, select.POLLOUT)
        print(what, e.errno, p.poll(0))"""


@test("sending with a full buffer on a non-blocking datagram socket fails with EAGAIN")
def _(w):
    def relay(c):
        c.receive()
        c.say(b"\5\0\5\0\0\1" + socket.inet_aton("10.88.1.97") + struct.pack(">H", 49980))
        c.hang()

    bare = bed.run(bed.PROXY, [PYTHON, "-c", FULL, "10.88.2.97"], w.env)
    w.hostile.play(relay)
    got = w.via(s.HOSTILE, [PYTHON, "-c", FULL, bed.TARGET4])
    assert bare[1].count(b" 11 []\n") == 6 and got[1] == bare[1], (bare, got)


# --- the port chosen by bind() ---

PORT = """
import select, socket, sys
for host, nonblock in ((%r, False), (%r, True), (%r, False)):
    c = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
    c.bind((sys.argv[1] if ':' not in host else '::', 0))
    before = c.getsockname()[1]
    if nonblock:
        c.setblocking(False)
        c.connect_ex((host, 7))
        p = select.poll(); p.register(c, select.POLLOUT); p.poll(20000)
        c.setblocking(True)
    else:
        c.connect((host, 7))
    c.sendall(b'whole'); assert c.recv(9) == b'whole'
    print('kept' if c.getsockname()[1] == before else 'lost')
""" % (bed.TARGET4, bed.TARGET4, bed.TARGET6)


@test("the port chosen by bind() is kept when the server drops pipelined octets")
def _(w):
    def drops(how):
        def script(t):
            if len(t.take(3)) == 3 and t.pending:  # more than the greeting
                return how(t)
            t.c.say(b"\5\0")
            t.request()
            t.c.say(OK)
            t.c.echo()
        return script

    conf = w.scratch + "/drops.conf"
    for how in (lambda t: None, lambda t: t.c.reset(), lambda t: t.c.say(b"\5\0\5\1" + OK[2:]),
                lambda t: t.c.hang()):
        for address in ("", bed.CLIENT4):
            w.hostile.play(test_hostile.play(drops(how)))
            s.write(conf, 'server "p" { address = "%s" port = %d }\nrule "all" { via = {"p"} }\n'
                    % (bed.PROXY4, s.HOSTILE))
            # Each of the three connections with an empty pipelining cache.
            for one in range(3):
                code = PORT.replace("in ((", "in ((", 1).replace("):\n", ")[%d:%d]:\n" % (one, one + 1), 1)
                got = w.configured(conf, [PYTHON, "-c", code, address], dict(
                    w.env, XDG_CACHE_HOME="%s/cache-port-%d" % (w.scratch, next(test_hostile._fresh))), 30)
                assert got[1] == b"kept\n", (how, address, one, got)
            assert w.hostile.connections == 6, w.hostile.connections
