"""The address that a server names as its relay. Datagrams go there directly, so that an odd address would lead them past
the rules, to this machine, or to everybody on a link."""

import json
import os
import socket
import struct

import bed
import servers as s
import test_udp
from world import PYTHON, fine, right, test

EACCES, EPROTO = 13, 71
PORT = 49980
ELSEWHERE = bed.TARGET4
# Addresses where no datagram may go, and what the log line says about them.
LOOPBACK = "a loopback address, and the server is not on this machine"
BROADCAST, LINK_LOCAL, FAKE = "a multicast or broadcast address", "a link-local address", "a fake address"
REFUSED = {"127.0.0.1": LOOPBACK, "127.9.9.9": LOOPBACK, "::1": LOOPBACK, "::ffff:127.0.0.1": LOOPBACK,
           "224.0.0.251": BROADCAST, "ff02::fb": BROADCAST, "255.255.255.255": BROADCAST, "10.88.1.255": BROADCAST,
           "169.254.169.254": LINK_LOCAL, "fe80::1": LINK_LOCAL, "198.18.0.1": FAKE, "fdc4:8b1e:5053::1": FAKE}
SAME = ("0.0.0.0", "::", "::ffff:0.0.0.0", "::ffff:" + bed.PROXY4, bed.PROXY4, "relay.example", "")
SEND = """
import socket
u = socket.socket(socket.%s, socket.SOCK_DGRAM); u.settimeout(20)
u.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
if %r: u.bind(('', 0))
try:
    u.sendto(b'x', (%r, 77))
    print(u.recv(9))
except OSError as e: print(e.errno)"""
HEAD = test_udp.head()


def send(family="AF_INET", bound=False, to=bed.TARGET4):
    return [PYTHON, "-c", SEND % (family, bound, to)]


def reply(host, port=PORT):
    """The reply of a server whose relay is at HOST."""
    if ":" in host:
        octets = b"\4" + socket.inet_pton(socket.AF_INET6, host)
    elif host[:1].isdigit():
        octets = b"\1" + socket.inet_aton(host)
    else:
        octets = b"\3" + bytes([len(host)]) + host.encode()
    return b"\5\0\0" + octets + struct.pack(">H", port)


class Bystander:
    """A socket on the client's machine that must not receive anything."""

    def __init__(self):
        with bed.inside(bed.CLIENT):
            self.socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.socket.bind(("::", PORT))
        self.socket.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            heard = self.socket.recvfrom(99)
        except BlockingIOError:
            heard = None
        self.socket.close()
        assert not heard, heard


def named(w, host, run, port=PORT, heard=()):
    """The result of RUN, where the hostile server names HOST and PORT. HEARD: what the server's own relay hears."""
    relay = test_udp.Relay(lambda r, d: [d], PORT)
    relay.reply = reply(host, port)
    w.hostile.play(relay.script)
    try:
        with Bystander():
            result = run()
    finally:
        relay.close()
    assert relay.heard == list(heard), (host, relay.heard)
    return result


def configured(w, command, rules, more="", name="relay"):
    conf = s.write("%s/%s.conf" % (w.scratch, name), 'server "p" { address = "%s" port = %d %s }\n%s\n' % (
        bed.PROXY4, s.HOSTILE, more, rules))
    os.chmod(conf, 0o644)
    return w.configured(conf, command, w.env, 40)


def refusals(err):
    return [line for line in err.decode().splitlines() if "refused" in line]


def refused(result, why, errno=EACCES):
    assert result[0] == 0 and result[1] == b"%d\n" % errno, result
    lines = refusals(result[2])
    assert len(lines) == 1 and lines[0].endswith(why), result


def shown(host, port=PORT):
    """HOST as a log line shows it."""
    host = host.removeprefix("::ffff:") if "." in host else host
    return ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)


for FAMILY, TO in (("AF_INET", bed.TARGET4), ("AF_INET6", bed.TARGET6)):
    for BOUND in False, True:
        @test("relays at odd addresses are refused with EACCES and one log line (%s%s)" % (FAMILY, ", bound" * BOUND))
        def _(w, family=FAMILY, bound=BOUND, to=TO):
            for host, why in REFUSED.items():
                result = named(w, host, lambda: w.via(s.HOSTILE, send(family, bound, to)))
                refused(result, 'UDP through server "proxy": relay %s: %s' % (shown(host), why))


@test("a relay without a port is refused with EPROTO and one log line")
def _(w):
    for host in (bed.PROXY4, "0.0.0.0", "127.0.0.1"):
        result = named(w, host, lambda: w.via(s.HOSTILE, send()), 0)
        refused(result, "relay %s: it has no port" % shown(host, 0), EPROTO)


@test("an unspecified relay, a name and the server's own address lead to the server")
def _(w):
    for host in SAME:
        right(named(w, host, lambda: w.via(s.HOSTILE, send()), heard=[HEAD + b"x"]), b"b'x'")


@test("a relay at another address is refused unless the rules allow it")
def _(w):
    rest = 'rule "rest" { via = "p" }'
    deny = 'rule "not there" { to = "%s" via = "deny" }\n' % ELSEWHERE
    only = 'rule "only" { to = "192.0.2.0/24" via = "p" }'
    other = send(to="192.0.2.1")
    refused(named(w, ELSEWHERE, lambda: configured(w, other, deny + rest)),
            'relay %s: rule "not there"' % shown(ELSEWHERE))
    refused(named(w, ELSEWHERE, lambda: configured(w, other, only)), "relay %s: no rule matches" % shown(ELSEWHERE))
    test_udp.targets(w)
    direct = 'rule "there" { to = "%s" ports = "7" via = "direct" }\n' % ELSEWHERE
    for rules in (direct + only, rest):
        w.trap.take()
        code = SEND.replace("    print(u.recv(9))", "    print('sent')") % ("AF_INET", False, "192.0.2.1")
        right(named(w, ELSEWHERE, lambda: configured(w, [PYTHON, "-c", code], rules), 7), b"sent")
        caught = w.trap.take()
        assert len(caught) == 1 and "UDP" in caught[0] and ELSEWHERE in caught[0], caught


@test("with udp-relay = server datagrams go to the server, whatever relay it names")
def _(w):
    for host in list(REFUSED) + list(SAME) + [ELSEWHERE]:
        right(named(w, host, lambda: configured(w, send(), 'rule "rest" { via = "p" }', "udp-relay = server"),
                    heard=[HEAD + b"x"]), b"b'x'")
    refused(named(w, bed.PROXY4, lambda: configured(w, send(), 'rule "r" { via = "p" }', "udp-relay = server"), 0),
            "it has no port", EPROTO)


@test("check: a relay that is refused is reported, with its reason")
def _(w):
    def ask(more):
        conf = s.write(w.scratch + "/check-relay.conf", 'server "p" { address = "%s" port = %d %s }\n'
                       'rule "rest" { via = "p" }\n' % (bed.PROXY4, s.HOSTILE, more))
        os.chmod(conf, 0o644)
        command = [w.socksify, "--check", "--json", "-c", conf, "--target=%s:77" % bed.TARGET4]
        _, out, err = bed.run(bed.CLIENT, command, w.env, 60)
        rows = [row for group in json.loads(out)["checks"] for row in group["rows"] if row["check"] == "udp"]
        assert len(rows) == 1 and not err, (out, err)
        return rows[0]

    for host, why in REFUSED.items():
        if host == "10.88.1.255":  # the kernel knows it; libc's error text says why
            continue
        row = named(w, host, lambda: ask(""))
        assert row["finding"] == "no" and row["detail"] == "relay at %s: refused: %s" % (shown(host), why), row
    row = named(w, "10.88.1.255", lambda: ask(""))
    assert row["finding"] == "unknown", row
    row = named(w, "127.0.0.1", lambda: ask("udp-relay = server"), heard=[HEAD + b"S5\1\0\0\1" + bytes(8) + b"\2\0\1"])
    assert row["finding"] == "ok", row


@test("socks5-bridge refuses odd relays with reply 2 and one log line")
def _(w):
    def ask(more):
        conf = s.write(w.scratch + "/bridge-relay.conf", 'server "p" { address = "%s" port = %d %s }\n'
                       'rule "rest" { via = "p" }\n' % (bed.PROXY4, s.HOSTILE, more))
        os.chmod(conf, 0o644)
        code = """
import socket, struct, subprocess, sys, time
b = subprocess.Popen([%r, '--listen', '127.0.0.1:1095', '-c', %r], stderr=subprocess.PIPE)
try:
    for _ in range(200):
        c = socket.socket()
        if c.connect_ex(('127.0.0.1', 1095)) == 0: break
        time.sleep(0.05)
    c.settimeout(20)
    c.sendall(bytes((5, 1, 0))); assert c.recv(2) == bytes((5, 0))
    c.sendall(bytes((5, 3, 0, 1, 0, 0, 0, 0, 0, 0)))
    answer = c.recv(99)
    print(answer[1])
    if answer[1] == 0:
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
        u.sendto(%r + b'x', ('127.0.0.1', struct.unpack('>H', answer[8:10])[0]))
        print(u.recv(99)[-1:])
finally:
    c.close()
    b.terminate()
    sys.stderr.write(b.stderr.read().decode())""" % (w.bridge, conf, HEAD)
        return bed.run(bed.CLIENT, [PYTHON, "-c", code], w.env, 60)

    for host, why in REFUSED.items():
        status, out, err = named(w, host, lambda: ask(""))
        assert (status, out) == (0, b"2\n"), (host, out, err)
        why = "permission denied" if host == "10.88.1.255" else why
        lines = refusals(err)
        assert len(lines) == 1 and "relay %s: %s" % (shown(host), why) in lines[0], (host, err)
    for host in list(SAME) + ["127.0.0.1", ELSEWHERE]:
        result = named(w, host, lambda: ask("udp-relay = server" if host not in SAME else ""), heard=[HEAD + b"x"])
        right(result, b"0\nb'x'")


@test("the library refuses odd relays and accepts the server's own address")
def _(w):
    code = """
import ctypes, os, sys
lib = ctypes.CDLL(sys.argv[1])
a = ctypes.c_void_p()
r = lib.socks5_associate(b'socks5h://%s:%d', 20000, ctypes.byref(a))
if r == 0:
    lib.socks5_association_send(a, b'%s', 77, b'x', 1)
    buf = ctypes.create_string_buffer(9)
    r = lib.socks5_association_recv(a, 20000, buf, 9, None, 0, None), buf.value
print(r)""" % (bed.PROXY4, s.HOSTILE, bed.TARGET4)
    library = w.build + "/libsocks5client/libsocks5client.so"

    def run():
        return bed.run(bed.CLIENT, [PYTHON, "-c", code, library], w.env, 40)
    for host in [h for h, why in REFUSED.items() if why != FAKE]:  # the library has no fake addresses
        result = named(w, host, run)
        fine(result)
        assert result[1] == b"-%d\n" % EACCES, (host, result)
    for host in SAME:
        right(named(w, host, run, heard=[HEAD + b"x"]), b"(1, b'x')")
