"""Less common uses of datagrams: outgoing fragments, destinations by name, the error queue, the path MTU."""

import socket

import bed
import servers as s
import test_udp
from world import PYTHON, right, test
from test_udp import Relay, head

BIG = bytes(i % 251 for i in range(5000))


def pieces(heard):
    """(FRAG, data) of each datagram that the relay received."""
    assert all(each[:2] + each[3:10] == head()[:2] + head()[3:] for each in heard), heard
    return [(each[2], each[10:]) for each in heard]


def with_relay(w, play, code, more=""):
    relay = Relay(play)
    w.hostile.play(relay.script)
    conf = s.write(w.scratch + "/relay.conf", 'server "p" { address = "%s" port = %d %s }\n'
                   'rule "all" { via = "p" }\n' % (bed.PROXY4, s.HOSTILE, more))
    try:
        return bed.run(bed.CLIENT, [w.socksify, "-c", conf, "--", PYTHON, "-c", code], w.env, 60), relay
    finally:
        relay.close()


SEND = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
big = bytes(i %% 251 for i in range(5000))
to = ('%s', 77)
""" % bed.TARGET4


@test("datagrams: long datagrams are sent in fragments, and fragmented answers are reassembled")
def _(w):
    code = SEND + """
for what in (b'small', big, big[:990], big[:991], b'', big[:1980]):
    assert s.sendto(what, to) == len(what)
    assert s.recvfrom(9999) == (what, to), len(what)
assert s.sendmsg([big[:3], b'', big[3:2000], big[2000:]], [], 0, to) == 5000
assert s.recv(9999) == big
s.connect(to); assert s.send(big) == 5000 and s.recv(9999) == big
print('whole')"""
    result, relay = with_relay(w, lambda r, d: [d], code, "fragment = 1000")
    right(result, b"whole")
    cut = [(i + 1 | (0x80 if i == 5 else 0), BIG[i * 990:(i + 1) * 990]) for i in range(6)]
    assert pieces(relay.heard) == [(0, b"small")] + cut + [(0, BIG[:990]), (1, BIG[:990]), (
        0x82, BIG[990:991]), (0, b""), (1, BIG[:990]), (0x82, BIG[990:1980])] + cut + cut, relay.heard


@test("datagrams: a datagram that is too long or needs too many fragments fails with EMSGSIZE")
def _(w):
    code = SEND + """
def error(n):
    try: return s.sendto(bytes(n), to)
    except OSError as e: return e.errno
s.sendto(b'first', to)
print(error(127 * 502), error(127 * 502 + 1), error(65536))"""
    result, relay = with_relay(w, lambda r, d: (), code, "fragment = 512")
    right(result, b"%d 90 90" % (127 * 502))
    assert len(relay.heard) == 128 and relay.heard[-1][2] == 0xff, len(relay.heard)


@test("datagrams: sendmmsg() sends a batch of which some datagrams are fragmented")
def _(w):
    code = SEND + """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
s.connect(to)
texts = [b'one', big[:1500], b'three', b'four']
bufs = [ctypes.create_string_buffer(t, len(t)) for t in texts]
class iovec(ctypes.Structure): _fields_ = [('b', ctypes.c_void_p), ('n', ctypes.c_size_t)]
class msghdr(ctypes.Structure): _fields_ = [('name', ctypes.c_void_p), ('namelen', ctypes.c_uint), ('iov', ctypes.c_void_p), ('iovlen', ctypes.c_size_t), ('control', ctypes.c_void_p), ('controllen', ctypes.c_size_t), ('flags', ctypes.c_int)]
class mmsghdr(ctypes.Structure): _fields_ = [('hdr', msghdr), ('len', ctypes.c_uint)]
iovs = (iovec * 4)(*[iovec(ctypes.addressof(b), len(t)) for b, t in zip(bufs, texts)])
msgs = (mmsghdr * 4)(*[mmsghdr(msghdr(None, 0, ctypes.addressof(iovs) + 16 * i, 1, None, 0, 0), 0) for i in range(4)])
assert libc.sendmmsg(s.fileno(), msgs, 4, 0) == 4
print([m.len for m in msgs], [len(s.recv(9999)) for m in msgs])"""
    result, relay = with_relay(w, lambda r, d: [d], code, "fragment = 1000")
    right(result, b"[3, 1500, 5, 4] [3, 1500, 5, 4]")
    assert [frag for frag, _ in pieces(relay.heard)] == [0, 1, 0x82, 0, 0], relay.heard


# --- names ---

NAMED = """
import socket
for name, family in (('both.example', socket.AF_INET), ('both.example', socket.AF_INET6), ('only4.example', socket.AF_INET)):
    to = socket.getaddrinfo(name, 7, family, socket.SOCK_DGRAM)[0][4]
    assert to[0].startswith(('198.1', 'fd')), to
    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(20)
    for what in (b'one', b'two'):
        s.sendto(what, to); assert s.recvfrom(99) == (what, to)
    s.connect(to); assert s.getpeername() == to
    s.send(b'three'); assert s.recv(99) == b'three'
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
one, two = [socket.getaddrinfo(n, 7, socket.AF_INET, socket.SOCK_DGRAM)[0][4] for n in ('only4.example', 'a.wild.example')]
assert one != two
s.sendto(b'first', one); assert s.recvfrom(99) == (b'first', one)
print('by name')"""


for LABEL, PORT, USER in test_udp.SERVERS:
    @test("datagrams: datagrams to and from a name pass through %s" % LABEL)
    def _(w, port=PORT, user=USER):
        right(test_udp.through(w, port, user, [PYTHON, "-c", NAMED]), b"by name")


@test("datagrams: an answer whose source is a name has the fake address of that name")
def _(w):
    def named(name, port=77):
        return b"\0\0\0\3" + bytes([len(name)]) + name + port.to_bytes(2, "big")

    def play(relay, data):
        asked = data[5:5 + data[4]]
        assert data[3] == 3 and asked in (b"a.example", b"b.example"), data
        if asked == b"a.example":
            return ()
        return [named(b"a.example") + b"asked for", named(b"B.EXAMPLE") + b"in capitals", named(b"") + b"nobody",
                b"\0\0\0\3\x09a.example\0", named(b"a.example", 78) + b"another port", named(b"a.example") + b"end"]

    code = """
import socket
a, b = [socket.getaddrinfo(n, 77, socket.AF_INET, socket.SOCK_DGRAM)[0][4] for n in ('a.example', 'b.example')]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
s.sendto(b'go', a); s.sendto(b'go', b)
got = [s.recvfrom(99) for _ in range(4)]
assert got == [(b'asked for', a), (b'in capitals', b), (b'another port', (a[0], 78)), (b'end', a)], got
s.connect(b); s.send(b'go')
print(s.recv(99))"""
    result, _ = with_relay(w, play, code)
    right(result, b"b'in capitals'")


# --- the error queue, the MTU ---

@test("datagrams: the error queue returns the datagram and its destination")
def _(w):
    code = SEND + """
import select, struct
s.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
s.sendto(b'lost', to)
p = select.poll(); p.register(s, 0); assert p.poll(20000)[0][1] & select.POLLERR
data, control, flags, where = s.recvmsg(99, 999, socket.MSG_ERRQUEUE)
assert data == b'lost' and where == to and flags & socket.MSG_ERRQUEUE, (data, where, flags)
level, kind, about = control[0]
assert (level, kind) == (0, 11) and struct.unpack('IB', about[:5]) == (111, 2), about
print('given back')"""
    relay = Relay(lambda r, d: ())
    relay.reply = relay.reply[:-2] + (49999).to_bytes(2, "big")  # a closed port
    w.hostile.play(relay.script)
    try:
        right(w.via(s.HOSTILE, [PYTHON, "-c", code]), b"given back")
    finally:
        relay.close()


@test("datagrams: the reported path MTU is reduced by the length of the header")
def _(w):
    for host, family, name, mtu in ((bed.TARGET4, 2, (0, 14), 1490), (bed.TARGET6, 10, (41, 24), 1478)):
        code = "import socket; s = socket.socket(%d, 2); s.connect(('%s', 7)); print(s.getsockopt(*%r))" % (
            family, host, name)
        right(w.via(s.DANTED, [PYTHON, "-c", code]), b"%d" % mtu)
