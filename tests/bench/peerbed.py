"""The network of the measurements: two hosts as network namespaces, joined by an ordinary link and by a link that
delays every packet (a TUN device at either end). The server is at the far end of both. Traffic that bypasses the
server is detected there: it arrives at the target's own ports or at the name server."""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import bed
import nameserver

# server and target, by link
NONE, LOGIN = 1080, 1081
PLACES = {"fast": ("10.88.1.2", "10.88.2.2"), "slow": ("10.88.3.2", "10.88.4.2")}


class Failed(Exception):
    """A contender failed. The text says how, in a word or two."""


def started(command, **options):
    """Starts a server process and waits for its line that it is ready. It ends with its standard input."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               **options)
    bed.atexit.register(process.kill)
    return process, process.stdout.readline().strip()


class Helpers:
    """The processes that the contender runs beside the program. They inherit a mark in the environment."""

    NAMES = (b"socks5gateway", b"socks5agent", b"socks5companio")
    MARK = "BENCH_HELPERS"
    numbers = itertools.count()

    def __init__(self):
        self.env = {self.MARK: str(next(self.numbers))}
        self.pids = []

    def find(self):
        mark = ("%s=%s" % (self.MARK, self.env[self.MARK])).encode()
        self.pids = [pid for pid in filter(str.isdigit, os.listdir("/proc"))
                     if self._read(pid, "comm").strip().startswith(self.NAMES)
                     and mark in self._read(pid, "environ").split(b"\0")]

    @staticmethod
    def _read(pid, name):
        try:
            with open("/proc/%s/%s" % (pid, name), "rb") as f:
                return f.read()
        except OSError:
            return b""

    def figures(self):
        """Their processor time in microseconds, and the octets of memory that are theirs alone."""
        time = memory = 0
        for pid in self.pids:
            for thread in os.listdir("/proc/%s/task" % pid):
                time += int(self._read(pid, "task/%s/schedstat" % thread).split()[0])
            for line in self._read(pid, "smaps_rollup").decode().splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    memory += int(line.split()[1]) << 10
        return time / 1e3, memory


class Bed:
    def __init__(self, build, scratch, delay):
        """DELAY: the round-trip time in microseconds."""
        bed.as_root(True)  # as the servers
        self.build, self.scratch, self.delay = build, scratch, delay
        self._hosts()
        near, far = ("/run/netns/" + ns for ns in (bed.CLIENT, bed.PROXY))
        self.link, said = started([build + "/tests/bench/bench_link", str(delay / 2), near, "slow",
                                   far, "slow"])
        assert said == "ready"
        for ns, own, other in ((bed.CLIENT, "10.88.3.1", "10.88.3.2"),
                               (bed.PROXY, "10.88.3.2", "10.88.3.1")):
            bed.sh("ip -n %s link set slow txqueuelen 20000 up" % ns)
            bed.sh("ip -n %s addr add %s peer %s dev slow" % (ns, own, other))
        bed.sh("ip -n %s route add 10.88.4.2 via 10.88.3.2" % bed.CLIENT)
        self.names = nameserver.Nameserver(bed.PROXY, ("10.88.2.2",))
        self.server, said = started(["ip", "netns", "exec", bed.PROXY,
                                     build + "/tests/bench/bench_peer_server", "0.0.0.0"])
        assert said == "ready"

    @staticmethod
    def _hosts():
        folder = "/etc/netns/" + bed.CLIENT
        os.makedirs(folder)
        for name, text in (("resolv.conf", "nameserver 10.88.2.2\n"),
                           ("hosts", "127.0.0.1 localhost\n"),
                           ("nsswitch.conf", "hosts: files dns\n")):
            with open(folder + "/" + name, "w", encoding="ascii") as f:
                f.write(text)
        for ns in (bed.CLIENT, bed.PROXY):
            bed.sh("ip netns add " + ns)
            bed.sh("ip -n %s link set lo up" % ns)
            with bed.inside(ns):
                # Ports of closed connections must be free at once, because there are many connections.
                for path, value in (("tcp_max_tw_buckets", "0"), ("tcp_tw_reuse", "1"),
                                    ("ip_local_port_range", "2000 65000")):
                    with open("/proc/sys/net/ipv4/" + path, "w", encoding="ascii") as f:
                        f.write(value)
        bed._link(bed.CLIENT, "fast", bed.PROXY, "fast")
        bed._address(bed.CLIENT, "fast", "10.88.1.1/24")
        bed._address(bed.PROXY, "fast", "10.88.1.2/24")
        for address in ("10.88.2.2", "10.88.4.2"):
            bed._address(bed.PROXY, "lo", address + "/32")
        bed.sh("ip -n %s route add 10.88.2.2 via 10.88.1.2" % bed.CLIENT)

    def arrived(self):
        """The numbers of connections since the last call: at the target's own ports, and at the server's ports."""
        self.server.stdin.write("\n")
        self.server.stdin.flush()
        return [int(x) for x in self.server.stdout.readline().split()]

    def program(self, name, contender):
        return "%s/tests/bench/bench_%s%s" % (self.build, name, "_static" if contender.static else "")

    def command(self, contender, mode, *words, link="fast", login=False):
        """The command line of the client for this contender."""
        server, target = PLACES[link]
        own = [self.program("peer_client", contender)]
        if contender.speaks:
            own.append("-u" if login else "-s")
        return own + [mode, server if contender.speaks else target] + [str(w) for w in words]

    def environment(self, contender, link="fast", login=False, port=None):
        port = port or (LOGIN if login else NONE)
        return contender.environment(self.scratch, PLACES[link][0], port, login)

    def covered(self, contender, command, link="fast", login=False, seconds=20, port=None):
        """Runs a program that the contender covers, and returns its output."""
        return self.output(contender, contender.wrap + command, link, login, seconds, port)

    def output(self, contender, command, link="fast", login=False, seconds=20, port=None):
        """Runs a command with the contender's configuration."""
        env = self.environment(contender, link, login, port)
        status, out, err = bed.run(bed.CLIENT, command, env, seconds)
        self._judge(contender, command, status, err, status == -1 and b"[killed" in err)
        return out.decode()

    @staticmethod
    def _judge(contender, command, status, err, hangs):
        if hangs:
            raise Failed("hangs")
        if status < 0 or status > 128:
            raise Failed("crashes")
        if status != 0:
            if os.environ.get("BENCH_VERBOSE"):
                print(contender.name, command, err.decode(errors="replace")[-500:])
            raise Failed("fails")

    def watched(self, contender, command, seconds=20, port=None):
        """Runs a program that has the option -w. Returns its output, and what the contender's other processes spent
        meanwhile: microseconds of processor time, and octets of memory."""
        helpers = Helpers()
        env = dict(self.environment(contender, port=port), **helpers.env)
        with tempfile.TemporaryFile(dir=self.scratch) as err:
            process = subprocess.Popen(bed.within(bed.CLIENT, contender.wrap + command), env=env, text=True,
                                       start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err)
            killed = threading.Event()
            timer = threading.Timer(seconds, lambda: (killed.set(), os.killpg(process.pid, signal.SIGKILL)))
            timer.start()
            before, lines = None, []
            for line in process.stdout:
                if line == "ready\n":
                    helpers.find()
                    before = helpers.figures()
                    process.stdin.write("\n")
                    process.stdin.flush()
                elif line == "done\n":
                    after = helpers.figures()
                    process.stdin.close()
                else:
                    lines.append(line)
            status = process.wait()
            timer.cancel()
            err.seek(0)
            self._judge(contender, command, status, err.read(), killed.is_set())
        if contender.static and not helpers.pids:
            raise Failed("no gateway")
        return "".join(lines), [a - b for a, b in zip(after, before)]

    def run(self, contender, mode, *words, link="fast", login=False, seconds=20):
        """Runs the client and returns its figures, one list per line."""
        self.arrived()
        out = self.covered(contender, self.command(contender, mode, *words, link=link, login=login),
                           link, login, seconds)
        return self._figures(contender, out)

    def run_watched(self, contender, mode, *words, seconds=20):
        """Like run(), over the fast link. Returns the figures of the only line, and those of watched()."""
        self.arrived()
        command = self.command(contender, mode, *words)
        out, others = self.watched(contender, [command[0], "-w", *command[1:]], seconds)
        return self._figures(contender, out)[0], others

    def _figures(self, contender, out):
        if contender.name != "direct" and self.arrived()[0]:
            raise Failed("goes direct")
        return [[float(x) for x in line.split()] for line in out.splitlines()]
