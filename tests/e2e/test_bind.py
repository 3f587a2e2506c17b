"""Programs that accept connections through the server (BIND). A program sends its address over a connection to a
caller in the target's namespace. The caller connects there and sends the addresses that it sees."""

import os
import re
import socket
import subprocess
import threading

import bed
import servers as s
from world import AUTH, CURL, PAGE, PYTHON, URL4, fine, right, test

CALLER = 13
WAYS = ["blocking", "poll", "select", "epoll", "nonblock epoll", "nonblock poll",
        "nonblock select", "fork", "fork nonblock epoll", "exec",
        "prefork", "prefork nonblock poll", "prefork nonblock epoll", "any blocking"]
_callers = []


def call(where, control):
    """Connects to WHERE ("host port"), sends the addresses of both ends, and waits for the program's answer."""
    host, port = where.split()
    with socket.create_connection((host, int(port)), 10) as c:
        c.sendall(b"%s %d %s %d\n" % (c.getsockname()[0].encode(), c.getsockname()[1],
                                      c.getpeername()[0].encode(), c.getpeername()[1]))
        heard = c.makefile("rb").readline()
    if heard == b"thanks\n":
        control.sendall(b".")


def serve(control):
    try:
        with control, control.makefile("r") as lines, bed.inside(bed.TARGET):
            for line in lines:
                call(line, control)
    except OSError as e:
        print("# the caller: %s" % e, flush=True)


def accept(listener):
    while True:
        control, _ = listener.accept()
        threading.Thread(target=serve, args=(control,), daemon=True).start()


def callers():
    if not _callers:
        with bed.inside(bed.TARGET):
            for address in (bed.TARGET4, bed.TARGET6):
                listener = socket.create_server(
                    (address, CALLER), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
                _callers.append(listener)
                threading.Thread(target=accept, args=(listener,), daemon=True).start()


def called_back(w, how, host, port, user=""):
    callers()
    fine(w.via(port, [w.app("called_back"), host, str(CALLER), how], user))


def bare(w, how, host):
    callers()
    fine(bed.run(bed.PROXY, [w.app("called_back", False), host, str(CALLER), how], w.env, 60))


for HOW in WAYS:
    for HOST in (bed.TARGET4, bed.TARGET6):
        if not HOW.startswith("any"):
            test("bind: called_back accepts connections at %s, %s, without socksify" % (HOST, HOW))(
                lambda w, how=HOW, host=HOST: bare(w, how, host))
        for LABEL, PORT, USER in (("danted", s.DANTED, ""),
                                  ("danted with password", s.DANTED_AUTH, AUTH)):
            test("bind: called_back accepts connections at %s through %s, %s" % (HOST, LABEL, HOW))(
                lambda w, how=HOW, host=HOST, p=PORT, u=USER: called_back(w, how, host, p, u))


def crowd(w, covered):
    callers()
    command = [w.app("crowd", covered), bed.TARGET4, str(CALLER)]
    fine(w.via(s.DANTED, command) if covered else bed.run(bed.PROXY, command, w.env, 60))


test("bind: poll() and select() with hundreds of descriptors report a connection and a listener, without socksify")(
    lambda w: crowd(w, False))
test("bind: poll() and select() with hundreds of descriptors report a connection and a listener, through danted")(
    lambda w: crowd(w, True))


# --- FTP: the file server opens a connection to the client for each transfer ---

def url_host(host):
    return "[%s]" % host if ":" in host else host


def folder(w):
    """A new folder that the user of the client program may write to."""
    there = "%s/got-%d" % (w.scratch, len(os.listdir(w.scratch)))
    os.makedirs(there)
    os.chmod(there, 0o777)
    return there


def tnftp(w, host, port, user):
    """Debian's ftp in active mode: lists, fetches a small file and a large one."""
    there = folder(w)
    script = s.write(there + "/script", "user anonymous x@y\nls\nlcd %s\nget index.html\nget 1m\n"
                     "ls\nbye\n" % there)
    command = ["sh", "-c", "exec ftp -A -n -v -d %s <%s" % (host, script)]
    status, out, err = w.via(port, command, user)
    assert status == 0 and out.count(b"20m") == 2, (status, out, err)
    same(w, there, out + err)


def lftp(w, host, port, user):
    there = folder(w)
    command = ["lftp", "-c", "set ftp:passive-mode no; set net:max-retries 2; set net:timeout 10;"
               " debug -o %s/debug 5; open ftp://%s; cls -l; lcd %s; get index.html; get 1m"
               % (there, url_host(host), there)]
    status, out, err = w.via(port, command, user)
    assert status == 0 and b"20m" in out, (status, out, err)
    with open(there + "/debug", "rb") as debug:
        same(w, there, debug.read())


def same(w, there, log):
    """The fetched files are identical to the originals, and the client used active mode for each transfer."""
    asked = re.findall(rb"---> (?:EPRT \|.\||PORT )(?:%s|10[.,]88[.,]2[.,]1)[|,]"
                       % bed.OUTER6.encode(), log)
    assert len(asked) >= 3 and not re.search(rb"---> (PASV|EPSV)", log), log
    for name in ("index.html", "1m"):
        with open(w.scratch + "/www/" + name, "rb") as a, open(there + "/" + name, "rb") as b:
            assert a.read() == b.read(), (name, log)


for CLIENT in (tnftp, lftp):
    for HOST in (bed.TARGET4, bed.TARGET6):
        for LABEL, PORT, USER in (("danted", s.DANTED, ""),
                                  ("danted with password", s.DANTED_AUTH, AUTH)):
            test("bind: %s fetches files in active mode at %s through %s" % (CLIENT.__name__, HOST, LABEL))(
                lambda w, c=CLIENT, h=HOST, p=PORT, u=USER: c(w, h, p, u))


# --- programs in Python ---

ASYNCIO = """
import asyncio, socket, sys
async def main():
    r, w = await asyncio.open_connection(sys.argv[1], %d)
    own = w.get_extra_info('sockname')[0]
    async def called(reader, writer):
        peer, name = writer.get_extra_info('peername'), writer.get_extra_info('sockname')
        said = (await reader.readline()).decode().split()
        assert said == [str(x) for x in peer[:2] + name[:2]], (said, peer, name)
        writer.write(b'thanks\\n')
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(called, own, 0)
    for i in range(10):
        name = server.sockets[0].getsockname()
        w.write(b'%%s %%d\\n' %% (name[0].encode(), name[1]))
        assert await r.readexactly(1) == b'.'
    server.close()
    await server.wait_closed()
    print('ten')
asyncio.run(main())""" % CALLER

PLAIN = """
import selectors, socket, sys
control = socket.create_connection((sys.argv[1], %d))
where = selectors.%s()
listeners = [socket.create_server((control.getsockname()[0], 0), family=control.family)
             for i in range(3)]
listeners[2] = socket.socket(fileno=listeners[2].dup().detach())
assert listeners[2].getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
for l in listeners:
    where.register(l, selectors.EVENT_READ)
    l.setblocking(False)
for i in range(10):
    for l in (listeners[2], listeners[0], listeners[1]):
        control.sendall(b'%%s %%d\\n' %% (l.getsockname()[0].encode(), l.getsockname()[1]))
        ready = where.select(20)
        assert [key.fileobj for key, _ in ready] == [l], ready
        c, peer = l.accept()
        said = c.makefile().readline().split()
        assert said == [str(x) for x in peer[:2] + c.getsockname()[:2]], (said, peer)
        try: l.accept()
        except BlockingIOError: pass
        c.sendall(b'thanks\\n')
        c.close()
        assert control.recv(1) == b'.'
for l in listeners:
    where.unregister(l)
    l.close()
print('thirty')"""


def python(w, code, host, said):
    callers()
    right(w.via(s.DANTED, [PYTHON, "-c", code, host]), said)


for HOST in (bed.TARGET4, bed.TARGET6):
    test("bind: asyncio's start_server accepts connections at %s" % HOST)(
        lambda w, h=HOST: python(w, ASYNCIO, h, b"ten"))
    for SELECTOR in ("EpollSelector", "PollSelector", "SelectSelector"):
        test("bind: three listeners, one of them duplicated, accept connections with %s at %s" % (SELECTOR, HOST))(
            lambda w, h=HOST, k=SELECTOR: python(w, PLAIN % (CALLER, k), h, b"thirty"))


# --- listeners that stay local ---

NGINX = """
daemon off; pid %(dir)s/local.pid; error_log %(dir)s/local.err; worker_processes 2;
events { worker_connections 64; }
http { access_log off; client_body_temp_path %(dir)s/lb; proxy_temp_path %(dir)s/lp;
  fastcgi_temp_path %(dir)s/lf; uwsgi_temp_path %(dir)s/lu; scgi_temp_path %(dir)s/ls;
  server { listen %(at)s:%(port)d; root %(dir)s/www; } }
"""


def stays_local(w, port, command):
    """The program listens locally although its process tree has connected through the server before."""
    first = "curl -sS -m 20 -o /dev/null %s && exec \"$@\"" % URL4
    process = bed.start(bed.CLIENT, [
        "env", "-i", "PATH=" + w.env["PATH"], "HOME=" + w.env["HOME"], w.socksify, "-x",
        "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), "--", "sh", "-c", first, "sh"] + command,
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        bed.wait_port(bed.CLIENT, bed.CLIENT4, port)
        right(bed.run(bed.CLIENT, CURL + ["http://%s:%d/" % (bed.CLIENT4, port)], w.env), PAGE)
    finally:
        bed.stop(process)


@test("bind: Python's http.server listens locally")
def _(w):
    stays_local(w, 8000, [PYTHON, "-m", "http.server", "-d", w.scratch + "/www", "--bind",
                          bed.CLIENT4, "8000"])


@test("bind: nginx listens locally")
def _(w):
    conf = s.write(w.scratch + "/local.conf",
                   NGINX % {"dir": w.scratch, "at": bed.CLIENT4, "port": 8001})
    stays_local(w, 8001, ["nginx", "-c", conf, "-e", w.scratch + "/local.err"])


@test("bind: listeners on loopback or a fixed port stay local after a connection")
def _(w):
    code = """
import socket
socket.create_connection(('%s', 7)).close()
for at in (('127.0.0.1', 0), ('%s', 4321), ('0.0.0.0', 4322)):
    l = socket.create_server(at)
    assert l.getsockname()[0] == at[0], l.getsockname()
    c = socket.create_connection(('127.0.0.1', l.getsockname()[1])) if at[0] != '%s' else None
    if c: print(l.accept()[1][0])
""" % (bed.TARGET4, bed.CLIENT4, bed.CLIENT4)
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"127.0.0.1\n127.0.0.1\n")


# --- listeners: waiting, closing, exec, reuse ---

CONTROL = """
import os, select, socket, subprocess, sys, time
control = socket.create_connection(('%s', %d))
def listener(n=8):
    return socket.create_server((control.getsockname()[0], 0), backlog=n)
def announce(l):
    control.sendall(b'%%s %%d\\n' %% (l.getsockname()[0].encode(), l.getsockname()[1]))
def serve(c, peer):
    said = c.makefile().readline().split()
    assert said == [str(x) for x in peer[:2] + c.getsockname()[:2]], (said, peer)
    c.sendall(b'thanks\\n')
    c.close()
    assert control.recv(1) == b'.'
""" % (bed.TARGET4, CALLER)


def controlled(title, code, said=b"fine"):
    def run(w):
        callers()
        right(w.via(s.DANTED, [PYTHON, "-c", CONTROL + code + "\nprint('fine')"]), said)
    test("bind: " + title)(run)


controlled("poll, select and epoll keep their timeouts while no connection arrives", """
l = listener()
l.setblocking(False)
p, e = select.poll(), select.epoll()
p.register(l, select.POLLIN)
e.register(l, select.EPOLLIN)
for wait in (lambda: p.poll(500), lambda: e.poll(0.5), lambda: select.select([l], [], [], 0.5)[0]):
    begun = time.monotonic()
    assert not wait()
    assert 0.4 < time.monotonic() - begun < 8
try: l.accept()
except BlockingIOError: pass
""")

controlled("a listener that is shut down or closed is closed at the server too", """
for how in ('shutdown', 'close'):
    l = listener()
    name = l.getsockname()
    if how == 'shutdown':
        l.shutdown(socket.SHUT_RDWR)
        try: l.accept()
        except OSError as e: assert e.errno == 22, e
    else:
        l.close()
    time.sleep(0.5)
    assert socket.socket().connect_ex(name) == 111, how
""")

controlled("internal descriptors survive a program that closes and duplicates all descriptors", """
l = listener()
os.set_inheritable(l.fileno(), True)
keep = {0, 1, 2, control.fileno(), l.fileno()}
for fd in range(1200):
    if fd not in keep:
        try: os.close(fd)
        except OSError: pass
os.closerange(max(keep) + 1, 1 << 20)
announce(l)
serve(*l.accept())
spare = os.open('/dev/null', os.O_RDONLY)
for fd in range(max(keep) + 2, 1024):
    os.dup2(spare, fd)
announce(l)
serve(*l.accept())
for fd in range(max(keep) + 2, 1024):
    os.read(fd, 1)
""")

controlled("a failed exec leaves no descriptor inheritable", """
def inherited():
    links = [f for f in range(3, 1100) if os.path.islink('/proc/self/fd/%d' % f)]
    return {f for f in links if os.get_inheritable(f)}
l = listener()
os.set_inheritable(l.fileno(), True)
before = inherited()
try: os.execv('/nowhere/to/be/found', ['x'])
except FileNotFoundError: pass
assert inherited() == before, (inherited(), before)
""")

controlled("an accepted connection keeps its two addresses across exec", """
l = listener()
announce(l)
c, peer = l.accept()
code = '''
import socket, sys
c = socket.socket(fileno=0)
said = c.makefile().readline().split()
assert said == [str(x) for x in c.getpeername()[:2] + c.getsockname()[:2]], said
c.sendall(b"thanks" + bytes([10]))'''
assert subprocess.run([sys.executable, '-c', code], stdin=c).returncode == 0
c.close()
assert control.recv(1) == b'.'
""")

controlled("a listener is inherited under another descriptor number (socket activation)", """
l = listener()
announce(l)
code = '''
import os, socket
l = socket.socket(fileno=3)
assert l.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
c, peer = l.accept()
said = c.makefile().readline().split()
assert said == [str(x) for x in peer[:2] + c.getsockname()[:2]], (said, peer)
c.sendall(b"thanks" + bytes([10]))'''
pid = os.fork()
if pid == 0:
    fd = l.fileno()
    os.dup2(fd, 3) if fd != 3 else os.set_inheritable(3, True)
    os.execv(sys.executable, [sys.executable, '-c', code])
assert os.waitpid(pid, 0)[1] == 0
assert control.recv(1) == b'.'
announce(l)
serve(*l.accept())
""")

controlled("an address accepts one connection: a second one is refused and changes nothing", """
l = listener()
first = l.getsockname()
announce(l)
serve(*l.accept())
assert l.getsockname() != first
assert socket.socket().connect_ex(first) == 111
l.setblocking(False)
try: l.accept(); print('a connection arrived')
except BlockingIOError: pass
l.setblocking(True)
announce(l)
serve(*l.accept())
""")

controlled("a bound socket can connect after getsockname()", """
c = socket.socket()
c.bind((control.getsockname()[0], 0))
c.getsockname()
c.connect(('%s', 7))
c.sendall(b'hello')
assert c.recv(5) == b'hello' and c.getpeername() == ('%s', 7)
""" % (bed.TARGET4, bed.TARGET4))


test("bind: lftp fetches files in active mode from a name with both address families")(
    lambda w: lftp(w, "both.example", s.DANTED, ""))
test("bind: tnftp fetches files in active mode from a name with both address families")(
    lambda w: tnftp(w, "both.example", s.DANTED, ""))

controlled("a dual-stack listener accepts in the family of the program's own connection", """
l = socket.socket(socket.AF_INET6)
l.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
l.bind(('::', 0))
l.listen()
name = l.getsockname()
assert name[0] == '::ffff:%s', name
control.sendall(b'%%s %%d\\n' %% (name[0][7:].encode(), name[1]))
c, peer = l.accept()
assert peer[0] == '::ffff:%s', peer
c.sendall(b'thanks\\n')
assert control.recv(1) == b'.'
""" % (bed.OUTER4, bed.TARGET4))


@test("bind: hundreds of listeners in turn work although their child processes exit at once")
def _(w):
    fine(w.via(s.DANTED, [w.app("listen_often"), bed.TARGET4, str(s.ECHO)], seconds=60))
