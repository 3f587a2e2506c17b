"""What few programs do with datagrams: names, the error queue, many at a time with some dropped, and
what the kernel would do without a thought for headers."""

import struct

import bed
import servers as s
import test_udp
from world import PYTHON, fine, right, test
from test_udp import head

# A name stands for one address and, in the reply, for another: the source is what was sent to.
BY_NAME = """
import socket
def stand_in(name, family, port):
    return socket.getaddrinfo(name, port, family, socket.SOCK_DGRAM)[0][4]
u = socket.socket(%s, socket.SOCK_DGRAM); u.settimeout(10)
there = [stand_in(n, %s, p) for n, p in (('both.example', 7), ('a.wild.example', 8))]
for turn in range(3):
    for i, at in enumerate(there):
        u.sendto(b'%%d' %% i, at)
        data, source = u.recvfrom(100)
        assert data == b'%%d' %% i and source[:2] == at[:2], (data, source, at)
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
        @test("datagrams by name, %s, through %s" % (FAMILY, LABEL))
        def _(w, family=FAMILY, literal=LITERAL, port=PORT, user=USER):
            code = BY_NAME % (family, family, family, literal, family)
            right(test_udp.through(w, port, user, [PYTHON, "-c", code]), b"by name")


def bare(w, app):
    test_udp.targets(w)
    fine(bed.run(bed.PROXY, [w.app(app, False), bed.TARGET4, "7"], w.env))


for APP, TITLE in (("udp_mixed", "datagrams to two ways at once, wrong ones, and ones in parts, "),
                   ("udp_extremes", "datagrams at the ends of what the calls take, ")):
    test(TITLE + "bare")(lambda w, a=APP: bare(w, a))
    for LABEL, PORT, USER in test_udp.SERVERS:
        test(TITLE + "through " + LABEL)(
            lambda w, a=APP, p=PORT, u=USER: fine(test_udp.through(w, p, u, [w.app(a), bed.TARGET4, "7"])))


@test("a relay that reports names: one gets a stand-in, which is that name")
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
    result, _ = test_udp.scripted(w, lambda r, d: wrong + [named(b"told.example") + b"right"], code)
    right(result, b"right told.example 77")


@test("many at a time, some of them not the relay's or not whole")
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


@test("the error queue has what was sent, not its header, and whom it was for")
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
for _ in range(200):  # what arrives before the relay has closed is taken without a word
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


@test("what the kernel would do to datagrams without their headers is refused")
def _(w):
    code = """
import os, socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
got = []
for level, name in ((17, 103), (17, 104), (132, 110)):  # SEGMENT, GRO, SCTP's connect()
    try: u.setsockopt(level, name, 1)
    except OSError as e: got.append(e.errno)
corked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
corked.setsockopt(17, 1, 1)  # as long as it is anybody's
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


@test("calls on a stream that is under way wait, or say so")
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


@test("datagrams of sixteen threads on a fresh socket: one association")
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


@test("UDP by a server that is down")
def _(w):
    right(w.via(s.CLOSED, [PYTHON, "-c", V4]), b"111 111")


# What a server answers to UDP ASSOCIATE, and what the program sees of it.
REPLIES = {"no relay's port": (b"\5\0\0\1\n\x58\1\2\0\0", b"71"),
           "a name, which is the server itself": (b"\5\0\0\3\5relay\xc3\x46", b"1 1"),
           "the other family": (b"\5\0\0\4" + bytes(15) + b"\1\xc3\x50", b"97"),
           "not allowed": (b"\5\2\0\1\0\0\0\0\0\0", b"13"),
           "an end": (b"", b"95"), "half of it": (b"\5\0\0\1\n", b"71")}


def answer(octets):
    def script(conversation):
        conversation.flight()
        conversation.say(b"\5\0" + octets)
        if len(octets) > 8:
            conversation.echo()
    return script


for WHAT, (OCTETS, ERRNO) in REPLIES.items():
    @test("UDP ASSOCIATE answered by " + WHAT)
    def _(w, octets=OCTETS, errno=ERRNO):
        w.hostile.play(answer(octets))
        right(w.via(s.HOSTILE, [PYTHON, "-c", V4]), errno)


@test("a datagram socket for IPv6 alone stays so when it is bound, and reaches a relay of IPv4")
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
