"""Servers behind UNIX sockets: a real server, reached through the file system only."""

import os
import socket
import time

import bed
import servers as s
import test_udp
from hostile import Hostile, Talk
from world import AUTH, CURL, PAGE, PYTHON, URL4, fine, right, test


def unix_socket(w, port=s.DANTED):
    """The path of a UNIX socket on the client that forwards to the server at PORT."""
    path = "%s/unix_socket-%d" % (w.scratch, port)
    if not os.path.exists(path):
        bed.start(bed.CLIENT, ["socat", "UNIX-LISTEN:%s,fork,backlog=1024" % path,
                               "TCP:%s:%d" % (bed.PROXY4, port)])
        while not os.path.exists(path):
            pass
    return path


class Slow:
    """A listener that delays each connection."""

    def __init__(self, listener):
        self.listener = listener

    def accept(self):
        time.sleep(0.02)
        return self.listener.accept()


def via(w, path, command, user="", seconds=60):
    url = "socks5h://%slocalhost%s" % (user and user + "@", path)
    return bed.run(bed.CLIENT, [w.socksify, "-x", url, "--"] + command, w.env, seconds)


@test("unix: curl through a server behind a UNIX socket")
def _(w):
    right(via(w, unix_socket(w), CURL + [URL4]), PAGE)
    right(via(w, unix_socket(w, s.DANTED_AUTH), CURL + [URL4], AUTH), PAGE)


@test("unix: curl works with LD_PRELOAD alone")
def _(w):
    command = ["env", "LD_PRELOAD=" + w.object, "SOCKS5_SERVER=socks5h://localhost" + unix_socket(w)]
    right(bed.run(bed.CLIENT, command + CURL + [URL4], w.env), PAGE)


for NAME in ("tcp_nonblock_select", "epoll_before", "epoll_after", "epoll_thread", "threads_200", "fork_after",
             "fork_connecting", "exec_inherit", "vfork_exec", "close_all", "options_kept", "early_io",
             "connect_500", "v4mapped", "stream"):
    test("unix: %s" % NAME)(lambda w, name=NAME: fine(
        via(w, unix_socket(w), [w.app(name), bed.TARGET4, str(s.ECHO)])))


@test("unix: datagrams pass through the server")
def _(w):
    test_udp.targets(w)
    right(via(w, unix_socket(w), [w.app("udp_calls", False), bed.TARGET4, "7", "10"]), b"")
    right(via(w, unix_socket(w), [w.app("udp_calls", False), bed.TARGET6, "7", "42"]), b"")


@test("unix: no listener at the path is ECONNREFUSED, no permission is EACCES")
def _(w):
    code = "import socket; print(socket.socket().connect_ex(('%s', 80)))" % bed.TARGET4
    right(via(w, w.scratch + "/nobody", [PYTHON, "-c", code]), b"111")
    path = w.scratch + "/left"
    bed.unix_listener(path).close()
    right(via(w, path, [PYTHON, "-c", code]), b"111")
    os.makedirs(w.scratch + "/shut", mode=0o700, exist_ok=True)
    listener = bed.unix_listener(w.scratch + "/shut/in")
    right(via(w, w.scratch + "/shut/in", [PYTHON, "-c", code]), b"13")
    listener.close()


@test("unix: connections wait while the listener's queue is full")
def _(w):
    path = w.scratch + "/crowded"
    server = Hostile(Slow(bed.unix_listener(path, backlog=0)))
    server.play(lambda c: Talk(c).serve())
    code = """
import socket
cs = [socket.socket() for _ in range(30)]
for c in cs: c.setblocking(False); c.connect_ex(('192.0.2.1', 7))
for c in cs: c.setblocking(True); c.sendall(b'mine'); assert c.recv(9) == b'mine'
print('thirty')"""
    right(via(w, path, [PYTHON, "-c", code]), b"thirty")


@test("unix: --check and --explain print the path")
def _(w):
    url = "socks5h://localhost" + unix_socket(w)
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-x", url, "--check", "--target",
                                            bed.TARGET4 + ":80"], w.env)
    assert status == 0 and b" at %s" % unix_socket(w).encode() in out, (status, out, err)
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-x", url, "--explain", "192.0.2.1:80"], w.env)
    assert status == 0 and b"server: %s" % unix_socket(w).encode() in out, (status, out, err)
