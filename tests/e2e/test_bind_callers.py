"""Listening through a server needs no privilege. The listener can be reached only through the server, not from the
same host and not from a neighbour, with any hop count."""

import os
import select
import socket
import subprocess
import time

import bed
import servers as s
import test_bind
from world import PLAIN, PYTHON, right, test

USER = "import os; assert os.getuid() and os.geteuid()\n"


def python(w, code, said=b"fine"):
    test_bind.callers()
    right(w.via(s.DANTED, [PYTHON, "-c", USER + test_bind.CONTROL + code]), said)


@test("bind: programs of the ordinary user have no capability")
def _(w):
    right(w.via(s.DANTED, ["grep", "^CapEff:\t0000000000000000", "/proc/self/status"]), b"CapEff")


DROP_ROOT = """
def drop_root():
    os.setgid(65534); os.setuid(65534)
"""


@test("bind: a process that drops root privileges keeps its listener", root=True)
def _(w):
    code = """
l = listener()
announce(l)
serve(*l.accept())
announce(l)
drop_root()
for i in range(2):
    serve(*l.accept())
    if not i: announce(l)
print('still')"""
    test_bind.callers()
    right(w.via(s.DANTED, [PYTHON, "-c", test_bind.CONTROL + DROP_ROOT + code]), b"still")


for WHO, CODE in (
        ("after a child has ended", """
if os.fork() == 0: os._exit(0)
os.wait()
drop_root()
announce(l)"""),
        ("as a daemon whose parent has ended", """
ended, ends = os.pipe()
if os.fork():
    os.close(ended)
    os._exit(0)
os.close(ends)
os.read(ended, 1)
time.sleep(0.2)
announce(l)
drop_root()""")):
    @test("bind: a process that drops root privileges keeps its listener, %s" % WHO, root=True)
    def _(w, code=CODE):
        test_bind.callers()
        before = test_bind.CONTROL + DROP_ROOT + "\nl = listener()\nannounce(l)\nserve(*l.accept())"
        right(w.via(s.DANTED, [PYTHON, "-c", before + code + "\nserve(*l.accept())\nprint('still', flush=True)"]), b"still")


@test("bind: a parent with root privileges keeps its listener, a child that drops them loses it", root=True)
def _(w):
    code = """
l = listener()
announce(l)
serve(*l.accept())
child = os.fork()
if child == 0:
    drop_root()
    print(select.select([l], [], [], 0.3)[0], flush=True)
    c = socket.create_connection(control.getpeername())
    mine = socket.create_server((c.getsockname()[0], 0))
    c.sendall(b'%s %d\\n' % (mine.getsockname()[0].encode(), mine.getsockname()[1]))
    a, _ = mine.accept()
    a.makefile().readline(); a.sendall(b'thanks\\n')
    print(c.recv(1), flush=True)
    sys.exit()
assert os.wait()[1] == 0
for i in range(2):
    announce(l)
    serve(*l.accept())
print('still')"""
    test_bind.callers()
    right(w.via(s.DANTED, [PYTHON, "-c", test_bind.CONTROL + DROP_ROOT + code]), b"[]\nb'.'\nstill\n")


# --- connections that do not come through the server ---

SOCKETS = {
    "IPv4": "l = socket.create_server(('%s', 0))" % bed.CLIENT4,
    "IPv6": "l = socket.create_server(('%s', 0), family=socket.AF_INET6)" % bed.CLIENT6,
    "both families": "l = socket.create_server(('::', 0), family=socket.AF_INET6, dualstack_ipv6=True)",
}
WAITS = """
import select, sys
e = select.epoll()
e.register(l, select.EPOLLIN)
l.setblocking(False)
print('up', flush=True)
while not os.path.exists(sys.argv[1]):
    assert not e.poll(0.1), 'a connection bypassed the server'
    try: l.accept(); sys.exit('accepted a connection that bypassed the server')
    except BlockingIOError: pass
name = l.getsockname()
control.sendall(b'%s %d\\n' % (name[0].replace('::ffff:', '').encode(), name[1]))
assert e.poll(20)
c, peer = l.accept()
c.sendall(b'thanks\\n')
assert control.recv(1) == b'.'
print('called back', flush=True)
"""


def local_ports():
    """The ports of the listeners on the client, from its kernel."""
    with bed.inside(bed.CLIENT):
        for name in ("tcp", "tcp6"):
            with open("/proc/thread-self/net/" + name, encoding="ascii") as table:
                rows = [row.split() for row in table][1:]
            yield from (int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A")


def local_port():
    """The port of the only listener beside a DNS server of the tests, once the programs of earlier tests have ended."""
    for _ in range(100):
        ports = [port for port in local_ports() if port != 53]
        if len(ports) == 1:
            return ports[0]
        time.sleep(0.1)
    raise AssertionError("listeners at %s" % ports)


def direct_callers(port, addresses):
    """Sockets that connect from client and proxy to ADDRESSES of the client. The trap records every answer to the
    proxy, because its filter does not exclude these source ports."""
    sockets, source = [], 20000
    for ns, own in ((bed.CLIENT, (None, None)), (bed.PROXY, (bed.PROXY4, bed.PROXY6))):
        with bed.inside(ns):
            for address in addresses:
                six = ":" in address
                for hops in (None, 255):
                    c = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
                    if hops:
                        c.setsockopt(socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP,
                                     socket.IPV6_UNICAST_HOPS if six else socket.IP_TTL, hops)
                    if own[six]:
                        c.bind((own[six], source))
                        source += 1
                    c.setblocking(False)
                    c.connect_ex((address, port))
                    sockets.append(c)
    return sockets


def call_directly(w, family):
    test_bind.callers()
    go = "%s/go-%d" % (w.scratch, len(os.listdir(w.scratch)))
    code = USER + test_bind.CONTROL + SOCKETS[family] + WAITS
    process = bed.start(bed.CLIENT, [w.socksify, "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), "--",
                                     PYTHON, "-c", code, go],
                        env=w.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout.readline() == b"up\n", process.stdout.read()
        addresses = {"IPv4": [bed.CLIENT4], "IPv6": [bed.CLIENT6],
                     "both families": [bed.CLIENT4, bed.CLIENT6]}[family]
        sockets = direct_callers(local_port(), addresses)
        answered = select.select(sockets, sockets, sockets, 1.5)
        assert answered == ([], [], []), "answered: %s" % answered[1]
        s.write(go, "")
        out, _ = process.communicate(timeout=40)
        assert process.returncode == 0 and b"called back" in out, out
        for c in sockets:
            c.close()
    finally:
        bed.stop(process)


for FAMILY in SOCKETS:
    test("bind: connections that bypass the server are not answered, %s" % FAMILY)(
        lambda w, f=FAMILY: call_directly(w, f))


# --- the socket after listening ---

REUSED = """
import ctypes
l = listener()
END
for i in range(2):
    try: l.connect(('%s', 7)); break
    except ConnectionAbortedError: pass
l.sendall(b'hello')
assert l.recv(5) == b'hello' and l.getpeername() == ('%s', 7)
print('fine')
""" % (bed.TARGET4, bed.TARGET4)
ENDS = {
    "shut down": "l.shutdown(socket.SHUT_RDWR)",
    "shut down by a child": "if os.fork() == 0: l.shutdown(socket.SHUT_RDWR); os._exit(0)\nos.wait()",
    "disconnected": "assert ctypes.CDLL(None).connect(l.fileno(), bytes(16), 16) == 0",
}
for HOW, END in ENDS.items():
    test("bind: a listener that was %s can connect" % HOW)(
        lambda w, e=END: python(w, REUSED.replace("END", e)))


for HOW, END in ENDS.items():
    test("bind: a listener that was %s can listen through the server again" % HOW)(
        lambda w, e=END: python(w, """
import ctypes
l = listener()
END
l.listen()
assert l.getsockname()[0] == '%s', l.getsockname()
announce(l)
serve(*l.accept())
print('fine')""".replace("END", e) % bed.OUTER4))


@test("bind: a listener that was shut down can listen locally and accepts there")
def _(w):
    python(w, """
l = listener()
l.shutdown(socket.SHUT_RDWR)
l.bind(('0.0.0.0', 4321))
l.listen()
assert l.getsockname() == ('0.0.0.0', 4321)
c = socket.create_connection(('127.0.0.1', 4321), 5)
assert l.accept()[1] == c.getsockname()
print('fine')""")


@test("bind: a second listen() on a local listener leaves it local")
def _(w):
    test_bind.callers()
    code = """
import socket
l = socket.create_server(('127.0.0.2', 0))
def called():
    c = socket.create_connection(l.getsockname(), 5)
    assert l.accept()[1] == c.getsockname()
called()
m = socket.create_server(('0.0.0.0', 0))
name = m.getsockname()
socket.create_connection(('%s', 7)).close()
waiting = socket.create_connection(('127.0.0.1', name[1]), 5)
m.listen(50)
assert m.getsockname() == name
assert m.accept()[1] == waiting.getsockname()
print('fine')
""" % bed.TARGET4
    right(w.via(s.DANTED, [PYTHON, "-c", USER + code]), b"fine")


@test("bind: without TCP MD5 signatures in the kernel listen() fails with EOPNOTSUPP and logs it", on=PLAIN)
def _(w):
    code = """
import errno, socket
socket.create_connection(('%s', 7)).close()
l = socket.socket()
l.bind(('%s', 0))
for i in range(2):
    try: l.listen()
    except OSError as e: print(errno.errorcode[e.errno].replace('ENOTSUP', 'EOPNOTSUPP'))
assert l.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0
c = socket.create_connection(('%s', 7))
c.sendall(b'hello')
print(c.recv(5).decode())
""" % (bed.TARGET4, bed.CLIENT4, bed.TARGET4)
    status, out, err = w.via(s.DANTED, [
        "strace", "-f", "-qq", "-e", "trace=setsockopt", "-e",
        "inject=setsockopt:error=ENOPROTOOPT", "-o", "/dev/null", PYTHON, "-c", USER + code])
    lines = [line for line in err.decode().splitlines() if "refused" in line]
    assert status == 0 and out == b"EOPNOTSUPP\nEOPNOTSUPP\nhello\n", (status, out, err)
    assert len(lines) == 2 and all("TCP MD5 signatures" in line for line in lines), err
