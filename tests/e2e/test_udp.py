"""Datagrams: real programs and real targets through danted, which supports UDP; and a scripted relay for what danted
never does."""

import os
import re
import socket
import struct
import threading
import time

import bed
import servers as s
from world import AUTH, PYTHON, fine, right, test

DNS, IPERF, DTLS, NTP = 5353, 5201, 4433, 123
SERVERS = (("danted", s.DANTED, ""), ("danted with password", s.DANTED_AUTH, AUTH))
FAMILIES = ((bed.TARGET4, 10), (bed.TARGET6, 42))
EVERY_SIZE = """
import socket
for connected in (False, True):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(10)
    if connected: u.connect((%r, 7))
    for n in (0, 1, 1400, 9000, 60000):
        data = bytes([n %% 251]) * n
        u.send(data) if connected else u.sendto(data, (%r, 7))
        back, peer = u.recvfrom(70000)
        assert back == data and peer == (%r, 7), (n, len(back), peer)
print('all came back')""" % ((bed.TARGET4,) * 3)
SEEN = []  # the sources of the datagrams that the echo service received


def echo(address, port):
    with bed.inside(bed.TARGET):
        u = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    u.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    u.bind((address, port))

    def serve():
        while True:
            data, peer = u.recvfrom(70000)
            SEEN.append(peer[0])
            if port == NTP:
                data = b"\x24\x01\x00\xe9" + bytes(8) + b"LOCL" + ntp_now() + data[40:48] + \
                    ntp_now() + ntp_now()
            u.sendto(data, peer)

    threading.Thread(target=serve, daemon=True).start()


def ntp_now():
    now = time.time() + 2208988800
    return struct.pack(">II", int(now), int(now % 1 * 2**32))


def targets(w):
    """The targets of datagrams. They are started by the first test that needs them."""
    if SEEN:
        return
    SEEN.append("begun")
    for address, _ in FAMILIES:
        for port in (7, 8, NTP):
            echo(address, port)
    bed.start(bed.TARGET, ["dnsmasq", "-k", "-p", str(DNS), "--no-resolv", "--no-hosts", "--user=root",
                           "--conf-file=/dev/null", "--address=/name.example/192.0.2.77"])
    bed.start(bed.TARGET, ["iperf3", "-s", "-p", str(IPERF)], stdout=open("/dev/null", "w"))
    subject = ["-subj", "/CN=target", "-days", "2", "-keyout", w.scratch + "/dtls.key", "-out",
               w.scratch + "/dtls.crt"]
    fine(bed.run(bed.TARGET, ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"] + subject))
    bed.wait_port(bed.TARGET, bed.TARGET4, DNS)
    bed.wait_port(bed.TARGET, bed.TARGET4, IPERF)


def through(w, port, user, command, seconds=60):
    targets(w)
    del SEEN[1:]
    result = w.via(port, command, user, seconds=seconds)
    assert all(a in (bed.OUTER4, bed.OUTER6) for a in SEEN[1:]), SEEN
    return result


for HOST, LESS in FAMILIES:
    @test("every datagram call works to %s, without socksify" % HOST)
    def _(w, host=HOST):
        targets(w)
        fine(bed.run(bed.PROXY, [w.app("udp_calls", False), host, "7"], w.env))

    @test("datagrams by printf() and by fortified calls to %s, without socksify" % HOST)
    def _(w, host=HOST):
        targets(w)
        fine(bed.run(bed.PROXY, [w.app("checked_calls", False), host, "7", "datagrams"], w.env))

    for LABEL, PORT, USER in SERVERS:
        @test("every datagram call works to %s through %s" % (HOST, LABEL))
        def _(w, host=HOST, less=LESS, port=PORT, user=USER):
            fine(through(w, port, user, [w.app("udp_calls"), host, "7", str(less)]))
            assert len(SEEN) > 60, SEEN

        @test("datagrams by calls that exist in two widths to %s through %s" % (HOST, LABEL))
        def _(w, host=HOST, port=PORT, user=USER):
            fine(through(w, port, user, [w.app("widths"), host, "7", "datagrams"]))

        @test("datagrams by printf() and by fortified calls to %s through %s" % (HOST, LABEL))
        def _(w, host=HOST, port=PORT, user=USER):
            fine(through(w, port, user, [w.app("checked_calls"), host, "7", "datagrams"]))
            assert len(SEEN) == 1 + 4, SEEN  # a text is one datagram

        @test("dig queries %s over UDP through %s" % (HOST, LABEL))
        def _(w, host=HOST, port=PORT, user=USER):
            dig = ["dig", "@" + host, "-p", str(DNS), "+tries=1", "+time=10", "+short",
                   "name.example"]
            right(through(w, port, user, dig), b"192.0.2.77")

        @test("openssl s_client -dtls connects to %s through %s" % (HOST, LABEL))
        def _(w, host=HOST, port=PORT, user=USER):
            at = "%s:%d" % ("[%s]" % host if ":" in host else host, DTLS)
            targets(w)
            serve = "while sleep 0.2; do echo from the target; done | openssl s_server -dtls -quiet " \
                    "-accept '%s' -key %s/dtls.key -cert %s/dtls.crt" % (at, w.scratch, w.scratch)
            heard = w.scratch + "/dtls.heard"
            server = bed.start(bed.TARGET, ["sh", "-c", serve], stdout=open(heard, "wb"),
                               stderr=open("/dev/null", "w"))
            time.sleep(0.5)
            talk = "{ sleep 1; echo from the client; sleep 1; } | timeout 20 openssl s_client " \
                   "-dtls -quiet -no_ign_eof -verify_quiet -connect " + at
            try:
                right(through(w, port, user, ["sh", "-c", talk]), b"from the target")
                with open(heard, "rb") as f:
                    assert b"from the client" in f.read()
            finally:
                bed.stop(server)

        @test("Python's asyncio exchanges datagrams with %s through %s" % (HOST, LABEL))
        def _(w, host=HOST, port=PORT, user=USER):
            code = """
import asyncio
async def main():
    loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    got = set()
    class P(asyncio.DatagramProtocol):
        def datagram_received(self, data, addr):
            assert addr[:2] == (%r, 7), addr
            got.add(data)
            if len(got) == 20: done.set_result(0)
    t, _ = await loop.create_datagram_endpoint(P, remote_addr=(%r, 7))
    for i in range(20): t.sendto(b'%%d' %% i)
    await asyncio.wait_for(done, 20)
    print(len(got), 'of twenty')
asyncio.run(main())""" % (host, host)
            right(through(w, port, user, [PYTHON, "-c", code]), b"20 of twenty")

        @test("node exchanges datagrams with %s through %s" % (HOST, LABEL))
        def _(w, host=HOST, port=PORT, user=USER):
            code = """const c = require('dgram').createSocket('udp%d'); let n = 0;
c.on('message', (m, r) => { if (r.address != '%s' || r.port != 7) process.exit(2);
  if (++n == 10) { console.log('ten', m.toString()); c.close(); } });
for (let i = 0; i < 10; i++) c.send('asked', 7, '%s');
setTimeout(() => process.exit(3), 20000).unref();""" % (6 if ":" in host else 4, host, host)
            right(through(w, port, user, ["node", "-e", code]), b"ten asked")

    @test("ntpdig queries %s" % HOST)
    def _(w, host=HOST):
        right(through(w, s.DANTED, "", ["ntpdig", host]), b"s1 no-leap")

    @test("iperf3 -u sends to %s and receives" % HOST)
    def _(w, host=HOST):
        for more in ([], ["-R"]):
            result = through(w, s.DANTED, "", ["iperf3", "-u", "-c", host, "-p", str(IPERF), "-b",
                                               "20M", "-t", "2", "-l", "1200"] + more)
            fine(result)
            lost = re.search(rb" (\d+)/(\d+) .*receiver", result[1])
            assert lost and int(lost.group(2)) > 1000, result
            # A relay on a busy machine loses some datagrams; one that does not work loses all.
            assert int(lost.group(1)) * 5 < int(lost.group(2)) * 4, result


# --- a scripted relay ---

ONE = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(%s)
s.sendto(b'go', ('%s', 77))
got = []
while not got or got[-1] != b'end':
    data, where = s.recvfrom(100000)
    assert where == ('%s', 77), where
    got.append(data)
print(b'|'.join(got).decode())"""


class Relay:
    """A port that relays nothing. PLAY is called with each datagram, and what it returns is sent."""

    def __init__(self, play, port=49990):
        self.heard, self.clients, self.controls, self.closing = [], [], [], False
        with bed.inside(bed.PROXY):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self.socket.bind((bed.PROXY4, port))
        self.other.bind((bed.PROXY4, port + 1))
        self.reply = b"\5\0\0\1" + socket.inet_aton(bed.PROXY4) + struct.pack(">H", port)
        self.thread = threading.Thread(target=self._run, args=(play,), daemon=True)
        self.thread.start()

    def _run(self, play):
        try:
            self._serve(play)
        except OSError:
            assert self.closing

    def _serve(self, play):
        while True:
            try:
                data, peer = self.socket.recvfrom(70000)
            except OSError:
                return
            if peer is None or self.closing:
                return
            self.heard.append(data)
            self.clients.append(peer)
            for answer in play(self, data) or ():
                if isinstance(answer, float):
                    time.sleep(answer)
                else:
                    self.socket.sendto(answer, peer)

    def script(self, conversation):
        if not conversation.receive():
            return
        self.controls.append(conversation.sock)
        conversation.say(b"\5\0" + self.reply)
        while conversation.sock.recv(1):
            pass

    def close(self):
        self.closing = True
        for sock in (self.socket, self.other):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join(10)
        self.socket.close()
        self.other.close()
        for sock in self.controls:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def head(frag=0, host=bed.TARGET4, port=77):
    return bytes([0, 0, frag, 1]) + socket.inet_aton(host) + struct.pack(">H", port)


def scripted(w, play, code, seconds=60, port=49990):
    relay = Relay(play, port)
    w.hostile.play(relay.script)
    try:
        return w.via(s.HOSTILE, [PYTHON, "-c", code], seconds=seconds), relay
    finally:
        relay.close()


def pieces(*parts, host=bed.TARGET4):
    """Datagrams for pairs of FRAG and text."""
    return [head(f, host) + text for f, text in parts]


FRAGMENTS = {
    "in order are reassembled": (pieces((1, b"a"), (2, b"b"), (0x83, b"c")), "abc"),
    "of a single datagram are reassembled": (pieces((0x81, b"alone")), "alone"),
    "out of order are dropped": (pieces((2, b"b"), (1, b"a"), (0x83, b"c")), ""),
    "with the last one before another are dropped": (pieces((1, b"a"), (0x83, b"c"), (2, b"b")), ""),
    "with one missing are dropped": (pieces((1, b"a"), (0x83, b"c")), ""),
    "with a lower number begin a new datagram": (pieces((1, b"x"), (2, b"y"), (1, b"a"), (0x82, b"b")), "ab"),
    "that arrive twice are reassembled": (pieces((1, b"a"), (1, b"a"), (2, b"b"), (2, b"b"), (0x83, b"c")), "abc"),
    "with the last one twice are reassembled once": (pieces((1, b"a"), (0x82, b"b"), (0x82, b"b")), "ab"),
    "interleaved with those of another source are reassembled": (
        [head(1) + b"a", head(1, "192.0.2.9") + b"x", head(2) + b"b", head(0x82, "192.0.2.9") + b"y",
         head(0x83) + b"c"], "abc"),
    "are dropped when a whole datagram arrives in between": (pieces((1, b"a"), (0, b"whole"), (0x82, b"b")), "whole"),
    "without a position are ignored": (pieces((0x80, b"x"), (1, b"a"), (0x82, b"b")), "ab"),
    "within the time limit are reassembled": (pieces((1, b"a")) + [3.0] + pieces((0x82, b"b")), "ab"),
    "after the time limit are dropped": (pieces((1, b"a")) + [5.5] + pieces((0x82, b"b")), ""),
    "of a long datagram are reassembled": (pieces(*[(i + 1 | (0x80 if i == 39 else 0), bytes([97 + i % 26]) * 1400)
                      for i in range(40)]),
             "".join(chr(97 + i % 26) * 1400 for i in range(40))),
}

for NAME, (SENT, WANTED) in FRAGMENTS.items():
    @test("fragments %s" % NAME)
    def _(w, sent=SENT, wanted=WANTED):
        code = (ONE % (20, bed.TARGET4, bed.TARGET4)).replace("s.sendto", "s.connect(('%s', 77)); "
                                                              "s.sendto" % bed.TARGET4)
        result, _ = scripted(w, lambda r, d: sent + [head() + b"end"], code)
        fine(result)
        want = (wanted + "|end" if wanted else "end").encode()
        assert result[1].strip() == want, (result[1][:200], want[:200])


@test("invalid datagrams are dropped, and the call continues to wait")
def _(w):
    wrong = [b"", b"\0", head()[:9], b"\1" + head()[1:] + b"x", b"\0\0\0\2" + head()[4:] + b"x",
             b"\0\0\0\3\0\0\7x", b"\0\0\0\3\xffname", b"\0\0\0\4" + bytes(17),
             b"\0\0\0\4" + socket.inet_pton(socket.AF_INET6, bed.TARGET6) + b"\0\x4dx"]

    def play(relay, data):
        relay.other.sendto(head() + b"not the relay", relay.clients[-1])
        return wrong + [head() + b"right", head() + b"end"]

    for how in ("", "s.settimeout(None)\n", "s.bind(('', 0))\n", "peek"):
        code = (ONE % (20, bed.TARGET4, bed.TARGET4)).replace("s.sendto", how.replace("peek", "") + "s.sendto", 1)
        if how == "peek":  # the peeked datagram is the one that is received
            code = code.replace("    data,", "    peeked = s.recv(100000, socket.MSG_PEEK)\n    data,", 1)
            code = code.replace("    got.a", "    assert data == peeked, (data, peeked)\n    got.a")
        result, relay = scripted(w, play, code)
        right(result, b"right|end")
        assert relay.heard == [head() + b"go"], relay.heard


@test("FIONREAD returns the size of the next valid datagram")
def _(w):
    code = """
import array, fcntl, select, socket, termios, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
def size():
    n = array.array('i', [4711]); fcntl.ioctl(s, termios.FIONREAD, n); return n[0]
s.sendto(b'go', (%r, 77))
until = time.monotonic() + 20
while not size() and time.monotonic() < until: time.sleep(0.01)
print(size(), s.recv(100), end=' ')
time.sleep(0.3)
print(size(), s.recv(100), size())""" % bed.TARGET4
    wrong = [b"", b"\0\0\0", b"\1" + head()[1:] + b"x"]
    result, _ = scripted(w, lambda r, d: wrong + [head() + b"right"] + wrong + [head() + b"end"] + wrong, code)
    right(result, b"5 b'right' 3 b'end' 0\n")


@test("a receive timeout ends although dropped datagrams keep arriving")
def _(w):
    code = """
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 1, 0))
s.sendto(b'go', ('%s', 77))
try: print(s.recv(10))
except BlockingIOError: print('nothing')""" % bed.TARGET4
    result, _ = scripted(w, lambda r, d: [x for _ in range(30) for x in (b"wrong", 0.1)], code)
    right(result, b"nothing")


AGAIN = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.3)
%s
got = 0
for i in range(100):
    s.sendto(b'%%d' %% i, ('%s', 77))
    try: got += s.recv(100) == b'%%d' %% i
    except TimeoutError: pass
    time.sleep(0.01)
    if got >= 20: break
print('got', got)"""

for WHAT in ("closed", "reset"):
    for HOW in ("", "s.connect(('%s', 77))" % bed.TARGET4, "s.bind(('', 0))"):
        @test("after the control connection is %s datagrams are lost, then pass again (%s)" % (WHAT, HOW[2:6] or "plain"))
        def _(w, what=WHAT, how=HOW):
            def play(relay, data):
                if len(relay.heard) in (5, 12, 19):
                    sock = relay.controls[-1]
                    if what == "reset":
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.shutdown(socket.SHUT_RD if what == "reset" else socket.SHUT_RDWR)
                    return [0.15]
                return [data]

            result, relay = scripted(w, play, AGAIN % (how, bed.TARGET4))
            right(result, b"got 20")
            assert len(relay.controls) >= 3, relay.controls


REFUSALS = {"a general failure": (b"\5\0\5\1\0\1" + bytes(6), b"0"), "a close": (b"", b"0"),
            "a refusal": (b"\5\0\5\2\0\1" + bytes(6), b"13")}

for WHAT, (OCTETS, ERRNO) in REFUSALS.items():
    @test("after a closed control connection, with %s for the next two, datagrams are lost, then pass again" % WHAT)
    def _(w, octets=OCTETS, errno=ERRNO):
        def play(relay, data):
            if data == head() + b"close":
                relay.refuse = 2
                relay.controls[-1].shutdown(socket.SHUT_RDWR)
                return []
            return [data]

        def script(conversation):
            if not relay.refuse:
                return relay.script(conversation)
            relay.refuse -= 1
            conversation.receive()
            conversation.say(octets)
            refused.append(time.monotonic())

        code = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.3)
def echoes(text):
    global error
    try: return s.sendto(text, (%r, 77)) == len(text) and s.recv(100) == text
    except TimeoutError: return False
    except OSError as e: error = e.errno
error = 0
assert echoes(b'before')
assert not echoes(b'close')
lost, until = 0, time.monotonic() + 20
while not echoes(b'after') and time.monotonic() < until:
    lost += 1
    time.sleep(0.02)
print(error, lost > 1, echoes(b'again'))""" % bed.TARGET4
        refused, relay = [], Relay(play)
        relay.refuse = 0
        w.hostile.play(script)
        try:
            right(w.via(s.HOSTILE, [PYTHON, "-c", code], seconds=60), errno + b" True True\n")
        finally:
            relay.close()
        # A server that refuses is not asked again for each datagram.
        assert len(refused) == 2 and refused[1] - refused[0] > 0.9, refused


@test("after danted is restarted datagrams pass again, and no descriptor leaks")
def _(w):
    targets(w)
    conf = open("%s/danted-%d.conf" % (w.scratch, s.DANTED)).read()
    port = 1096
    conf = s.write(w.scratch + "/again.conf", conf.replace("port = %d" % s.DANTED, "port = %d" % port))
    code = """
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.5)
def rounds(n):
    got = 0
    for i in range(60):
        try:
            s.sendto(b'%%d' %% i, ('%s', 7))
            got += s.recv(100) == b'%%d' %% i
        except TimeoutError: pass
        if got >= n: return got
    return got
assert rounds(5) == 5
before = os.listdir('/proc/self/fd')
print('ready', flush=True); sys.stdin.readline()
assert rounds(5) == 5, 'no service again'
assert len(os.listdir('/proc/self/fd')) == len(before)
print('again')""" % bed.TARGET4
    server = bed.start(bed.PROXY, [s.danted(), "-f", conf, "-p", w.scratch + "/again.pid"])
    bed.wait_port(bed.PROXY, bed.PROXY4, port)
    import subprocess
    client = subprocess.Popen(
        bed.within(bed.CLIENT, [w.socksify, "-x", "socks5h://%s:%d" % (bed.PROXY4, port), "--",
                                PYTHON, "-c", code]), env=w.env,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert client.stdout.readline() == b"ready\n", client.stderr.read()
        bed.stop(server)
        server = bed.start(bed.PROXY, [s.danted(), "-f", conf, "-p", w.scratch + "/again.pid"])
        bed.wait_port(bed.PROXY, bed.PROXY4, port)
        out, err = client.communicate(b"go\n", 60)
        assert client.returncode == 0 and b"again" in out, (out, err)
    finally:
        client.kill()
        bed.stop(server)


@test("a thousand sockets, one after the other, leak no descriptor and no association")
def _(w):
    code = """
import os, socket
fds = len(os.listdir('/proc/self/fd'))
for i in range(1000):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(20)
    s.sendto(b'x', ('%s', 77))
    assert s.recv(9) == b'x'
    s.close()
assert len(os.listdir('/proc/self/fd')) == fds
print('thousand')""" % bed.TARGET4
    result, relay = scripted(w, lambda r, d: [d], code, 120)
    right(result, b"thousand")
    assert len(relay.controls) == 1000 and len(relay.heard) == 1000


@test("associations survive fork, exec, spawn and loops that close all descriptors")
def _(w):
    code = """
import os, socket, subprocess, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
def ask(what):
    s.sendto(what, ('%s', 77)); assert s.recv(20) == what
ask(b'first')
os.closerange(s.fileno() + 1, 2000)
ask(b'closerange')
fd = s.fileno()
child = '''
import os, socket, sys
fd = int(sys.argv[1])
if fd >= 0:
    s = socket.socket(fileno=fd); s.settimeout(20)
    s.sendto(b'child', ("%s", 77)); assert s.recv(20) == b'child'
links = [os.readlink('/proc/self/fd/%%d' %% f) for f in range(1100) if os.path.islink('/proc/self/fd/%%d' %% f)]
print('sockets', sum(l.startswith('socket') for l in links))
'''
def run(*a, **k): return subprocess.run([sys.executable, '-c', child] + list(a), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **k).stdout
os.set_inheritable(fd, True)
assert run(str(fd), pass_fds=[fd]) == b'sockets 2\\n', 'exec'
os.set_inheritable(fd, False)
assert run('-1') == b'sockets 0\\n', 'left over'
ask(b'after')
pid = os.posix_spawn(sys.executable, [sys.executable, '-c', child, '0'], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, fd, 0)])
assert os.waitpid(pid, 0)[1] == 0
ask(b'spawned')
assert os.system('test $(ls -l /proc/self/fd | grep -c socket:) = 0') == 0
if os.fork() == 0:
    ask(b'forked'); os._exit(0)
assert os.wait()[1] == 0
try: os.execv('/nowhere/to/be/found', ['x'])
except FileNotFoundError: pass
assert not [f for f in range(3, 1100) if os.path.islink('/proc/self/fd/%%d' %% f) and
            os.readlink('/proc/self/fd/%%d' %% f).startswith('socket') and os.get_inheritable(f)], 'an exec that failed'
ask(b'last')
print('inherited')""" % (bed.TARGET4, bed.TARGET4)
    result, relay = scripted(w, lambda r, d: [d], code)
    right(result, b"inherited")
    assert len(relay.controls) == 1, relay.controls


@test("rules on datagrams: denied, through another server, multicast and broadcast have the right results")
def _(w):
    conf = s.write(w.scratch + "/udp.conf", """
server "p" { address = "%s" port = %d }
server "q" { address = "%s" port = %d }
rule "no" { to = {"%s/32"} ports = {"9"} protocol = {"udp"} via = {"deny"} }
rule "other" { to = {"%s/32"} ports = {"8"} via = {"q"} }
rule "rest" { via = {"p"} }
""" % (bed.PROXY4, s.DANTED, bed.PROXY4, s.DANTED_AUTH, bed.TARGET4, bed.TARGET4))
    os.chmod(conf, 0o644)
    targets(w)
    code = """
import socket
def sent(s, host, port):
    try: return s.sendto(b'x', (host, port))
    except OSError as e: return -e.errno
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
t = '%s'
assert sent(s, t, 9) == -13
assert sent(s, t, 7) == 1 and s.recv(9) == b'x'
assert sent(s, t, 9) == -13
assert sent(s, t, 8) == -113
assert sent(s, '224.0.0.251', 5353) == -95 and sent(s, '255.255.255.255', 67) == -95
try: s.connect((t, 9))
except OSError as e: assert e.errno == 13
print('as ruled')""" % bed.TARGET4
    right(w.configured(conf, [PYTHON, "-c", code], w.env, 60), b"as ruled")
