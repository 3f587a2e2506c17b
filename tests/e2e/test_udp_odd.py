"""Rare uses of datagrams: names, the error queue, many at a time with some dropped, and kernel features that do not
know the SOCKS5 header."""

import os
import socket
import struct

import bed
import nameserver
import servers as s
import test_udp
from world import PYTHON, fine, right, test
from test_udp import head

# A fake address is sent to. The source of the reply is the same fake address, not the real address.
BY_NAME = """
import socket
def fake(name, family, port):
    return socket.getaddrinfo(name, port, family, socket.SOCK_DGRAM)[0][4]
u = socket.socket(%s, socket.SOCK_DGRAM); u.settimeout(10)
there = [fake(n, %s, p) for n, p in (('both.example', 7), ('a.wild.example', 8))]
for i in range(3):
    for n, at in enumerate(there):
        u.sendto(b'%%d' %% n, at)
        data, source = u.recvfrom(100)
        assert data == b'%%d' %% n and source[:2] == at[:2], (data, source, at)
u = socket.socket(%s, socket.SOCK_DGRAM); u.settimeout(10)
for i, at in enumerate([there[1], %r]):
    u.sendto(b'%%d' %% i, at)
    assert u.recvfrom(100)[1][:2] == at[:2]
c = socket.socket(%s, socket.SOCK_DGRAM); c.settimeout(10)
c.connect(there[0])
c.send(b'connected')
assert c.recvfrom(100)[1][:2] == there[0][:2] == c.getpeername()[:2]
print('by name')"""

for FAMILY, LITERAL in (("socket.AF_INET", (bed.TARGET4, 7)), ("socket.AF_INET6", (bed.TARGET6, 7))):
    for LABEL, PORT, USER in test_udp.SERVERS:
        @test("datagrams pass by name, %s, through %s" % (FAMILY, LABEL))
        def _(w, family=FAMILY, literal=LITERAL, port=PORT, user=USER):
            code = BY_NAME % (family, family, family, literal, family)
            right(test_udp.through(w, port, user, [PYTHON, "-c", code]), b"by name")


def bare(w, app):
    test_udp.targets(w)
    fine(bed.run(bed.PROXY, [w.app(app, False), bed.TARGET4, "7"], w.env))


for APP, TITLE in (("udp_mixed", "datagrams with mixed routes, wrong destinations and several parts, "),
                   ("udp_extremes", "datagrams with extreme arguments, ")):
    test(TITLE + "without socksify")(lambda w, a=APP: bare(w, a))
    for LABEL, PORT, USER in test_udp.SERVERS:
        test(TITLE + "through " + LABEL)(
            lambda w, a=APP, p=PORT, u=USER: fine(test_udp.through(w, p, u, [w.app(a), bed.TARGET4, "7"])))


@test("a source name reported by the relay gets a fake address, which resolves to that name")
def _(w):
    def named(name, port=77):
        return b"\0\0\0\3" + bytes([len(name)]) + name + struct.pack(">H", port)

    code = """
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
u.sendto(b'go', ('%s', 77))
data, source = u.recvfrom(100)
print(data.decode(), socket.getnameinfo(source, 0)[0], source[1])""" % bed.TARGET4
    wrong = [named(b"a\0b") + b"x", named(b"") + b"x"]
    result, _ = test_udp.scripted(w, lambda r, d: wrong + [named(b"reported.example") + b"right"], code)
    right(result, b"right reported.example 77")


@test("recvmmsg() returns valid datagrams and skips those from others and incomplete ones")
def _(w):
    def play(relay, data):
        relay.other.sendto(head() + b"not the relay", relay.clients[-1])
        return [b"\0\0", head() + b"one", b"\1" + head()[1:] + b"x", head(1) + b"fr", head() + b"longer than it",
                head(1) + b"ag", head(0x82) + b"ment", head(port=78) + b"two", head() + b"end"]

    relay = test_udp.Relay(play)
    w.hostile.play(relay.script)
    try:
        status, out, err = w.via(s.HOSTILE, [w.app("udp_many"), bed.TARGET4, "77"])
    finally:
        relay.close()
    assert status == 0, (status, out, err)
    assert out.decode().split("\n") == [
        "one from port 77", "longer t (cut) from port 77", "agment from port 77", "two from port 78",
        "end from port 77", ""], out


@test("the error queue returns what was sent, without the header, and its destination")
def _(w):
    code = """
import select, socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
u.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
def errors():
    u.setblocking(False)
    try: return u.recvmsg(100, 512, socket.MSG_ERRQUEUE)
    except BlockingIOError: return 'none'
    finally: u.settimeout(20)
print(errors())
u.sendto(b'go', ('%s', 77))
assert u.recv(100) == b'closed'
p = select.poll(); p.register(u, 0)
for _ in range(200):  # a datagram that arrives before the relay has closed causes no error
    u.sendto(b'lost', ('%s', 77))
    if p.poll(100): break
assert p.poll(0) == [(u.fileno(), select.POLLERR)]
data, more, flags, source = errors()
print(data, source, [m[:2] for m in more])""" % ((bed.TARGET4,) * 2)

    def play(relay, data):
        relay.socket.sendto(head() + b"closed", relay.clients[-1])
        relay.closing = True
        relay.socket.close()
    result, _ = test_udp.scripted(w, play, code)
    right(result, b"none\nb'lost' ('%s', 77) [(0, 11)]" % bed.TARGET4.encode())


@test("kernel features that would ignore the headers of datagrams are refused")
def _(w):
    code = """
import os, socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
got = []
for level, name in ((17, 103), (17, 104), (132, 110)):  # SEGMENT, GRO, SCTP's connect()
    try: u.setsockopt(level, name, 1)
    except OSError as e: got.append(e.errno)
corked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
corked.setsockopt(17, 1, 1)  # allowed while the socket has no association
try: corked.connect(('%s', 7))
except OSError as e: got.append(e.errno)
u.connect(('%s', 7))
try: u.setsockopt(17, 1, 1)
except OSError as e: got.append(e.errno)
f = os.open('/etc/hostname', os.O_RDONLY)
try: os.sendfile(u.fileno(), f, 0, 3)
except OSError as e: got.append(e.errno)
try: u.sendmsg([b'abcdef'], [(17, 103, (3).to_bytes(2, 'little'))])  # cut in two
except OSError as e: got.append(e.errno)
u.send(b'whole')
print(got, u.recv(99))""" % (bed.TARGET4, bed.TARGET4)
    right(test_udp.through(w, s.DANTED, "", [PYTHON, "-c", code]),
          b"[92, 92, 95, 95, 92, 22, 5] b'whole'")


MOVES = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
class Part(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
def call(name, *args):
    f = getattr(libc, name)
    f.restype = ctypes.c_ssize_t
    n = f(*(ctypes.c_long(a) if isinstance(a, int) else a for a in args))
    return n if n >= 0 else -ctypes.get_errno()
def part(buffer):
    return ctypes.byref(Part(ctypes.addressof(buffer), len(buffer)))
out, buffer = ctypes.create_string_buffer(b'whole', 5), ctypes.create_string_buffer(9)
def io(u, at=-1, flags=0):
    sent = call('pwritev2', u.fileno(), part(out), 1, at, flags)
    if sent > 0: u.recv(1, socket.MSG_PEEK)  # it is there
    got = call('preadv2', u.fileno(), part(buffer), 1, at, flags)
    return sent, got, buffer.value if got > 0 else b''
"""


@test("splice and sendfile are refused on an association, preadv2 and pwritev2 work without flags")
def _(w):
    code = MOVES + """
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(None)
u.connect((%r, 7))
r, p = os.pipe(); os.write(p, b'piped')
print(call('splice', r, None, u.fileno(), None, 5, 0), call('splice', u.fileno(), None, p, None, 5, 0))
f = os.memfd_create('file'); os.write(f, b'file')
print(call('sendfile', u.fileno(), f, ctypes.byref(ctypes.c_long(0)), 4), os.read(r, 9))
print(io(u), io(u, -1, 8), io(u, 0), call('pwritev2', -1, part(out), 1, -1, 0))
""" % bed.TARGET4
    right(test_udp.through(w, s.DANTED, "", [PYTHON, "-c", code]),
          b"-22 -22\n-22 b'piped'\n(5, 5, b'whole') (-95, -95, b'') (-29, -29, b'') -9\n")
    assert len(test_udp.SEEN) == 1 + 1, test_udp.SEEN


@test("splice is refused on a socket to a name server, preadv2 and pwritev2 work without flags")
def _(w):
    code = MOVES + """
import struct
q = b'\\1\\2\\1\\0\\0\\1' + bytes(6) + b'\\4both\\7example\\0\\0\\1\\0\\1'
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(None)
u.connect((%r, 53))
r, p = os.pipe(); os.write(p, q)
print(call('splice', r, None, u.fileno(), None, len(q), 0))
out, buffer = ctypes.create_string_buffer(q, len(q)), ctypes.create_string_buffer(512)
sent, got, answer = io(u)
print(sent == len(q), got == len(q) + 16, buffer.raw[:2] == q[:2], socket.inet_ntoa(buffer.raw[got - 4:got]))
print(io(u, -1, 8)[:2])
""" % bed.TARGET4
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"-22\nTrue True True 198.18.0.1\n(-95, -95)\n")


@test("calls on a stream that is being negotiated wait, or fail with EAGAIN if non-blocking")
def _(w):
    code = """
import os, socket
f = os.open('/etc/passwd', os.O_RDONLY)
def begun():
    c = socket.socket(); c.setblocking(False)
    assert c.connect_ex(('%s', 7)) == 115
    return c
for call in (lambda c: os.sendfile(c.fileno(), f, 0, 4), lambda c: c.send(b'x'),
             lambda c: os.writev(c.fileno(), [b'x']), lambda c: os.readv(c.fileno(), [bytearray(4)]),
             lambda c: c.recvmsg(4), lambda c: os.write(c.fileno(), b'x')):
    try: call(begun()); print('too early')
    except BlockingIOError: pass
for call in (lambda c: os.sendfile(c.fileno(), f, 0, 4), lambda c: os.writev(c.fileno(), [b'root'])):
    c = begun(); c.setblocking(True)
    assert call(c) == 4 and c.recv(4, socket.MSG_WAITALL) == b'root'
print('as it should be')""" % bed.TARGET4
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"as it should be")


@test("sixteen threads that send on a new socket share one association")
def _(w):
    code = """
import socket, threading
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
ready = threading.Barrier(16)
def go(i):
    ready.wait()
    u.sendto(b'%%d' %% i, ('%s', 7))
threads = [threading.Thread(target=go, args=(i,)) for i in range(16)]
for t in threads: t.start()
for t in threads: t.join()
print(len({u.recv(9) for _ in threads}), 'of sixteen')""" % bed.TARGET4
    right(test_udp.through(w, s.DANTED, "", [PYTHON, "-c", code]), b"16 of sixteen")


SEND = """
import socket
u = socket.socket(socket.%s, socket.SOCK_DGRAM)
for _ in range(2):
    try: print(u.sendto(b'x', ('%s', 7)), end=' ')
    except OSError as e: print(e.errno, end=' ')"""
V4, V6 = SEND % ("AF_INET", bed.TARGET4), SEND % ("AF_INET6", bed.TARGET6)


@test("UDP through a server that is down fails with ECONNREFUSED")
def _(w):
    right(w.via(s.CLOSED, [PYTHON, "-c", V4]), b"111 111")


# Replies of a server to UDP ASSOCIATE, and the results in the program.
REPLIES = {"port 0 is EPROTO": (b"\5\0\0\1\n\x58\1\2\0\0", b"71"),
           "a name uses the server's address": (b"\5\0\0\3\5relay\xc3\x46", b"1 1"),
           "an address of the other family is EAFNOSUPPORT": (
               b"\5\0\0\4" + socket.inet_pton(socket.AF_INET6, bed.PROXY6) + b"\xc3\x50", b"97"),
           "a refusal is EACCES": (b"\5\2\0\1\0\0\0\0\0\0", b"13"),
           "a close is EOPNOTSUPP": (b"", b"95"), "half a reply is EPROTO": (b"\5\0\0\1\n", b"71")}


def answer(octets):
    def script(conversation):
        conversation.receive()
        conversation.say(b"\5\0" + octets)
        if len(octets) > 8:
            conversation.echo()
    return script


for WHAT, (OCTETS, ERRNO) in REPLIES.items():
    @test("UDP ASSOCIATE answered by " + WHAT)
    def _(w, octets=OCTETS, errno=ERRNO):
        w.hostile.play(answer(octets))
        right(w.via(s.HOSTILE, [PYTHON, "-c", V4]), errno)


@test("a datagram socket with IPV6_V6ONLY keeps the option when bound, and reaches an IPv4 relay")
def _(w):
    code = """
import socket
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.settimeout(10)
u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
u.bind(('::', 0))
port = u.getsockname()[1]
assert u.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', port))
for text in (b'one', b'two'):
    u.sendto(text, (%r, 7))
    assert u.recvfrom(100)[0] == text
assert u.getsockname()[1] == port
print('both')""" % bed.TARGET6
    right(test_udp.through(w, s.DANTED, "", [PYTHON, "-c", code]), b"both")


@test("a socket with an association can connect to a name server and back")
def _(w):
    code = """
import socket
q = b'\\1\\2\\1\\0\\0\\1' + bytes(6) + b'\\4both\\7example\\0\\0\\1\\0\\1'
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
for connected in False, True:
    for i in range(2):
        if connected: u.connect((%r, 7))
        u.send(b'x') if connected else u.sendto(b'x', (%r, 7))
        assert u.recvfrom(9) == (b'x', (%r, 7))
        u.connect((%r, 53))
        u.send(q)
        answer = u.recv(512)
        print(socket.inet_ntoa(answer[-4:]), u.getpeername()[1])
        u.connect((%r, 7))
        u.send(b'y'); assert u.recv(9) == b'y'
        if not connected:
            u.close()
            u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
""" % ((bed.TARGET4,) * 5)
    right(test_udp.through(w, s.DANTED, "", [PYTHON, "-c", code]), b"198.18.0.1 53\n" * 4)


ADDRESSES = """
import ctypes, errno, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def say(r):
    return r if r >= 0 else errno.errorcode[ctypes.get_errno()]
def connect(u, address):
    return say(libc.connect(u.fileno(), address, len(address)))
def send(u, address):
    return say(libc.sendto(u.fileno(), b'x', 1, 0, address, len(address)))
def v4(host, port):
    return struct.pack('=H', 2) + struct.pack('>H', port) + socket.inet_aton(host) + bytes(8)
def v6(host, port, size=28):  # without its scope: 24
    return (struct.pack('=H', 10) + struct.pack('>HI', port, 0) + socket.inet_pton(10, host) + bytes(4))[:size]
def udp(family):
    u = socket.socket(family, socket.SOCK_DGRAM); u.settimeout(20)
    return u
fresh, used = udp(2), udp(2)
"""


@test("short addresses and port 0 for datagrams have the same results with and without socksify")
def _(w):
    code = ADDRESSES + """
assert send(used, v4(%r, 7)) == 1 and used.recv(9) == b'x'
print(send(used, v4(%r, 0)), send(used, b'\\2'), send(used, v6(%r, 7)))
six = udp(10)
print(send(six, v6(%r, 7, 24)), six.recv(9), send(six, v6(%r, 7, 23)))
six = udp(10)
print(connect(six, v6(%r, 7, 24)), six.send(b'y'), six.recv(9), six.getpeername()[:2])
""" % (bed.TARGET4, bed.TARGET4, *[bed.TARGET6] * 4)
    said = b"EINVAL EINVAL EAFNOSUPPORT\n1 b'x' EINVAL\n0 1 b'y' ('%s', 7)\n" % bed.TARGET6.encode()
    test_udp.targets(w)
    right(bed.run(bed.PROXY, [PYTHON, "-c", code], w.env), said)
    right(test_udp.through(w, s.DANTED, "", [PYTHON, "-c", code]), said)


@test("datagrams to the unspecified address go to loopback, through a server if a rule says so")
def _(w):
    code = """
import socket
for connected in False, True:
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
    if connected: u.connect(('0.0.0.0', 77))
    u.send(b'x') if connected else u.sendto(b'x', ('0.0.0.0', 77))
    data, source = u.recvfrom(9)
    assert data == b'x' and source == ('127.0.0.1', 77), source
    assert not connected or u.getpeername() == source, u.getpeername()
print('loopback')"""
    conf = s.write("%s/loopback-udp.conf" % w.scratch, 'server "p" { address = "%s" port = %d }\n'
                   'rule "here" { to = {"127.0.0.0/8"} via = {"p"} }\n' % (bed.PROXY4, s.HOSTILE))
    os.chmod(conf, 0o644)
    relay = test_udp.Relay(lambda r, d: [d])
    w.hostile.play(relay.script)
    try:
        right(w.configured(conf, [PYTHON, "-c", code], w.env, 40), b"loopback")
    finally:
        relay.close()
    assert relay.heard == [head(host="127.0.0.1") + b"x"] * 2, relay.heard


@test("datagrams to a name go directly if a rule says so for its port")
def _(w):
    code = """
import errno, socket
def result_of(call, *args):
    try: return call(*args)
    except OSError as e: return errno.errorcode[e.errno]
near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); near.bind(('127.0.0.1', 5399)); near.settimeout(20)
at = socket.getaddrinfo('here.example', 5399, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
assert at[0] != '127.0.0.1', at  # a fake address, until the port is known
def fresh():
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
    return u
print(fresh().sendto(b'directly', at), near.recv(9))
c = fresh(); c.connect(at)
print(c.send(b'connected'), near.recv(9), result_of(fresh().connect, (at[0], 5400)))
u = fresh()
u.sendto(b'x', (%r, 7)); assert u.recv(9) == b'x'
print(result_of(u.sendto, b'x', at), result_of(u.sendto, b'x', (at[0], 5400)))
u.connect(at)
print(u.send(b'again'), near.recv(9))""" % bed.TARGET4
    conf = s.write("%s/direct-name.conf" % w.scratch, 'server "p" { address = "%s" port = %d }\n'
                   'rule "here" { to = {"here.example"} ports = {"5399"} via = {"direct"} }\n'
                   'rule "no" { to = {"here.example"} ports = {"5400"} via = {"deny"} }\n'
                   'rule "rest" { via = {"p"} }\n' % (bed.PROXY4, s.DANTED))
    os.chmod(conf, 0o644)
    test_udp.targets(w)
    nameserver.Nameserver(bed.CLIENT, ["127.0.0.2"])
    with bed.resolv_conf("nameserver 127.0.0.2\n"):
        right(w.configured(conf, [PYTHON, "-c", code], w.env, 40),
              b"8 b'directly'\n9 b'connected' EACCES\nEHOSTUNREACH EACCES\n5 b'again'\n")
