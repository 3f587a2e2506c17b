"""Programs that wait for one event while a connection through a server is being negotiated. Here a rule sends loopback
through a server, so that a program can connect to itself through it."""

import os
import signal

import bed
import servers as s
from world import ASAN, PLAIN, PYTHON, right, test

NEAR, PORT = "127.0.0.77", 10077


def through_loopback(w, code, out=b"fine\n"):
    """Runs CODE with a rule that sends 127.0.0.0/8 through a server on 127.0.0.77."""
    conf = w.scratch + "/loopback.conf"
    s.write(conf, 'server "near" { address = "%s" port = %d }\n'
            'rule "self" { to = {"%s"} via = "direct" }\n'
            'rule "loopback" { to = {"127.0.0.0/8"} via = "near" }\n' % (NEAR, PORT, NEAR))
    process = bed.start(bed.CLIENT, ["microsocks", "-i", NEAR, "-p", str(PORT)])
    try:
        bed.wait_port(bed.CLIENT, NEAR, PORT)
        right(w.configured(conf, [PYTHON, "-c", code], w.env, 60), out)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@test("polling only a listener drives the program's own connection to it", on=(PLAIN, ASAN))
def _(w):
    through_loopback(w, """
import select, socket
def polled(l):
    p = select.poll(); p.register(l, select.POLLIN); return p.poll(20000)
def selected(l):
    return select.select([l], [], [], 20)[0]
def epolled(l):
    e = select.epoll(); e.register(l, select.EPOLLIN); return e.poll(20)
for wait in polled, selected, epolled, lambda l: [1]:
    l = socket.create_server(('127.0.0.1', 0))
    c = socket.socket(); c.setblocking(False)
    c.connect_ex(l.getsockname())
    assert len(wait(l)) == 1, wait
    a, _ = l.accept()
    a.sendall(b'here')
    c.setblocking(True)
    assert c.recv(9) == b'here'
print('fine')""")


@test("a blocking accept() returns although the connection was begun by a thread that sleeps", on=(PLAIN, ASAN))
def _(w):
    through_loopback(w, """
import select, socket, threading, time
for early in False, True:
    l = socket.create_server(('127.0.0.1', 0))
    c = socket.socket(); c.setblocking(False)
    t = threading.Thread(target=l.accept)
    if early: t.start(); time.sleep(0.3)
    c.connect_ex(l.getsockname())
    if not early: t.start(); t.join(20)
    end = time.monotonic() + 20
    while t.is_alive() and time.monotonic() < end: select.select([], [], [], 0.05)
    assert not t.is_alive(), early
print('fine')""")


@test("a blocking recv() or connect() on another socket drives a connection that was begun", on=(PLAIN, ASAN))
def _(w):
    through_loopback(w, """
import socket, threading
def serve(l, other):
    a, _ = l.accept()
    other.send(b'it came')
for way in 'recv', 'read', 'connect':
    l, m = (socket.create_server(('127.0.0.1', 0)) for _ in range(2))
    mine, other = socket.socketpair()
    c = socket.socket(); c.setblocking(False)
    c.connect_ex(l.getsockname())
    t = threading.Thread(target=serve, args=(l, other)); t.start()
    if way == 'connect':
        d = socket.create_connection(m.getsockname())
        t.join(20)
    elif way == 'recv':
        assert mine.recv(9) == b'it came'
    else:
        assert mine.makefile('rb', 0).read(9) == b'it came'
    t.join(20); assert not t.is_alive(), way
print('fine')""")


@test("an event loop that waits for its own pipe drives its connections", on=(PLAIN, ASAN))
def _(w):
    through_loopback(w, """
import asyncio, socket
async def main():
    loop = asyncio.get_running_loop()
    async def echo(r, t):
        t.write(await r.read(9)); await t.drain(); t.close()
    server = await asyncio.start_server(echo, '127.0.0.1', 0)
    at = server.sockets[0].getsockname()
    for one in range(5):
        c = socket.socket(); c.setblocking(False)
        await loop.sock_connect(c, at)
        await loop.sock_sendall(c, b'loop'); assert await loop.sock_recv(c, 9) == b'loop'
        c.close()
    async def client():
        r, t = await asyncio.open_connection(*at)
        t.write(b'many'); assert await r.read(9) == b'many'; t.close()
    await asyncio.gather(*(client() for _ in range(20)))
    # Another thread blocks in accept(), and the loop of this thread waits only for it.
    l = socket.create_server(('127.0.0.1', 0))
    c = socket.socket(); c.setblocking(False); c.connect_ex(l.getsockname())
    a, _ = await asyncio.wait_for(loop.run_in_executor(None, l.accept), 20)
    a.sendall(b'thread'); c.setblocking(True); assert c.recv(9) == b'thread'
    server.close()
asyncio.run(main())
print('fine')""")
