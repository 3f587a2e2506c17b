"""Sockets passed to other processes over UNIX sockets (SCM_RIGHTS): with a negotiation in flight, connected, with a UDP
association, and listening at the server."""

import bed
import servers as s
import test_bind
import test_udp
from hostile import OK
from test_hostile import play
from world import ASAN, PLAIN, PYTHON, fine, right, test

APP = [bed.TARGET4, str(s.ECHO), "7"]


@test("passing: processes pass streams and datagram sockets to each other, without socksify", on=PLAIN)
def _(w):
    test_udp.targets(w)
    fine(bed.run(bed.PROXY, [w.app("pass_sockets", False)] + APP, w.env, 60))


@test("passing: processes pass streams and datagram sockets to each other, through danted", on=(ASAN,))
def _(w):
    fine(test_udp.through(w, s.DANTED, "", [w.app("pass_sockets")] + APP))


@test("passing: processes pass streams to IPv6 targets to each other, through danted")
def _(w):
    fine(w.via(s.DANTED, [w.app("pass_sockets"), bed.TARGET6, str(s.ECHO)]))


@test("passing: a slow negotiation is finished before the socket is passed")
def _(w):
    heard = []

    def script(t):
        import time
        t.greeting()
        time.sleep(0.3)
        t.c.say(b"\5\0")
        t.request()
        time.sleep(0.3)
        heard.append(t.pending)
        t.c.say(OK)
        t.c.echo()
    w.hostile.play(play(script))
    fine(w.via(s.HOSTILE, [w.app("pass_sockets"), bed.TARGET4, str(s.ECHO)], seconds=60))
    assert heard and not any(heard), heard


@test("passing: the receiver gets the error of a failed connection")
def _(w):
    code = """
import errno, os, socket
a, b = socket.socketpair()
if os.fork() == 0:
    r = socket.socket(fileno=socket.recv_fds(a, 1, 1)[1][0])
    print(errno.errorcode[r.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)], flush=True)
    os._exit(0)
s = socket.socket()
s.setblocking(False)
s.connect_ex((%r, 7))
socket.send_fds(b, [b"x"], [s.fileno()])
os.wait()
""" % bed.TARGET4
    w.hostile.play(play(lambda t: (t.begin(), t.c.say(bytes([5, 4]) + OK[2:]))))
    right(w.via(s.HOSTILE, [PYTHON, "-c", code]), b"EHOSTUNREACH")


@test("passing: Python's multiprocessing sends a connected socket to its worker")
def _(w):
    code = """
import multiprocessing, socket, sys
def work(pipe):
    c = pipe.recv()
    assert c.getpeername() == (%r, 7), c.getpeername()
    c.sendall(b'from the worker')
    pipe.send(c.recv(100))
if __name__ == '__main__':
    multiprocessing.set_start_method(sys.argv[1])
    pipe, other = multiprocessing.Pipe()
    worker = multiprocessing.Process(target=work, args=(other,))
    worker.start()
    c = socket.create_connection((%r, 7))
    pipe.send(c)
    c.close()
    print(pipe.recv())
    worker.join()
""" % (bed.TARGET4, bed.TARGET4)
    script = s.write(w.scratch + "/worker.py", code)
    for method in ("fork", "spawn"):
        right(w.via(s.DANTED, [PYTHON, script, method]), b"b'from the worker'")


OUTLIVES = """
import ctypes, os, socket, sys, time
def echoes(u):
    try: u.send(b'x'); return u.recv(9) == b'x'
    except OSError: return False
a, b = socket.socketpair()
parent = os.getpid()
if os.fork() == 0:
    b.close()
    u = socket.socket(fileno=socket.recv_fds(a, 1, 1)[1][0])
    u.settimeout(1)
    assert u.getpeername() == (%(at)r, 7)
    for i in range(4):
        assert echoes(u)
        time.sleep(0.12)
    a.sendall(b'x')
    while os.getppid() == parent:
        time.sleep(0.02)
    print('still' if any(echoes(u) for i in range(30)) else 'gone', flush=True)
    os._exit(0)
a.close()
ctypes.CDLL(None).prctl(4, int(sys.argv[1]), 0, 0, 0)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(10)
u.connect((%(at)r, 7))
assert echoes(u)
socket.send_fds(b, [b'x'], [u.fileno()])
u.close()
assert b.recv(1) == b'x'
os._exit(0)
""" % {"at": bed.TARGET4}


@test("passing: an association outlives its creator, or is made again if its control connection cannot be obtained")
def _(w):
    for dumpable in ("1", "0"):
        right(test_udp.through(w, s.DANTED, "", [PYTHON, "-c", OUTLIVES, dumpable]), b"still")


@test("passing: sockets in an unread message can be taken from their sender by pidfd_getfd()")
def _(w):
    code = """
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
at = (%r, 7)
def take(pid, fd):
    got = libc.syscall(438, ctypes.c_long(os.pidfd_open(pid)), ctypes.c_long(fd), 0)
    return got if got >= 0 else -ctypes.get_errno()
(said, say), (kept, keep), (a, b) = os.pipe(), os.pipe(), socket.socketpair()
child = os.fork()
if child == 0:
    os.close(keep)
    c, u = socket.create_connection(at), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.connect(at)
    u.send(b'first'); assert u.recv(9) == b'first'
    socket.send_fds(b, [b'x'], [c.fileno(), u.fileno()])
    os.write(say, b'%%d %%d' %% (c.fileno(), u.fileno()))
    os.read(kept, 1)
    os._exit(0)
c, u = (take(child, int(fd)) for fd in os.read(said, 99).split())
if c in (-errno.ENOSYS, -errno.EPERM): # no such call, or not allowed
    print('taken')
else:
    c, u = socket.socket(fileno=c), socket.socket(fileno=u)
    assert c.getpeername() == at == u.getpeername(), (c.getpeername(), u.getpeername())
    c.sendall(b'stream'); assert c.recv(9) == b'stream'
    u.settimeout(20)
    u.send(b'datagram'); assert u.recv(9) == b'datagram'
    assert take(child, 4000) == -errno.EBADF
    for received in socket.recv_fds(a, 1, 2)[1]:
        assert socket.socket(fileno=received).getpeername() == at
    print('taken')
os.close(keep)
assert os.wait()[1] == 0""" % bed.TARGET4
    right(test_udp.through(w, s.DANTED, "", [PYTHON, "-c", code]), b"taken")


# --- listeners ---

def controlled(title, code):
    def run(w):
        test_bind.callers()
        right(w.via(s.DANTED, [PYTHON, "-c", test_bind.CONTROL + code + "\nprint('fine')"]), b"fine")
    test("passing: " + title)(run)


LISTENER = """
a, b = socket.socketpair()
child = os.fork()
if child == 0:
    b.close()
    l = socket.socket(fileno=socket.recv_fds(a, 1, 1)[1][0])
    assert l.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    for i in range(3):
        announce(l)
        %s
        serve(*l.accept())
    os._exit(0)
l = listener()
name = l.getsockname()
socket.send_fds(b, [b'x'], [l.fileno()])
l.close()
assert os.waitpid(child, 0)[1] == 0
assert socket.socket().connect_ex(name) == 111
"""
controlled("a listener that was passed to another process accepts there", LISTENER % "pass")
controlled("a listener that was passed to another process can be polled there", LISTENER %
                     "assert select.select([l], [], [], 20)[0]")

controlled("a bound socket that was passed listens at the server", """
a, b = socket.socketpair()
child = os.fork()
if child == 0:
    l = socket.socket(fileno=socket.recv_fds(a, 1, 1)[1][0])
    l.listen(5)
    announce(l)
    serve(*l.accept())
    os._exit(0)
l = socket.socket()
l.bind((control.getsockname()[0], 0))
socket.send_fds(b, [b'x'], [l.fileno()])
l.close()
assert os.waitpid(child, 0)[1] == 0
""")

controlled("a listener that was passed and closed is no longer polled by its sender", """
a, b = socket.socketpair()
l = listener()
e = epoll = select.epoll()
e.register(l, select.EPOLLIN)
socket.send_fds(b, [b'x'], [l.fileno()])
address = l.getsockname()
l.close()
r = socket.socket(fileno=socket.recv_fds(a, 1, 1)[1][0])
control.sendall(b'%s %d\\n' % (address[0].encode(), address[1]))
assert select.select([r], [], [], 20)[0]
assert not e.poll(0.3)
serve(*r.accept())
""")
