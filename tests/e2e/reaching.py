"""Runs programs that the preload object cannot cover, for the tests of the namespace engine. The programs are those of
uncovered.py, and busybox."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import bed
import servers as s
import uncovered

BUSYBOX = "/bin/busybox"
HOSTS = (bed.TARGET4, bed.TARGET6, "both.example")
OURS = ("socks5gateway", "socks5agent", "socks5-reach")
MARK = "REACH_TEST"


def programs(w):
    return uncovered.build(w.scratch)


def tcp_words(w, name, host, port=s.HTTP):
    """The command that makes the program NAME fetch a page."""
    words = {"rust": ["get"], "bare": [], "uring": [], "uring_static": []}.get(name, ["tcp"])
    return [getattr(programs(w), name), *words, host, str(port)]


def who(root):
    return "root" if root else "an ordinary user"


def by_url(w, command, *options, port=s.DANTED, user="", timeout=None):
    """The command that runs COMMAND through a server. TIMEOUT: of the server's replies, in seconds."""
    if timeout:
        name, _, password = urllib.parse.unquote(user).partition(":")
        login = 'username = "%s" password = "%s"' % (name, password) if user else ""
        text = 'server "proxy" { address = "%s" port = %d timeout = %d %s }\nrule "all" { via = {"proxy"} }\n'
        return by_file(w, text % (bed.PROXY4, port, timeout, login), command, *options)
    return [w.socksify, *options, "-x", "socks5h://%s%s:%d" % (user and user + "@", bed.PROXY4, port), "--", *command]


def by_file(w, text, command, *options):
    path = "%s/home/reach-%d.conf" % (w.scratch, abs(hash(text)))
    os.chmod(s.write(path, text), 0o600)
    return [w.socksify, *options, "-c", path, "--", *command]


def run(w, command, *options, seconds=40, env=None, data=None, **more):
    """Runs COMMAND through a server: (exit status, stdout, stderr)."""
    return bed.run(bed.CLIENT, by_url(w, command, *options, **more), env or w.env, w.timeout_factor * seconds, data)


def start(w, command, *options, env=None, stderr=None, **more):
    """Starts COMMAND. Its standard output can be read line by line."""
    return bed.start(bed.CLIENT, by_url(w, command, *options, **more), env=env or w.env, stdout=subprocess.PIPE,
                     stderr=stderr)


class Wrong(list):
    """The cases of a table whose results are wrong."""

    def expect(self, case, result, out, status=0):
        """RESULT has the exit status STATUS, OUT as its output, and no other output."""
        if result[:2] != (status, out) or result[2]:
            self.append((case, result))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        assert kind or not self, "\n".join(["%d wrong:" % len(self)] + ["%s: %s" % pair for pair in self])


def until(condition, seconds=15):
    """Waits until CONDITION() is true, and returns its result."""
    deadline = time.monotonic() + bed.SLOWNESS * seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "not within %d s" % (bed.SLOWNESS * seconds)
        time.sleep(0.02)
    return result


# --- processes ---


def read(pid, name):
    try:
        with open("/proc/%s/%s" % (pid, name), "rb") as f:
            return f.read()
    except OSError:
        return b""


class Life:
    """Marks the processes of a test. In the end none of ours is left: no gateway, agent, launcher, and none of them as
    a zombie."""

    def __init__(self, w):
        self.mark = str(time.monotonic_ns())
        self.env = dict(w.env, **{MARK: self.mark})
        self.zombies = self.dead()

    @staticmethod
    def dead():
        """Our processes that nobody has waited for."""
        found = {pid: read(pid, "stat") for pid in filter(str.isdigit, os.listdir("/proc"))}
        return {pid for pid, stat in found.items() if b"(socks" in stat and stat.rpartition(b")")[2][1:2] == b"Z"}

    def pids(self, *names):
        """The processes of the test with these names, or all of them."""
        mark = ("%s=%s" % (MARK, self.mark)).encode()
        return [int(pid) for pid in filter(str.isdigit, os.listdir("/proc"))
                if mark in read(pid, "environ").split(b"\0")
                and (not names or read(pid, "comm").decode().strip() in names)]

    def one(self, name):
        """The only process NAME."""
        until(lambda: len(self.pids(name)) == 1)
        return self.pids(name)[0]

    def kill(self):
        """Ends the test's programs."""
        def ended():
            left = set(self.pids()) - set(self.pids(*OURS, "socks5companion"))
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left
        until(ended)

    def gone(self, seconds=5):
        """Waits until none of our processes and no zombie is left."""
        left = []

        def look():
            left[:] = [(pid, read(pid, "comm")) for pid in self.pids(*OURS)]
            left.extend((pid, read(pid, "comm"), "zombie") for pid in self.dead() - self.zombies)
            return not left
        try:
            until(look, seconds)
        except AssertionError:
            raise AssertionError("left after %d s: %s; others of the test: %s" % (
                seconds, left, [(pid, read(pid, "cmdline")) for pid in self.pids()])) from None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.gone()


# --- the host ---


class Service:
    """A service on the client's own loopback, outside of the namespaces. It answers a request with TEXT."""

    def __init__(self, address, port=0, text=b"from the host\n"):
        self.text = text
        with bed.inside(bed.CLIENT):
            self.listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((address, port))
            self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                with peer, contextlib.suppress(OSError):
                    peer.settimeout(10)
                    peer.recv(4096)
                    peer.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + self.text)
                    peer.shutdown(socket.SHUT_WR)
                    peer.recv(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def dial(address, port):
    """A connection of the host's to its loopback."""
    with bed.inside(bed.CLIENT):
        return socket.create_connection((address, port), 10)


def answers(address, port):
    """Whether something listens on the host."""
    try:
        dial(address, port).close()
        return True
    except (ConnectionRefusedError, ConnectionResetError): # a reset: the listener in the namespace has just ended
        return False


def ask(address, port, request=b"GET / HTTP/1.0\r\n\r\n"):
    """What a service answers to the host."""
    with dial(address, port) as c:
        c.sendall(request)
        found = b""
        while more := c.recv(65536):
            found += more
        return found
