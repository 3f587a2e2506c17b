"""Through a server that wants Kerberos: real programs over the bridge, at every level."""

import hashlib
import os

import bed
import kerberos
import servers as s
from run import CURL, PAGE, PYTHON, URL4, right, test

LEVELS = ("clear", "integrity", "confidentiality")


def krb(w):
    """Made by the first test that needs it."""
    if not hasattr(w, "kerberos"):
        w.kerberos = kerberos.Kerberos(w.scratch)
    return w.kerberos


def alone(w, level="confidentiality", port=2080, options=(), **more):
    """A bridge standing alone on the client's loopback."""
    k = krb(w)
    bridge = bed.start(bed.CLIENT, ["env"] + k.words(k.realm.client) + [
        w.build + "/bridge/socks5-bridge", "--listen", "127.0.0.1:%d" % port, "-c",
        k.conf(level, **more), *options], stderr=open(w.scratch + "/bridge.log", "a"))
    bed.wait_port(bed.CLIENT, "127.0.0.1", port)
    return bridge


def digest(w):
    with open(w.scratch + "/www/20m", "rb") as f:
        return hashlib.sha256(f.read()).hexdigest().encode()


for level in LEVELS:
    @test("gssapi: a bridge standing alone, 20 MB under " + level)
    def _(w, level=level):
        bridge = alone(w, level)
        try:
            command = "curl -sS -m 30 --socks5-hostname 127.0.0.1:2080 %s20m | sha256sum" % URL4
            right(bed.run(bed.CLIENT, ["sh", "-c", command], w.env), digest(w))
        finally:
            bed.stop(bridge)


# --- unmodified programs over the bridge of their tree ---


def env_of(w):
    return dict(w.env, **krb(w).realm.client)


def via(w, command, level="confidentiality", seconds=60, env=None, **more):
    k = krb(w)
    words = k.words(env or k.realm.client)
    return bed.run(bed.CLIENT, ["env"] + words + [w.socksify, "-c", k.conf(level, **more), "--"]
                   + command, w.env, seconds)


def preloaded(w, command, level="confidentiality", seconds=60, **more):
    k = krb(w)
    words = k.words(k.realm.client) + ["LD_PRELOAD=" + w.object, "SOCKS5_CONF="
                                       + k.conf(level, **more)]
    return bed.run(bed.CLIENT, ["env"] + words + command, w.env, seconds)


for level in LEVELS:
    @test("gssapi: curl, 20 MB under " + level)
    def _(w, level=level):
        right(via(w, ["sh", "-c", "curl -sS -m 30 %s20m | sha256sum" % URL4], level), digest(w))


@test("gssapi: bare LD_PRELOAD starts the bridge")
def _(w):
    right(preloaded(w, CURL + [URL4]), PAGE)


EPOLL_ECHO = """
import os, select, socket
n = 10 << 20
data = os.urandom(1 << 16)
c = socket.socket(); c.setblocking(False)
c.connect_ex((%r, 7))
ep = select.epoll(); ep.register(c, select.EPOLLIN | select.EPOLLOUT)
sent = got = 0
while got < n:
    for fd, events in ep.poll(30):
        if events & select.EPOLLOUT and sent < n:
            try: sent += c.send(data[sent %% len(data):])
            except BlockingIOError: pass
            if sent >= n: ep.modify(c, select.EPOLLIN)
        if events & select.EPOLLIN:
            piece = c.recv(1 << 17)
            assert piece, 'closed'
            at = got %% len(data)
            assert piece == (data * 4)[at:at + len(piece)]
            got += len(piece)
print('echoed', got >= n)
""" % bed.TARGET4


@test("gssapi: 10 MB of echo by an epoll program")
def _(w):
    right(via(w, [PYTHON, "-c", EPOLL_ECHO]), b"echoed True")


@test("gssapi: ssh runs a command")
def _(w):
    right(via(w, ["ssh", "-F", "none", "-q", "-i", w.scratch + "/user_key", "-o",
                  "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                  "root@" + bed.TARGET4, "echo", "over ssh"]), b"over ssh")


@test("gssapi: node, twenty requests")
def _(w):
    code = """let n=0; for (let i=0;i<20;i++) require('http').get('%s', r => {r.resume();
r.on('end', () => {if (++n==20) console.log('twenty')})})""" % URL4
    right(via(w, ["node", "-e", code]), b"twenty")


@test("gssapi: asyncio, fifty at once")
def _(w):
    code = """
import asyncio
async def one(i):
    r, wr = await asyncio.open_connection(%r, 7)
    assert wr.get_extra_info('peername')[:2] == (%r, 7)
    wr.write(b'%%d' %% i); wr.write_eof()
    assert await r.read() == b'%%d' %% i
async def all():
    await asyncio.gather(*(one(i) for i in range(50)))
    print('fifty')
asyncio.run(all())""" % (bed.TARGET4, bed.TARGET4)
    right(via(w, [PYTHON, "-c", code]), b"fifty")


@test("gssapi: a program exec'ed with a connection goes on with it")
def _(w):
    after = "import socket; c = socket.socket(fileno=9); c.sendall(b'after'); print(c.recv(9))"
    code = """
import os, socket
c = socket.create_connection((%r, 7)); os.dup2(c.fileno(), 9)
c.sendall(b'before'); assert c.recv(9) == b'before'
os.execv(%r, [%r, '-c', %r])""" % (bed.TARGET4, PYTHON, PYTHON, after)
    right(via(w, [PYTHON, "-c", code]), b"after")


@test("gssapi: failing replies are their errnos")
def _(w):
    for port, errno in ((11, b"111"),):
        code = "import socket; print(socket.socket().connect_ex((%r, %d)))" % (bed.TARGET4, port)
        right(via(w, [PYTHON, "-c", code]), errno)
    code = "import socket; print(socket.socket().connect_ex(('10.88.2.99', 80)))"
    right(via(w, [PYTHON, "-c", code]), b"13")
