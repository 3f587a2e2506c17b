"""Live reload: programs that run go to the servers of the new configuration, and a mistake changes nothing. The servers
of most tests write their own letter into each connection, so a program knows where it came through."""

import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time

import bed
import kerberos
import reaching
import servers as s
import test_udp
from world import CURL, PAGE, PLAIN, PYTHON, URL4, right, test

_fresh = itertools.count()
A, B, C = 1089, 1100, 1092
LETTERS = {A: "a", B: "b", C: "c"}

# Accepts every connection, and writes a letter in place of the target. Counts in a file.
SERVER = """
import os, socket, sys, threading
port, letter, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def take(f, n):
    data = f.read(n)
    if len(data) < n: raise EOFError
    return data
def serve(c):
    try:
        f = c.makefile("rb")
        take(f, take(f, 2)[1])
        c.sendall(b"\\5\\0")
        kind = take(f, 4)[3]
        take(f, 2 + (4 if kind == 1 else 16 if kind == 4 else take(f, 1)[0]))
        with lock:
            os.write(log, letter.encode())
        c.sendall(b"\\5\\0\\0\\1" + bytes(6) + letter.encode() + b"\\n")
        f.read(1)
    except (EOFError, OSError): pass
    c.close()
log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
lock = threading.Lock()
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind(("%s", port)); l.listen(1000)
while True:
    threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
""" % bed.PROXY4

# Does what it is told on its standard input, a line each, and answers with one line.
CLIENT = """
import json, os, select, socket, subprocess, sys, threading, time
def connect(at=("%s", 7)):
    c = socket.create_connection(at, 20)
    letter = c.makefile().readline().strip()
    c.close()
    return letter
def thread():
    box = []
    t = threading.Thread(target=lambda: box.append(connect())); t.start(); t.join()
    return box[0]
def fork():
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(w, connect().encode()); os._exit(0)
    os.close(w); os.waitpid(pid, 0)
    letter = os.read(r, 9).decode(); os.close(r)
    return letter
def child():
    return subprocess.run([sys.executable, sys.argv[0], "connect"], stdout=subprocess.PIPE, text=True).stdout.strip()
def epoll():
    c = socket.socket(); c.setblocking(False); r = c.connect_ex(("%s", 7))
    if r != 115: raise OSError(r, "connect")
    e = select.epoll(); e.register(c, select.EPOLLOUT); e.poll(20); e.modify(c, select.EPOLLIN); e.poll(20)
    letter = c.recv(9).decode().strip(); c.close(); e.close()
    return letter
def name():
    return connect(("reload.example", 7))
kept = []
def keep():
    kept.append(socket.create_connection(("%s", 7), 20)); kept[-1].recv(9)
    return "kept"
def kept_is_open():
    kept[-1].setblocking(False)
    try: return "closed" if not kept[-1].recv(9) else "odd"
    except BlockingIOError: return "open"
def listen():
    global listener, first
    first = socket.create_connection(("%s", 7))
    listener = socket.socket(); listener.bind((first.getsockname()[0], 0))
    try: listener.listen()
    except OSError as e: return type(e).__name__ + str(e.errno)
    return "%%s %%d" %% listener.getsockname()
def accept():
    a = listener.accept()[0]
    return a.recv(99).decode()
def name_of_listener():
    return "%%s %%d" %% listener.getsockname()
def reload(socksify):
    return str(subprocess.run([socksify, "--reload", str(os.getpid())], stdout=subprocess.DEVNULL).returncode)
def become():
    os.execv(sys.executable, [sys.executable, sys.argv[0]])
def storm(seconds, rate=200, threads=8):
    found, begin = [], time.monotonic()
    def run(first):
        for i in range(first, int(float(seconds) * rate), threads):
            time.sleep(max(0, begin + i / rate - time.monotonic()))
            try: found.append(connect())
            except OSError as e: found.append(str(e))
    all = [threading.Thread(target=run, args=(i,)) for i in range(threads)]
    for t in all: t.start()
    for t in all: t.join()
    return json.dumps({letter: found.count(letter) for letter in set(found)})
def say(host, text):
    global udp
    if host == "open":
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("", 0)); udp.settimeout(20)
        return "open"
    udp.sendto(text.encode(), (host, 7))
    return udp.recv(99).decode()
if sys.argv[1:]:
    print(globals()[sys.argv[1]]())
    sys.exit()
print(os.getpid(), flush=True)
for line in sys.stdin:
    words = line.split()
    try: answer = globals()[words[0]](*words[1:])
    except OSError as e: answer = type(e).__name__ + str(e.errno)
    print(answer, flush=True)
""" % ((bed.TARGET4,) * 4)


def servers(w):
    """Starts the servers A, B and C once."""
    if not hasattr(w, "reload_servers"):
        w.reload_servers = s.write(w.scratch + "/letter_server.py", SERVER)
        w.reload_client = s.write(w.scratch + "/reload_client.py", CLIENT)
        for port, letter in LETTERS.items():
            bed.start(bed.PROXY, [PYTHON, w.reload_servers, str(port), letter, "%s/letters-%s" % (w.scratch, letter)])
            bed.wait_port(bed.PROXY, bed.PROXY4, port)


def counted(w):
    total = {}
    for letter in LETTERS.values():
        try:
            total[letter] = os.stat("%s/letters-%s" % (w.scratch, letter)).st_size
        except FileNotFoundError:
            total[letter] = 0
    return total


class Conf:
    """A configuration file that changes."""

    def __init__(self, w, port, head=""):
        self.path = "%s/reload-%d.conf" % (w.scratch, next(_fresh))
        self.head = head
        self.set(port)

    def set(self, *ports, rule="", more=""):
        text = self.head
        for port in ports:
            text += 'server "s%d" { address = "%s" port = %d }\n' % (port, bed.PROXY4, port)
        names = ", ".join('"s%d"' % port for port in ports)
        self.write(text + 'rule "all" { via = {%s} command = {"connect", "udp"} %s }\n' % (names, rule) + more)

    def write(self, text):
        s.write(self.path + ".new", text)
        os.chmod(self.path + ".new", 0o644)
        os.rename(self.path + ".new", self.path)


class Program:
    """The program, which runs until the end of a with block."""

    def __init__(self, w, options, root=False, prefix=(), env=None):
        servers(w)
        self.log = open("%s/reload-program-%d.log" % (w.scratch, next(_fresh)), "w+b")
        command = [*prefix, w.socksify, *options, "--", PYTHON, w.reload_client]
        self.process = subprocess.Popen(bed.within(bed.CLIENT, command, root), env=env or w.env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, start_new_session=True)
        self.pid = int(self.answer())

    def answer(self):
        timer = threading.Timer(60 * bed.SLOWNESS, lambda: os.killpg(self.process.pid, signal.SIGKILL))
        timer.start()
        line = self.process.stdout.readline().decode().strip()
        timer.cancel()
        return line

    def send(self, *words):
        self.process.stdin.write(" ".join(words).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, *words):
        self.send(*words)
        return self.answer()

    def errors(self):
        self.log.seek(0)
        return self.log.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10 * bed.SLOWNESS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


def reload(w, *words, root=False, prefix=()):
    return bed.run(bed.CLIENT, [*prefix, w.socksify, "--reload", *map(str, words)], w.env, 40, root=root)


def reloaded(w, conf, *words, **more):
    expected = b"socksify: reloaded %s for 1 process tree\n" % getattr(conf, "path", conf).encode()
    assert reload(w, *words, **more) == (0, expected, b""), reload(w, *words, **more)


def until(question, seconds=30):
    """Asks until the answer is right. The file is looked at once a second, and twice before it is read."""
    end = time.monotonic() + seconds * bed.SLOWNESS
    while not question():
        assert time.monotonic() < end
        time.sleep(0.1)


WAYS = ("connect", "thread", "fork", "child", "epoll", "name")


@test("reload: a program that runs goes to the other server, by every way to connect", on=PLAIN)
def _(w):
    conf = Conf(w, A)
    with Program(w, ["-c", conf.path]) as p:
        for port in (A, B, A, C):
            conf.set(port)
            reloaded(w, conf, p.pid)
            for way in WAYS:
                assert p.ask(way) == LETTERS[port], way
        assert p.errors() == b""


@test("reload: a program that an exec starts takes the newest configuration", on=PLAIN)
def _(w):
    conf = Conf(w, A)
    with Program(w, ["-c", conf.path]) as p:
        conf.set(B)
        reloaded(w, conf, p.pid)
        assert int(p.ask("become")) == p.pid
        assert [p.ask(way) for way in WAYS] == ["b"] * len(WAYS)
        conf.set(C)
        reloaded(w, conf, p.pid)
        assert [p.ask(way) for way in WAYS] == ["c"] * len(WAYS)


@test("reload: established connections stay as they are", on=PLAIN)
def _(w):
    conf = Conf(w, A)
    with Program(w, ["-c", conf.path]) as p:
        assert p.ask("keep") == "kept"
        conf.set(B)
        reloaded(w, conf, p.pid)
        assert (p.ask("connect"), p.ask("kept_is_open")) == ("b", "open")


@test("reload: a mistake changes nothing and is reported with file and line", on=PLAIN)
def _(w):
    servers(w)
    conf = Conf(w, A)
    good = 'server "p" { address = "%s" port = %d }\n' % (bed.PROXY4, B)
    many = "".join('server "h%d" { address = "192.0.2.%d" }\n' % (i, i + 1) for i in range(32))
    mistakes = ((good + 'rule "all" { via = {"q"} }\n', b":2: "), (good + 'rule "all" { via = {"p" }\n', b":"),
                ('server "p" { address = "no-such-name.invalid" }\nrule "all" { via = {"p"} }\n', b"cannot resolve"),
                (many + 'rule "all" { via = {"h0"} }\n', b": too many servers"))
    # Nothing answers queries of socksify itself.
    with bed.resolv_conf("nameserver 127.0.0.1\n"), Program(w, ["-c", conf.path]) as p:
        for text, why in mistakes:
            conf.write(text)
            status, out, err = reload(w, p.pid)
            assert (status, out) == (1, b"") and err.count(b"\n") == 1, (status, out, err)
            assert err.startswith(b"socksify: %s:" % conf.path.encode()) and why in err, err
            assert p.ask("connect") == "a"
        os.remove(conf.path)
        assert reload(w, p.pid)[:2] == (1, b"") and p.ask("connect") == "a"
        assert p.errors() == b""


@test("reload: several servers, and rules that deny or are direct", on=PLAIN)
def _(w):
    conf = Conf(w, A)
    with Program(w, ["-c", conf.path]) as p:
        conf.set(s.CLOSED, B, C)
        reloaded(w, conf, p.pid)
        assert p.ask("connect") == "b"
        conf.set(A, B, rule='pick = "round-robin"')
        reloaded(w, conf, p.pid)
        assert sorted(p.ask("connect") for _ in range(4)) == ["a", "a", "b", "b"]
        conf.write('rule "no" { via = {"deny"} }\n')
        reloaded(w, conf, p.pid)
        assert [p.ask(way) for way in ("connect", "epoll")] == ["PermissionError13"] * 2
        conf.set(A)
        reloaded(w, conf, p.pid)
        assert p.ask("connect") == "a"


@test("reload: no connection of 200 a second fails while 20 reloads are made", on=PLAIN, slow=9)
def _(w):
    conf = Conf(w, A)
    with Program(w, ["-c", conf.path]) as p:
        before = counted(w)
        p.send("storm", "5")
        for i in range(20):
            time.sleep(0.2)
            conf.set(*((B,), (A, C), (A,), (C, B))[i % 4])
            reloaded(w, conf, p.pid)
        found, after = json.loads(p.answer()), counted(w)
        assert set(found) <= set("abc") and sum(found.values()) == 1000, (found, p.errors())
        assert {x: after[x] - before[x] for x in after} == {x: found.get(x, 0) for x in after}, (found, before, after)
        assert found["a"] and found["b"]
        assert p.errors() == b""


@test("reload: many reloads at the same time", on=PLAIN)
def _(w):
    conf = Conf(w, A)
    with Program(w, ["-c", conf.path]) as p:
        found = []

        def run(port):
            for _ in range(5):
                found.append(reload(w, "-x", "socks5h://%s:%d" % (bed.PROXY4, port), p.pid)[0])
        threads = [threading.Thread(target=run, args=(port,)) for port in (A, B, C)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert p.ask("connect") in "abc"
        for thread in threads:
            thread.join()
        assert found == [0] * 15
        reloaded(w, conf, "-c", conf.path, p.pid)
        assert [p.ask(way) for way in WAYS] == ["a"] * len(WAYS)


@test("reload: a stand-alone bridge reads its configuration again on SIGHUP", on=PLAIN)
def _(w):
    servers(w)
    conf, log = Conf(w, A), w.scratch + "/reload-bridge.log"
    with open(log, "ab") as err:
        bridge = bed.start(bed.CLIENT, [w.bridge, "--listen", "127.0.0.1:2091", "-c", conf.path], stderr=err)
    bed.wait_port(bed.CLIENT, "127.0.0.1", 2091)

    def letter():
        command = [w.socksify, "-x", "socks5h://127.0.0.1:2091", "--", PYTHON, w.reload_client, "connect"]
        return bed.run(bed.CLIENT, command, w.env)[1].decode().strip()

    def logged():
        with open(log, encoding="utf-8") as f:
            return f.read()
    try:
        assert letter() == "a"
        conf.set(B)
        assert letter() == "a"
        os.kill(bridge.pid, signal.SIGHUP)
        until(lambda: letter() == "b")
        conf.write("server {\n")
        os.kill(bridge.pid, signal.SIGHUP)
        until(logged)
        assert letter() == "b" and "reload: %s:" % conf.path in logged(), logged()
        conf.set(C)
        os.kill(bridge.pid, signal.SIGHUP)
        until(lambda: letter() == "c")
    finally:
        bed.stop(bridge)


@test("reload: by the process ID of any process of the tree, and of no other", on=PLAIN)
def _(w):
    servers(w)
    conf, other = Conf(w, A), Conf(w, A)
    with Program(w, ["-c", conf.path]) as p, Program(w, ["-c", other.path]) as q:
        conf.set(B)
        other.set(B)
        reloaded(w, other, q.pid)
        assert (p.ask("connect"), q.ask("connect")) == ("a", "b")
        status, out, err = reload(w, 1)
        assert (status, out) == (1, b"") and b"process 1" in err, (status, out, err)
        status, out, err = reload(w, os.getpid())
        assert (status, out) == (1, b""), (status, out, err)
        assert reload(w, 4194303) == (1, b"", b"socksify: process 4194303: No such process\n")
        for words in (["x"], ["0"], ["-1"], [p.pid, q.pid], ["--log", "stderr", p.pid]):
            status, out, err = reload(w, *words)
            assert (status, out, err.count(b"\n")) == (125, b"", 1), (words, status, out, err)


OTHER_USER = ("setpriv", "--reuid=4242", "--regid=4242", "--clear-groups")


@test("reload: all trees of the user, and none of another user", on=PLAIN)
def _(w):
    servers(w)
    conf, other = Conf(w, A), Conf(w, B)
    env = dict(w.env, HOME="/", XDG_CACHE_HOME="/nonexistent")
    status, out, err = reload(w, root=True, prefix=OTHER_USER)
    assert (status, out, err) == (1, b"", b"socksify: no process of this user runs under socksify\n")
    with Program(w, ["-c", conf.path], True, OTHER_USER, env) as p, \
         Program(w, ["-c", conf.path], True, OTHER_USER, env) as q, \
         Program(w, ["-c", other.path], True, OTHER_USER, env) as r, \
         Program(w, ["-x", "socks5h://%s:%d" % (bed.PROXY4, A)], True, OTHER_USER, env) as url, \
         Program(w, ["-c", conf.path]) as mine:
        conf.set(C)
        other.set(A)
        status, out, err = reload(w, root=True, prefix=OTHER_USER)
        assert status == 0 and sorted(out.splitlines()) == sorted([
            b"socksify: reloaded %s for 2 process trees" % conf.path.encode(),
            b"socksify: reloaded %s for 1 process tree" % other.path.encode()]), (status, out, err)
        assert err.count(b"\n") == 1 and b"its configuration came from -x" in err, err
        assert [x.ask("connect") for x in (p, q, r, url, mine)] == ["c", "c", "a", "a", "a"]
        status, out, err = reload(w, p.pid)
        assert (status, out) == (1, b"") and b"another user" in err, (status, out, err)
        other.write("nonsense\n")  # of one tree: nothing changes in any
        conf.set(B)
        assert reload(w, root=True, prefix=OTHER_USER)[:2] == (1, b"")
        assert [x.ask("connect") for x in (p, q, r)] == ["c", "c", "a"]


@test("reload: -x, -c and -p replace the configuration", on=PLAIN)
def _(w):
    servers(w)
    url = "socks5h://%s:%d" % (bed.PROXY4, A)
    with Program(w, ["-x", url]) as p:
        status, out, err = reload(w, p.pid)
        assert (status, out) == (1, b"") and err.count(b"\n") == 1 and b"came from -x" in err, (status, out, err)
        reloaded(w, "-x", "-x", "socks5h://%s:%d" % (bed.PROXY4, B), p.pid)
        assert p.ask("connect") == "b"
        conf = Conf(w, C)
        reloaded(w, conf, "-c", conf.path, p.pid)
        assert p.ask("connect") == "c"
        conf.set(A)  # from now on it is the file of the tree
        reloaded(w, conf, p.pid)
        assert p.ask("connect") == "a"


@test("reload: the options of the command line stay, and the summary has the servers of all generations", on=PLAIN)
def _(w):
    servers(w)
    conf = Conf(w, A)
    log = w.scratch + "/reload-options.log"
    with Program(w, ["-c", conf.path, "-v", "--log", log, "--summary"]) as p:
        assert p.ask("connect") == "a"
        conf.set(B)
        reloaded(w, conf, p.pid)
        assert p.ask("connect") == "b"
        with open(log, encoding="utf-8") as f:
            lines = f.read().splitlines()
        assert len(lines) == 2 and '"s%d"' % A in lines[0] and '"s%d"' % B in lines[1], lines
        p.process.stdin.close()
        p.process.wait(20)
        for port in (A, B):
            assert b'via "s%d": 1 connected' % port in p.errors(), p.errors()


@test("reload: with reload = auto a changed file is in force without a command", on=PLAIN, slow=12)
def _(w):
    servers(w)
    conf = Conf(w, A, "reload = auto\n")
    with Program(w, ["-c", conf.path]) as p:
        assert [p.ask(way) for way in WAYS] == ["a"] * len(WAYS)
        for port in (B, C):
            conf.set(port)
            until(lambda port=port: p.ask("connect") == LETTERS[port])
            assert [p.ask(way) for way in WAYS] == [LETTERS[port]] * len(WAYS)
        conf.write("reload = auto\nserver \"x\" { adress = \"192.0.2.1\" }\n")
        until(lambda: p.ask("connect") == "c" and p.errors())
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert [p.ask(way) for way in WAYS] == ["c"] * len(WAYS)
        assert p.errors().count(b"\n") == 1 and b"error: reload: %s:2: " % conf.path.encode() in p.errors(), p.errors()
        conf.head = ""
        conf.set(A)
        until(lambda: p.ask("connect") == "a")
        conf.set(B)
        time.sleep(2.5)
        assert p.ask("connect") == "a", "the file says that it is not looked at any more"
        os.remove(conf.path)
        assert p.ask("connect") == "a"
        assert p.errors().count(b"\n") == 1, p.errors()


@test("reload: a datagram socket keeps its server, also for other destinations", on=PLAIN)
def _(w):
    servers(w)
    test_udp.targets(w)
    conf = Conf(w, s.DANTED)
    with Program(w, ["-c", conf.path]) as p:
        assert p.ask("say", "open", "-") == "open"
        assert p.ask("say", bed.TARGET4, "one") == "one"
        conf.set(s.DANTED_AUTH)
        reloaded(w, conf, p.pid)
        assert p.ask("say", bed.TARGET4, "two") == "two"
        assert p.ask("say", "both.example", "three") == "three"


@test("reload: a listener stays at its server, and a new one is at the new server", on=PLAIN)
def _(w):
    servers(w)
    conf = Conf(w, s.DANTED)
    text = 'server "p" { address = "%s" port = %d }\nrule "all" { via = {"p"} command = {"connect", "bind"} }\n'
    conf.write(text % (bed.PROXY4, s.DANTED))
    with Program(w, ["-c", conf.path]) as p:
        host, port = p.ask("listen").split()
        conf.write(text % (bed.PROXY4, s.MICROSOCKS))  # does not support BIND
        reloaded(w, conf, p.pid)
        for word in ("one", "two"):
            with bed.inside(bed.TARGET):
                caller = socket.create_connection((host, int(port)), 10)
            caller.sendall(word.encode())
            assert p.ask("accept") == word
            caller.close()
            host, port = p.ask("name_of_listener").split()
        assert p.ask("listen") == "OSError95"


@test("reload: a program reloads its own configuration", on=PLAIN)
def _(w):
    conf = Conf(w, A)
    with Program(w, ["-c", conf.path]) as p:
        conf.set(B)
        assert p.ask("reload", w.socksify) == "0"
        assert [p.ask(way) for way in WAYS] == ["b"] * len(WAYS)
        # A name of the hosts file, which the program resolves.
        with open(bed.FILES[bed.CLIENT] + "/hosts", "a", encoding="ascii") as f:
            f.write("%s letters.near.example\n" % bed.PROXY4)
        conf.write('server "p" { address = "letters.near.example" port = %d }\nrule "all" { via = {"p"} }\n' % C)
        assert p.ask("reload", w.socksify) == "0"
        assert [p.ask(way) for way in WAYS] == ["c"] * len(WAYS)


@test("reload: a program in a namespace follows, also with --strict", on=PLAIN)
def _(w):
    servers(w)
    conf = Conf(w, s.CLOSED)
    programs = reaching.programs(w)
    loop = "while read line; do %s tcp %s 80 2>&1 | tail -n 1; done" % (programs.probe_static, bed.TARGET4)
    for options in ([], ["--strict"]):
        process = subprocess.Popen(
            bed.within(bed.CLIENT, [w.socksify, *options, "-c", conf.path, "--", "sh", "-c", "echo $$; " + loop]),
            env=w.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True)
        timer = threading.Timer(90 * bed.SLOWNESS, lambda p=process: os.killpg(p.pid, signal.SIGKILL))
        timer.start()
        try:
            pid, lines = int(process.stdout.readline()), []
            for port in (s.CLOSED, s.DANTED, s.CLOSED):
                conf.set(port)
                reloaded(w, conf, pid)
                process.stdin.write(b"\n")
                process.stdin.flush()
                lines.append(process.stdout.readline().strip())
            assert lines[0] == lines[2] and lines[1] == PAGE, lines
        finally:
            process.stdin.close()
            process.wait()
            process.stdout.close()
            timer.cancel()


@test("reload: a server that requires Kerberos, over the bridge that runs", on=PLAIN)
def _(w):
    servers(w)
    k = kerberos.krb(w)
    path = w.scratch + "/reload-gssapi.conf"
    with open(k.conf(), encoding="utf-8") as f:
        with_kerberos = f.read()
    without = 'server "a" { address = "%s" port = %d }\nrule "all" { via = {"a"} }\n' % (bed.PROXY4, s.CLOSED)
    loop = "while read line; do %s 2>&1; echo; done" % " ".join(CURL + [URL4])
    for texts in ((with_kerberos, without, with_kerberos), (without, with_kerberos, without)):
        s.write(path, texts[0])
        process = subprocess.Popen(
            bed.within(bed.CLIENT, ["env", *k.words(k.realm.client), w.socksify, "-c", path, "--", "sh", "-c",
                                    "echo $$; " + loop]), env=w.env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        timer = threading.Timer(90 * bed.SLOWNESS, lambda p=process: os.killpg(p.pid, signal.SIGKILL))
        timer.start()
        try:
            pid = int(process.stdout.readline())
            for text in texts:
                s.write(path + ".new", text)
                os.rename(path + ".new", path)
                status, out, err = reload(w, pid)
                assert status == 0, (status, out, err)
                process.stdin.write(b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
                assert (PAGE in line) == (text == with_kerberos), line
                while process.stdout.readline().strip():
                    pass
        finally:
            process.stdin.close()
            process.wait()
            process.stdout.close()
            timer.cancel()
