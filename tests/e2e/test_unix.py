"""Servers behind UNIX sockets: a real server, and what reaches it by the file system alone."""

import os
import socket
import time

import bed
import servers as s
import test_udp
from hostile import Hostile, Talk
from world import AUTH, CURL, PAGE, PYTHON, URL4, fine, right, test


def door(w, port=s.DANTED):
    """A UNIX socket that leads to the server at PORT: one that a socket of the client's can reach."""
    path = "%s/door-%d" % (w.scratch, port)
    if not os.path.exists(path):
        bed.start(bed.CLIENT, ["socat", "UNIX-LISTEN:%s,fork,backlog=1024" % path,
                               "TCP:%s:%d" % (bed.PROXY4, port)])
        while not os.path.exists(path):
            pass
    return path


class Slow:
    """A listener that takes its time over each connection."""

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
    right(via(w, door(w), CURL + [URL4]), PAGE)
    right(via(w, door(w, s.DANTED_AUTH), CURL + [URL4], AUTH), PAGE)


@test("unix: bare LD_PRELOAD")
def _(w):
    command = ["env", "LD_PRELOAD=" + w.object, "SOCKS5_SERVER=socks5h://localhost" + door(w)]
    right(bed.run(bed.CLIENT, command + CURL + [URL4], w.env), PAGE)


for NAME in ("tcp_nonblock_select", "epoll_before", "epoll_after", "epoll_thread", "threads_200", "fork_after",
             "fork_connecting", "exec_inherit", "vfork_exec", "close_all", "options_kept", "early_io",
             "connect_500", "v4mapped", "stream"):
    test("unix: %s" % NAME)(lambda w, name=NAME: fine(
        via(w, door(w), [w.app(name), bed.TARGET4, str(s.ECHO)])))


@test("unix: datagrams")
def _(w):
    test_udp.targets(w)
    right(via(w, door(w), [w.app("udp_calls", False), bed.TARGET4, "7", "10"]), b"")
    right(via(w, door(w), [w.app("udp_calls", False), bed.TARGET6, "7", "42"]), b"")


@test("unix: nobody behind the path is ECONNREFUSED, and no permission EACCES")
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


@test("unix: a queue that is full is waited for")
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


@test("unix: --check and --explain know what it is")
def _(w):
    url = "socks5h://localhost" + door(w)
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-x", url, "--check", "--target",
                                            bed.TARGET4 + ":80"], w.env)
    assert status == 0 and b" at %s" % door(w).encode() in out, (status, out, err)
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-x", url, "--explain", "192.0.2.1:80"], w.env)
    assert status == 0 and b"server: %s" % door(w).encode() in out, (status, out, err)
