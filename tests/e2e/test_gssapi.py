"""Servers that require Kerberos: real programs connect over the bridge, with every protection level."""

import glob
import hashlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import bed
import kerberos
import test_bind
import test_udp
import trap
from kerberos import krb, preloaded, via
from world import CURL, PAGE, PLAIN, PYTHON, URL4, fine, right, test

LEVELS = ("clear", "integrity", "confidentiality")


def alone(w, level="confidentiality", port=2080, options=(), **more):
    """Starts a standalone bridge on the client's loopback."""
    k = krb(w)
    bridge = bed.start(bed.CLIENT, ["env"] + k.words(k.realm.client) + [
        w.bridge, "--listen", "127.0.0.1:%d" % port, "-c",
        k.conf(level, **more), *options], stderr=open(w.scratch + "/bridge.log", "a"))
    bed.wait_port(bed.CLIENT, "127.0.0.1", port)
    return bridge


def digest(w):
    with open(w.scratch + "/www/20m", "rb") as f:
        return hashlib.sha256(f.read()).hexdigest().encode()


for level in LEVELS:
    @test("gssapi: a standalone bridge transfers 20 MB with protection " + level)
    def _(w, level=level):
        bridge = alone(w, level)
        try:
            command = "curl -sS -m 30 --socks5-hostname 127.0.0.1:2080 %s20m | sha256sum" % URL4
            right(bed.run(bed.CLIENT, ["sh", "-c", command], w.env), digest(w))
        finally:
            bed.stop(bridge)


# --- unmodified programs over the bridge of their process tree (test_matrix.py has more) ---

for level in LEVELS:
    @test("gssapi: curl transfers 20 MB with protection " + level)
    def _(w, level=level):
        right(via(w, ["sh", "-c", "curl -sS -m 30 %s20m | sha256sum" % URL4], level), digest(w))


@test("gssapi: LD_PRELOAD alone starts the bridge")
def _(w):
    right(preloaded(w, CURL + [URL4]), PAGE)


class Over:
    """A World in which every server is reached over the bridge."""

    def __init__(self, world):
        self.world = world

    def __getattr__(self, name):
        return getattr(self.world, name)

    def via(self, port, command, user="", **more):
        return via(self.world, command)


for client in (test_bind.tnftp, test_bind.lftp):
    @test("gssapi: %s fetches files in active mode" % client.__name__)
    def _(w, client=client):
        client(Over(w), bed.TARGET4, None, "")


@test("gssapi: a Python program sends datagrams, connected and not, with every protection level")
def _(w):
    test_udp.targets(w)
    for level in LEVELS:
        right(via(w, [PYTHON, "-c", test_udp.EVERY_SIZE], level), b"all came back")


@test("gssapi: the largest datagram arrives, one octet more fails with EMSGSIZE")
def _(w):
    test_udp.targets(w)
    code = """
import socket, sys
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(10)
u.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
u.connect((%r, 7))
def fits(n):
    try: return u.send(b'l' * n) == n
    except OSError as e: assert e.errno == 90, e; return False
low, high = 60000, 70000
while high - low > 1:
    at = (low + high) // 2
    low, high = (at, high) if fits(at) else (low, at)
    try: back = u.recv(70000) if low == at else b''
    except TimeoutError: print('lost', at)
print('largest', low)""" % bed.TARGET4
    for level, most in (("clear", 65507 - 10), ("integrity", 65507 - 256 - 10), ("confidentiality", 65507 - 256 - 10)):
        result = via(w, [PYTHON, "-c", code], level, seconds=100)
        assert result[1] == b"largest %d\n" % most, (level, result)


@test("gssapi: called_back accepts connections")
def _(w):
    test_bind.callers()
    for how in ("blocking", "epoll"):
        fine(via(w, [w.app("called_back"), bed.TARGET4, str(test_bind.CALLER), how]))


@test("gssapi: host names are resolved by the server")
def _(w):
    right(via(w, CURL + ["http://both.example/"]), PAGE)


@test("gssapi: a connection still works after exec")
def _(w):
    after = "import socket; c = socket.socket(fileno=9); c.sendall(b'after'); print(c.recv(9))"
    code = """
import os, socket
c = socket.create_connection((%r, 7)); os.dup2(c.fileno(), 9)
c.sendall(b'before'); assert c.recv(9) == b'before'
os.execv(%r, [%r, '-c', %r])""" % (bed.TARGET4, PYTHON, PYTHON, after)
    right(via(w, [PYTHON, "-c", code]), b"after")


@test("gssapi: each failure reply has its own errno")
def _(w):
    for port, errno in ((11, b"111"),):
        code = "import socket; print(socket.socket().connect_ex((%r, %d)))" % (bed.TARGET4, port)
        right(via(w, [PYTHON, "-c", code]), errno)
    code = "import socket; print(socket.socket().connect_ex(('10.88.2.99', 80)))"
    right(via(w, [PYTHON, "-c", code]), b"13")


# --- octets on the wire ---


class Capture:
    """Captures every TCP octet between the client's host and the GSSAPI server, by direction."""

    def __init__(self, port):
        self.port = port
        with bed.inside(bed.PROXY):
            self.link = trap.listen("client")
        self.link.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.streams = {}
        self.ended = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        self.link.settimeout(0.2)
        while not self.ended:
            try:
                frame = self.link.recv(65600)
            except TimeoutError:
                continue
            if frame[12:14] != b"\x08\x00" or frame[23] != 6:
                continue
            ip = frame[14:14 + struct.unpack("!H", frame[16:18])[0]]
            tcp = ip[(ip[0] & 15) * 4:]
            source, to, number = struct.unpack("!HHI", tcp[:8])
            if self.port in (source, to):
                octets = tcp[(tcp[12] >> 4) * 4:]
                pieces = self.streams.setdefault((source, to), {})
                if octets:
                    pieces[number] = octets

    def stop(self):
        time.sleep(0.5)
        self.ended = True
        self.thread.join()
        self.link.close()
        return {key: self._whole(pieces) for key, pieces in self.streams.items() if pieces}

    @staticmethod
    def _whole(pieces):
        first = min(pieces)
        end = max(n - first + len(p) for n, p in pieces.items())
        whole = bytearray(end)
        for number, octets in pieces.items():
            whole[number - first:number - first + len(octets)] = octets
        return bytes(whole)


def message_types(stream, skip):
    """The MTYPs of the messages after the greeting or selection of SKIP octets."""
    types, at = [], skip
    while at < len(stream):
        assert stream[at] == 1, (at, stream[at:at + 8])
        types.append(stream[at + 1])
        at += 4 + struct.unpack("!H", stream[at + 2:at + 4])[0]
    assert at == len(stream), "the last message is incomplete"
    return types


for level in LEVELS:
    @test("gssapi: the octets on the wire are protected with " + level)
    def _(w, level=level):
        krb(w)
        capture = Capture(kerberos.GSSAPI)
        command = ["curl", "-sS", "-m", "30", "-H", "X-Secret: plain-to-see", URL4]
        right(via(w, command, level), PAGE)
        streams = capture.stop()
        assert len(streams) == 2, list(streams)
        both = b"".join(streams.values())
        readable = b"plain-to-see" in both and PAGE in both
        assert readable == (level != "confidentiality"), level
        if level == "clear":
            return
        for (source, _), stream in streams.items():
            types = message_types(stream, 2 if source == kerberos.GSSAPI else 3)
            after = types[types.index(2) + 1:]
            assert types[:2] == [1, 2] and after and set(after) == {3}, types


# --- errors of Kerberos: one line, EACCES, no hang ---

CONNECT = "import socket; print(socket.socket().connect_ex((%r, 80)))" % bed.TARGET4


def one_line(w, text, seconds=20, **more):
    status, out, err = via(w, [PYTHON, "-c", CONNECT], seconds=seconds, **more)
    lines = err.decode().splitlines()
    assert status == 0 and out == b"13\n", (status, out, err)
    assert len(lines) == 1 and text in lines[0], lines


@test("gssapi: without a credential cache connect() fails with EACCES and one line")
def _(w):
    k = krb(w)
    one_line(w, "run kinit", env=dict(k.realm.client, KRB5CCNAME="FILE:%s/none" % k.dir))


@test("gssapi: with an expired ticket connect() fails with EACCES and one line")
def _(w):
    k = krb(w)
    cache = "FILE:%s/short" % k.dir
    k.realm.kinit("alice", "-l", "2s", cache=cache)
    time.sleep(3)
    one_line(w, "expired", env=dict(k.realm.client, KRB5CCNAME=cache))


@test("gssapi: with an unknown service principal connect() fails with EACCES and one line")
def _(w):
    one_line(w, "not found in Kerberos database", more=' gssapi-service = "nosuch"')


@test("gssapi: without a reply from the KDC connect() fails with EACCES and one line")
def _(w):
    k = krb(w)
    conf = k.dir + "/nokdc.conf"
    with open(k.dir + "/krb5.conf") as f, open(conf, "w") as to:
        to.write(f.read().replace("%s:%d" % (bed.PROXY4, kerberos.KDC), "127.0.0.1:88"))
    cache = k.dir + "/fresh"
    k.realm.kinit("alice", cache="FILE:" + cache)
    one_line(w, "KDC", env={"KRB5_CONFIG": conf, "KRB5CCNAME": "FILE:" + cache})


@test("gssapi: with a server whose clock is an hour ahead connect() fails with EACCES and one line")
def _(w):
    k = krb(w)
    conf = k.dir + "/late.conf"
    with open(k.dir + "/danted.conf") as f, open(conf, "w") as to:
        to.write(f.read().replace("port = %d" % kerberos.GSSAPI, "port = 1087"))
    late = bed.start(bed.PROXY, ["env"] + k.words(k.realm.server) + [
        "faketime", "-f", "+1h", k.sockd, "-f", conf, "-p", k.dir + "/late.pid"])
    try:
        bed.wait_port(bed.PROXY, bed.PROXY4, 1087)
        one_line(w, "security context", port=1087)
    finally:
        bed.stop(late)


@test("gssapi: the program loads no GSSAPI library, and without a ticket the next method is used")
def _(w):
    k = krb(w)
    status, out, err = via(w, [PYTHON, "-c", "import socket; c = socket.create_connection((%r, 80));"
                               "print('libgssapi' in open('/proc/self/maps').read())" % bed.TARGET4])
    assert status == 0 and out == b"False\n", (status, out, err)
    right(via(w, CURL + [URL4], port=1080, methods='"gssapi", "none"',
              env=dict(k.realm.client, KRB5CCNAME="FILE:%s/none" % k.dir)), PAGE)


# --- the bridge as a process ---


def bridges(w):
    """Process IDs of this run's bridges."""
    found = []
    for path in glob.glob("/proc/[0-9]*/exe"):
        try:
            if os.path.samefile(path, w.bridge):
                pid = int(path.split("/")[2])
                ns = os.readlink("/proc/%d/ns/net" % pid)
                with bed.inside(bed.CLIENT):
                    mine = os.readlink("/proc/thread-self/ns/net")
                if ns == mine:
                    found.append(pid)
        except OSError:
            pass
    return found


def eventually(what, seconds=90):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@test("gssapi: after kill -9 of the program, written data arrives and no bridge remains")
def _(w):
    eventually(lambda: not bridges(w))
    received = []
    with bed.inside(bed.TARGET):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((bed.TARGET4, 4000))
        listener.listen(5)
    listener.settimeout(30)

    def serve():
        peer, _ = listener.accept()
        total = 0
        while data := peer.recv(65536):
            total += len(data)
            time.sleep(0.002)
        received.append(total)

    thread = threading.Thread(target=serve)
    thread.start()
    code = """
import os, socket
c = socket.create_connection((%r, 4000))
c.sendall(bytes(4 << 20)); os.kill(os.getpid(), 9)""" % bed.TARGET4
    status, _, _ = via(w, [PYTHON, "-c", code])
    assert status in (-9, 137), status
    thread.join(30)
    listener.close()
    assert received == [4 << 20], received
    eventually(lambda: not bridges(w), 30)


@test("gssapi: a bridge that was killed is started again; at most one connection is refused")
def _(w):
    code = """
import os, socket, subprocess, sys, time
def once():
    try:
        c = socket.create_connection((%r, 7), 20); c.sendall(b'x'); return c.recv(1) == b'x'
    except OSError as e: return e.errno
assert once() is True
def is_bridge(p):
    try: return open('/proc/%%s/comm' %% p).read().strip() == 'socks5-bridge' and \\
        os.readlink('/proc/%%s/ns/net' %% p) == os.readlink('/proc/self/ns/net')
    except OSError: return False
for p in os.listdir('/proc'):
    if p.isdigit() and is_bridge(p): os.kill(int(p), 9)
time.sleep(0.3)
print([once(), once()])""" % bed.TARGET4
    eventually(lambda: not bridges(w))
    status, out, err = via(w, [PYTHON, "-c", code])
    assert status == 0 and out in (b"[True, True]\n", b"[111, True]\n"), (status, out, err)


def usage(pid):
    """Resident memory in kilobytes, and the number of descriptors."""
    with open("/proc/%d/status" % pid) as f:
        rss = int(next(line for line in f if line.startswith("VmRSS")).split()[1])
    return rss, len(os.listdir("/proc/%d/fd" % pid))


THOUSAND = """
import selectors, socket, struct, sys, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
n, rounds = int(sys.argv[1]), int(sys.argv[2])
payload = bytes(range(256)) * 64
def open_one():
    c = socket.create_connection(('127.0.0.1', 2080), 60)
    c.sendall(b'\\5\\1\\0\\5\\1\\0\\1' + socket.inet_aton(%r) + struct.pack('!H', 7))
    got = b''
    while len(got) < 12: got += c.recv(12 - len(got))
    assert got[:4] == b'\\5\\0\\5\\0', got
    return c
for _ in range(rounds):
    all = [open_one() for _ in range(n)]
    for c in all: c.sendall(payload)
    for c in all:
        got = b''
        while len(got) < len(payload): got += c.recv(len(payload) - len(got))
        assert got == payload
    print('echoed', flush=True)
    if n >= 1000: sys.stdin.readline()
    for c in all: c.close()
""" % bed.TARGET4


@test("gssapi: a thousand connections need less than 64 MB", on=PLAIN)
def _(w):
    bridge = alone(w)
    try:
        pid = bridge.pid
        client = subprocess.Popen(bed.within(bed.CLIENT, [PYTHON, "-c", THOUSAND, "1000", "1"]),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert client.stdout.readline() == b"echoed\n"
        rss, _ = usage(pid)
        print("# a thousand connections: %d kB" % rss)
        client.communicate(b"\n", 60)
        assert rss < 64 << 10, rss
    finally:
        bed.stop(bridge)


def leaves_nothing(w, connections):
    bridge = alone(w)
    try:
        pid = bridge.pid
        command = [PYTHON, "-c", THOUSAND, "50"]
        right(bed.run(bed.CLIENT, command + ["10"], w.env, 120), b"echoed")
        time.sleep(1)
        rss, fds = usage(pid)
        right(bed.run(bed.CLIENT, command + [str(connections // 50)], w.env, 900), b"echoed")
        eventually(lambda: usage(pid)[1] == fds)
        print("# before %d kB, after %d kB" % (rss, usage(pid)[0]))
        assert usage(pid)[0] < rss * 1.1 + 1024, (rss, usage(pid))
    finally:
        bed.stop(bridge)


test("gssapi: five hundred connections leak no memory or descriptor in the bridge", on=PLAIN, slow=20)(
    lambda w: leaves_nothing(w, 500))
test("gssapi: ten thousand connections leak no memory or descriptor in the bridge", on=PLAIN, full=True, slow=90)(
    lambda w: leaves_nothing(w, 10000))


# --- a malicious server ---

TAKEN = """
import socket
c = socket.socket(); c.settimeout(20)
r = c.connect_ex((%r, 80))
got = b''
if r == 0:
    try:
        c.sendall(b'connected')
        while piece := c.recv(9999): got += piece
        r = 'end'
    except OSError as e: r = e.errno
print(r, got)""" % bed.TARGET4

EACCES, EPROTO, ECONNREFUSED, ECONNRESET = 13, 71, 111, 104
# The errno that a program gets, by scenario. In the "data" scenarios (None) it gets the data before the fault and a reset.
HOSTILE = {"context-zero": EPROTO, "context-long": EACCES, "context-version": EPROTO,
           "context-type": EPROTO, "context-abort": EACCES, "context-short": EACCES,
           "context-cut": EACCES, "context-close": EACCES, "context-tampered": EACCES,
           "level-zero": EPROTO, "level-long": EPROTO, "level-version": EPROTO,
           "level-type": EPROTO, "level-abort": EACCES, "level-short": EACCES,
           "level-close": EACCES, "level-tampered": EPROTO, "level-plain": EPROTO,
           "level-two": EPROTO, "level-0": EACCES, "level-1": EACCES, "level-3": EACCES,
           "reply-zero": EPROTO, "reply-long": EPROTO, "reply-version": EPROTO,
           "reply-type": EPROTO, "reply-abort": EACCES, "reply-short": ECONNREFUSED,
           "reply-close": ECONNREFUSED, "reply-tampered": EPROTO, "reply-bare": EPROTO,
           "reply-weaker": EPROTO, "reply-replayed": 0,
           "data-zero": None, "data-long": None, "data-version": None, "data-type": None,
           "data-abort": None, "data-short": None, "data-cut": None, "data-tampered": None,
           "data-bare": None, "data-weaker": None, "data-skipped": None}
HOSTILE_PORT = 1088


def expected(errno):
    if errno is None:
        return b"%d b'good'\n" % ECONNRESET
    return b"%d b''\n" % (ECONNRESET if errno == 0 else errno)


def playing(w, scenarios):
    """Starts a server that plays the scenarios, one per connection, with the machine's GSSAPI library."""
    k = krb(w)
    here = os.path.dirname(os.path.abspath(__file__))
    server = bed.start(bed.PROXY, ["env"] + k.words(k.realm.server) + [
        "/usr/bin/python3", here + "/../peer/hostile_gss.py", bed.PROXY4, str(HOSTILE_PORT)]
        + list(scenarios), stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"listening\n"
    return server


@test("gssapi: each fault of a hostile server has its errno, and no wrong data is delivered")
def _(w):
    server = playing(w, HOSTILE)
    wrong = []
    try:
        for scenario, errno in HOSTILE.items():
            result = via(w, [PYTHON, "-c", TAKEN], port=HOSTILE_PORT)
            if result[:2] != (0, expected(errno)):
                wrong.append((scenario, result))
    finally:
        bed.stop(server)
    assert not wrong, wrong


@test("gssapi: credentials are delegated only if gssapi-delegate is set")
def _(w):
    k = krb(w)
    caches = {}
    for option in ("-f", "-F"):
        cache = "FILE:%s/forward%s" % (k.dir, option)
        k.realm.kinit("alice", option, cache=cache)
        caches[option] = dict(k.realm.client, KRB5CCNAME=cache)
    server = playing(w, ["credentials-reported"] * 4)
    try:
        for option, more, reported in (("-f", " gssapi-delegate = true", b"alice@SOCKS5.TEST"), ("-f", "", b"none"),
                                   ("-f", " gssapi-delegate = false", b"none"),
                                   ("-F", " gssapi-delegate = true", b"none")):
            right(via(w, [PYTHON, "-c", TAKEN], env=caches[option], port=HOSTILE_PORT, more=more),
                  b"end b'goodevil'")
            assert server.stdout.readline().strip() == reported, (option, more, reported)
    finally:
        bed.stop(server)


# --- BIND and UDP ASSOCIATE, by a SOCKS5 client of the bridge ---

CLIENT_CODE = """
import socket, struct, sys
def address(sock):
    def exactly(n):
        got = b''
        while len(got) < n:
            piece = sock.recv(n - len(got)); assert piece, 'closed'; got += piece
        return got
    head = exactly(4)
    assert head[:3] == b'\\5\\0\\0', head
    size = 4 if head[3] == 1 else 16
    family = socket.AF_INET if size == 4 else socket.AF_INET6
    return socket.inet_ntop(family, exactly(size)), struct.unpack('!H', exactly(2))[0]
def ask(command, host, port):
    c = socket.create_connection(('127.0.0.1', 2080), 30)
    c.sendall(b'\\5\\1\\0\\5' + bytes([command]) + b'\\0\\1' + socket.inet_aton(host)
              + struct.pack('!H', port))
    assert c.recv(2) == b'\\5\\0'
    return c, address(c)
"""
UDP_CODE = CLIENT_CODE + """
c, relay = ask(3, '0.0.0.0', 0)
assert relay[0] == '127.0.0.1', relay
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
head = b'\\0\\0\\0\\1' + socket.inet_aton(%r) + struct.pack('!H', 4001)
for n in (1, 100, 1400, 9000, 60000):
    u.sendto(head + bytes([n %% 251]) * n, relay)
    got = u.recv(65535)
    assert got == head + bytes([n %% 251]) * n, (n, len(got))
stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); stranger.settimeout(0.5)
stranger.sendto(head + b'intruder', relay)
try: print('STRANGER HEARD', stranger.recv(99))
except TimeoutError: pass
c.close()
print('datagrams passed')""" % bed.TARGET4
BIND_CODE = CLIENT_CODE + """
first = ask(1, %r, 7)[0]
c, bound = ask(2, %r, 0)
print(bound[0], bound[1], flush=True)
peer = address(c)
assert peer[0] == %r, peer
assert c.recv(5) == b'hello'
c.sendall(b'answer'); c.shutdown(socket.SHUT_WR)
assert c.recv(5) == b''
print('both replies')""" % (bed.TARGET4, bed.TARGET4, bed.TARGET4)


def udp_echo():
    with bed.inside(bed.TARGET):
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        u.bind((bed.TARGET4, 4001))

    def serve():
        while True:
            data, peer = u.recvfrom(65535)
            if data.endswith(b"end"):
                return
            u.sendto(data, peer)

    threading.Thread(target=serve, daemon=True).start()
    return u


for level in LEVELS:
    @test("gssapi: a UDP association of the bridge passes datagrams with protection " + level)
    def _(w, level=level):
        bridge = alone(w, level)
        u = udp_echo()
        try:
            right(bed.run(bed.CLIENT, [PYTHON, "-c", UDP_CODE], w.env), b"datagrams passed")
        finally:
            with bed.inside(bed.TARGET):
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"end", (bed.TARGET4, 4001))
            u.close()
            bed.stop(bridge)
        w.trap.take()  # datagrams to the server's relay are allowed

    @test("gssapi: a BIND request to the bridge gets both replies with protection " + level)
    def _(w, level=level):
        bridge = alone(w, level)
        try:
            client = subprocess.Popen(bed.within(bed.CLIENT, [PYTHON, "-c", BIND_CODE]),
                                      stdout=subprocess.PIPE)
            host, port = client.stdout.readline().decode().split()
            with bed.inside(bed.TARGET):
                caller = socket.create_connection((host, int(port)), 20)
            caller.sendall(b"hello")
            assert caller.recv(99) == b"answer"
            caller.close()
            assert client.stdout.read() == b"both replies\n" and client.wait(20) == 0
        finally:
            bed.stop(bridge)
