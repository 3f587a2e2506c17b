"""The namespace engine in a storm and at its limits: processes are killed at random moments, connections are many, the
descriptors are used up, a program abandons what it began. Whatever happens, octets that arrive are right, nothing gets
past, and nothing is left: no process, no mount, no namespace, no descriptor, no memory."""

import contextlib
import glob
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import bed
import reaching
import servers as s
import test_udp
from reaching import BUSYBOX, Life, programs, read, tcp_words, until
from world import ASAN, PAGE, PLAIN, PYTHON, TSAN, test

TEXT = PAGE + b"\n"
FAST = 1090  # the port of a server that is its own target (tests/bench/peer_server.c)
LIMIT = 3    # seconds that a command of a storm may take; then it ends itself
SEED = int(os.environ.get("STORM", "0")) or random.randrange(1 << 32)


# --- what is left ---


class Nothing(Life):
    """As Life. In the end there is no process of the test, and mounts and files are what they were. A namespace has no
    other way to last."""

    def state(self):
        found = set()
        for folder, _, names in os.walk(self.w.scratch + "/home"):
            # But for what socksify knows about servers, and configurations.
            found |= {name for name in names if not folder.endswith("/.cache/socks5") and not name.startswith("reach-")}
        with open("/proc/self/mountinfo", encoding="ascii") as f:  # the hosts of other workers come and go
            return found, [line for line in f if "/run/netns" not in line]

    def __init__(self, w):
        super().__init__(w)
        self.w = w
        self.before = self.state()

    def gone(self, seconds=10):
        super().gone(seconds)
        until(lambda: not self.pids())
        assert self.state() == self.before


# --- kill -9 ---

# Runs sys.argv[1] commands, some at a time, of those in sys.argv[4:], one a word. Each of them is killed after a random
# time of at most sys.argv[3] ms, if that is not 0. Prints (command, status, output, errors) of each.
MANY = """
import random, subprocess, sys, threading, concurrent.futures
n, seed, most, commands = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
def one(number):
    luck = random.Random(seed + number)
    command = luck.choice(commands)
    p = subprocess.Popen(command.split(), stdout=-1, stderr=-1)
    if most: threading.Timer(luck.random() ** 2 * most / 1000, p.kill).start()
    out, err = p.communicate()
    print(repr((command, p.returncode, out, err)), flush=True)
with concurrent.futures.ThreadPoolExecutor(6) as pool: list(pool.map(one, range(n)))
"""


def commands(w):
    """Commands, and what each says."""
    p, mib = programs(w), 1 << 20
    own = {" ".join(words): said for words, said in (
        (tcp_words(w, "probe_static", "both.example"), TEXT),
        (tcp_words(w, "go_static", bed.TARGET6), TEXT),
        ([p.probe_static, "bulk-out", bed.TARGET4, str(s.ECHO), "1"], b"%d octets sent, %d came back\n" % (mib, mib)),
        ([p.probe_musl, "half-close", "both.example", str(s.ECHO)], b"half-closed\n"))}
    return {"%s timeout -s KILL %d %s" % (BUSYBOX, LIMIT, words): said for words, said in own.items()}


def is_error(out, err):
    """Whether this is what a program says that could not be started, or could not do it."""
    return b"no namespace" in err or out[:1] == b"E" or b"error" in out + err or b"refused" in out + err


def judge(lines, known):
    """The numbers of results: right, failed, killed."""
    right = failed = killed = 0
    for line in lines:
        command, status, out, err = eval(line)  # pylint: disable=eval-used
        if status == 0:
            assert out == known[command], ("wrong", line, SEED)
            right += 1
        elif status in (-signal.SIGKILL, 128 + signal.SIGKILL):
            killed += 1
        else:
            assert is_error(out, err), ("no error", line, SEED)
            failed += 1
    return right, failed, killed


def kill_some(life, luck, names, most, ended):
    """Kills up to MOST processes with these names, each after a while. Returns their number."""
    n = 0
    while n < most and not ended.wait(luck.random() * 0.25):
        pids = life.pids(*names)
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(luck.choice(pids), signal.SIGKILL)
                n += 1
    return n


def storm(w, n, kills, victims, most=0):
    """Runs N commands of a tree, and meanwhile kills KILLS processes of the names VICTIMS. In the end a new command of
    the tree works."""
    known, luck = commands(w), random.Random(SEED)
    after = "%s; echo $?" % " ".join(tcp_words(w, "probe_static", "both.example"))
    line = '"$@"; echo after; %s' % after
    with Nothing(w) as life:
        process = reaching.start(w, ["sh", "-c", line, "sh", PYTHON, "-c", MANY, str(n), str(SEED), str(most), *known],
                                 env=life.env, stderr=subprocess.STDOUT)
        ended, killed, lines = threading.Event(), [], []
        killer = threading.Thread(target=lambda: killed.append(kill_some(life, luck, victims, kills, ended)))
        killer.start()
        try:
            for said in process.stdout:
                if said == b"after\n":
                    break
                lines.append(said.decode())
        finally:
            ended.set()
            killer.join()
        assert process.stdout.readlines() == [TEXT, b"0\n"] and process.wait(20) == 0
        life.kill()
    lines = [line for line in lines if line.startswith("(")]
    assert len(lines) == n, (lines[-3:], SEED)
    return judge(lines, known), killed[0]


for FULL in (False, True):
    FACTOR = 10 if FULL else 1

    @test("reach storm: gateways and agents are killed while commands run" + (", for long" if FULL else ""), on=PLAIN,
          full=FULL, slow=15)
    def _(w, factor=FACTOR):
        (right, _, _), killed = storm(w, 60 * factor, 12 * factor, ("socks5gateway", "socks5agent"))
        assert right and killed >= 3, (right, killed, SEED)

    @test("reach storm: commands and their launchers are killed" + (", for long" if FULL else ""), on=(PLAIN, ASAN),
          full=FULL, slow=10)
    def _(w, factor=FACTOR):
        (right, failed, killed), _ = storm(w, 80 * factor, 0, (), 150 * w.timeout_factor)
        assert right and killed >= 10 and not failed, (right, failed, killed, SEED)


# --- many ---

# What the programs below have in common. They stop where a test looks at the gateway, and go on with SIGUSR1.
HEAD = """
import collections, errno, os, resource, select, signal, socket, struct, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
HOST = sys.argv[1]
def stop(*what):
    print(*what, flush=True)
    signal.sigwait({signal.SIGUSR1})
def begin(host=HOST, port=7):
    c = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET); c.setblocking(False)
    return c, c.connect_ex((host, port))
# Connects N sockets, SOME at a time: (the connected ones, a count of the errors).
def connect(n, some=500):
    good, bad, waiting, poll = [], collections.Counter(), {}, select.epoll()
    while n or waiting:
        while n and len(waiting) < some:
            n -= 1
            try: c, error = begin()
            except OSError as e: bad['socket: ' + errno.errorcode[e.errno]] += 1; continue
            if error in (0, errno.EINPROGRESS): waiting[c.fileno()] = c; poll.register(c, select.EPOLLOUT)
            else: bad[errno.errorcode[error]] += 1
        ready = poll.poll(60)
        assert ready or not waiting, 'never ready'
        for fd, _ in ready:
            c = waiting.pop(fd); poll.unregister(c)
            error = c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error: bad[errno.errorcode[error]] += 1
            else: good.append(c)
    return good, bad
def echo(all_of):
    for n, c in enumerate(all_of): c.setblocking(True); c.settimeout(60); c.sendall(b'%8d' % n)
    for n, c in enumerate(all_of): assert c.recv(9) == b'%8d' % n
def close(all_of, reset=False):
    for c in all_of:
        if reset: c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        c.close()
"""


def fast(w):
    """Starts the server at the port FAST, which is its own target, once in a run. The gateway needs a port for each
    connection, and for a minute after it: the program resets its connections, but the gateway closes in order."""
    if not FAST_RUNS:
        bed.run(bed.CLIENT, ["sysctl", "-qw", "net.ipv4.ip_local_port_range=20000 65535"], w.env, root=True)
        FAST_RUNS.append(subprocess.Popen(bed.within(bed.PROXY, [
            w.build + "/tests/bench/bench_peer_server", bed.PROXY4, str(FAST)], True), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, start_new_session=True))
        assert FAST_RUNS[0].stdout.readline() == b"ready\n"
    test_udp.targets(w)


FAST_RUNS = []
RULES = """
server "fast" { address = "%s" port = %d }
server "slow" { address = "%s" port = %d }
rule "datagrams" { command = {"udp"} via = {"slow"} }
rule "all" { via = {"fast"} }
""" % (bed.PROXY4, FAST, bed.PROXY4, s.DANTED)
# The program cannot know the port of a socket that the server replied for.
HOLDING = RULES.replace(str(FAST), str(s.HOSTILE))


class Program:
    """A program in a strict namespace, where Python is not covered. LIMIT: of its descriptors, and the gateway's."""

    def __init__(self, w, life, code, *arguments, rules=RULES, limit=None, options=("--strict",)):
        self.life, self.w = life, w
        words = ["prlimit", "--nofile=%d:%d" % (limit, limit), "--"] if limit else []
        self.log = open("%s/home/storm-%d.log" % (w.scratch, time.monotonic_ns()), "w+b")
        os.unlink(self.log.name)
        command = [PYTHON, "-c", HEAD + code, *map(str, arguments)]
        self.process = bed.start(bed.CLIENT, words + reaching.by_file(w, rules, command, *options), env=life.env,
                                 stdout=subprocess.PIPE, stderr=self.log)

    def errors(self):
        self.log.seek(0)
        return self.log.read().decode()

    def says(self, *words):
        """The next line is that of WORDS; returns the line's other words."""
        line = self.process.stdout.readline().decode().split()
        assert line[:len(words)] == list(words), (line, words, self.errors()[-2000:])
        return line[len(words):]

    def goes_on(self):
        os.kill(self.process.pid, signal.SIGUSR1)

    def ends(self):
        status = self.process.wait(30)
        assert status == 0, (status, self.errors()[-2000:])

    def gateway(self):
        return self.life.one("socks5gateway")


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def memory(pid):
    """Octets that are this process's alone."""
    return sum(int(line.split()[1]) << 10 for line in read(pid, "smaps_rollup").decode().splitlines()
               if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def processor(pid):
    """Seconds of processor time so far."""
    return sum(int(read(pid, "task/%s/schedstat" % t).split()[0]) for t in os.listdir("/proc/%d/task" % pid)) / 1e9


SEQUENCE = """
def tcp(i):
    with socket.create_connection((HOST, 7), 20) as c:
        c.sendall(b'%d' % i); assert c.recv(99) == b'%d' % i
        if i % 3 == 0: c.shutdown(socket.SHUT_WR); assert c.recv(9) == b''
        elif i % 3 == 1: close([c], True)
def udp(i):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.settimeout(20); u.sendto(b'%d' % i, (HOST, 7)); assert u.recv(99) == b'%d' % i
def name(i):
    assert socket.getaddrinfo('n%d.wild.example' % (i % 50), 80, type=socket.SOCK_STREAM)
work, counts = globals()[sys.argv[2]], sys.argv[3:]
done = 0
for n in map(int, counts):
    for i in range(done, done + n): work(i)
    done += n
    stop('did', done)
"""


def steady(w, what, *counts):
    """After the first of COUNTS the gateway has the same descriptors after each, and the same memory, but for a little,
    or for that of a few more threads, which wait for the server of datagrams."""
    tolerance = 1 << 20 if what == "udp" else 160 << 10
    fast(w)
    with Nothing(w) as life:
        program, begun, done = Program(w, life, SEQUENCE, bed.TARGET4, what, *counts), None, 0
        for n in counts:
            done += n
            program.says("did", str(done))
            gateway = program.gateway()
            if begun is None:
                time.sleep(0.2)
                begun = descriptors(gateway), memory(gateway)
            until(lambda: descriptors(gateway) <= begun[0])
            assert memory(gateway) <= begun[1] + tolerance, (memory(gateway), begun)
            program.goes_on()
        program.ends()


for TITLE, WHAT, COUNTS in (("2,000 connections", "tcp", (500, 1500)), ("200 flows of datagrams", "udp", (200, 200)),
                            ("1,000 look-ups", "name", (500, 500))):
    @test("reach storm: descriptors and memory of the gateway are steady: %s, one after another" % TITLE, on=PLAIN,
          slow=4)
    def _(w, what=WHAT, counts=COUNTS):
        steady(w, what, *counts)


@test("reach storm: descriptors and memory of the gateway are steady: 10,000 connections, one after another", on=PLAIN,
      full=True, slow=40)
def _(w):
    steady(w, "tcp", 1000, 9000)


CROWD = """
n = int(sys.argv[2])
close(connect(100)[0])
stop('begins')
for _ in range(2):
    good, bad = connect(n)
    assert not bad, bad
    echo(good); echo(good[::-1])
    stop('open', len(good))
    close(good, True)
    stop('closed')
"""


def crowd(w, n):
    """N connections at the same time echo, and cost the gateway little memory. Twice, because the first time the memory
    is new."""
    fast(w)
    with Nothing(w) as life:
        program = Program(w, life, CROWD, bed.TARGET4, n)
        program.says("begins")
        gateway = program.gateway()
        before, begun = memory(gateway), descriptors(gateway)
        program.goes_on()
        for _ in range(2):
            assert program.says("open") == [str(n)]
            each = (memory(gateway) - before) / n
            assert each <= 2048, each
            program.goes_on()
            program.says("closed")
            until(lambda: descriptors(gateway) <= begun)
            program.goes_on()
        program.ends()


@test("reach storm: 4,000 connections at the same time echo, and each has 2 KB in the gateway at most", on=PLAIN,
      slow=5)
def _(w):
    crowd(w, 4000)


@test("reach storm: 8,000 connections at the same time echo, and each has 2 KB in the gateway at most", on=PLAIN,
      full=True, slow=15)
def _(w):
    crowd(w, 8000)


# --- the limit of descriptors ---

# What the program wants is more than the gateway has descriptors for: of 1400 it has 888 for flows.
LIMITED = """
kind = sys.argv[2]
flows = []
# Opens N flows, some at a time: (the number of answered ones, the number of errors).
def more(n):
    good = bad = 0
    for _ in range(0, n, 50):
        poll, some = select.poll(), [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(min(n, 50))]
        flows.extend(some)
        for u in some: u.connect((HOST, 7)); u.send(b'x'); poll.register(u, select.POLLIN)
        left = len(some)
        while left:
            ready = poll.poll(20000)
            assert ready, (good, bad)
            for fd, _ in ready:
                poll.unregister(fd); left -= 1
                try: good += os.read(fd, 9) == b'x'
                except OSError as e: assert e.errno == errno.ECONNREFUSED, e; bad += 1
    return good, bad
if kind == 'udp': print('answered', *more(600), flush=True)
good, bad = connect(300 if kind == 'udp' else 900)
echo(good)
print('open', len(good), *bad, flush=True)
stop('full')
close(good); close(flows)
del flows[:]
stop('closed')
good, bad = connect(100)
echo(good)
assert not bad, bad
assert more(1) == (1, 0)
stop('again', len(good))
"""


def limited(w, kind):
    fast(w)
    with Nothing(w) as life:
        program = Program(w, life, LIMITED, bed.TARGET4, kind, limit=1400)
        said = []
        if kind == "udp":
            said.append(program.says("answered"))
        said.append(program.says("open"))
        program.says("full")
        gateway = program.gateway()
        used = processor(gateway)
        time.sleep(1)
        used = processor(gateway) - used
        assert used < 0.5, "the gateway spins"
        program.goes_on()
        program.says("closed")
        until(lambda: descriptors(gateway) < 100)
        program.goes_on()
        assert program.says("again") == ["100"]
        assert program.gateway() == gateway
        program.goes_on()
        program.ends()
        return said, program.errors()


@test("reach storm: beyond the limit of descriptors connects fail at once, a line says so, and later ones succeed",
      on=PLAIN, slow=5)
def _(w):
    (said,), log = limited(w, "tcp")
    assert said == ["444", "ENETUNREACH"], said
    assert log.count("descriptors") == 1, log


@test("reach storm: flows of datagrams beyond the limit of descriptors stop neither connections nor the gateway",
      on=PLAIN, slow=10)
def _(w):
    (answered, opened), log = limited(w, "udp")
    assert answered == ["444", "156"] and opened == ["0", "ENETUNREACH"], (answered, opened)
    assert log.count("descriptors") == 1, log


# --- hostile programs ---

HOSTILE = """
def abandon():
    for i in range(8):
        all_of = [begin()[0] for _ in range(200)]
        time.sleep(i % 2 * 0.05)
        close(all_of, i % 4 > 1)
def child(work):
    out, into = os.pipe()
    pid = os.fork()
    if not pid:
        kept = work(); os.write(into, b'x'); signal.pause()
    assert os.read(out, 1) == b'x'
    os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)
def connects(): return [begin()[0] for _ in range(800)]
def flows(n=2000):
    all_of = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(n)]
    for u in all_of: u.sendto(b'x', (HOST, 53))
    return all_of
def destinations():
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.setblocking(False)
    for i in range(4000):
        try: u.sendto(b'x', ('10.88.%d.%d' % (100 + i // 250, 1 + i % 250), 1 + i))
        except OSError: pass
def pings():
    p = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    for i in range(4000):
        try: p.sendto(struct.pack('!BBHHH', 8, 0, 0, 1, i), (HOST, 0))
        except OSError: pass
works = {'connects that are closed before the answer': abandon, 'connects of a killed program': lambda: child(connects),
         'sockets of a killed program': lambda: child(flows), 'sockets closed at once': lambda: close(flows()),
         'datagrams to many': destinations, 'echo requests': pings}
good, bad = connect(50)
close(good)
stop('begins', len(good))
for title in sys.argv[2:]:
    works[title]()
    stop('done')
good, bad = connect(50)
stop('ends', len(good))
"""
ABANDONED = ("connects that are closed before the answer", "connects of a killed program")
OTHER = ("sockets of a killed program", "sockets closed at once", "datagrams to many", "echo requests")


def hostile_program(w, rules, titles, most, answered):
    fast(w)
    with Nothing(w) as life:
        program = Program(w, life, HOSTILE, bed.TARGET4, *titles, rules=rules)
        assert program.says("begins") == [str(answered)]
        gateway = program.gateway()
        begun = descriptors(gateway)
        for title in titles:
            program.goes_on()
            program.says("done")
            try:
                until(lambda: descriptors(gateway) <= begun + most)
            except AssertionError:
                raise AssertionError("%s: %d descriptors, not %d" % (title, descriptors(gateway), begun)) from None
        program.goes_on()
        assert program.says("ends") == [str(answered)]
        assert program.gateway() == gateway
        program.goes_on()
        program.ends()


@test("reach storm: connects that a program abandons leave nothing in the gateway, nor do those of a killed program",
      on=(PLAIN, ASAN), slow=5)
def _(w):
    hostile_program(w, RULES, ABANDONED, 0, 50)


@test("reach storm: the same where the server never answers", on=PLAIN, slow=5)
def _(w):
    w.hostile.play(lambda c: c.hang())
    hostile_program(w, HOLDING.replace("%d }" % s.HOSTILE, "%d timeout = 2 }" % s.HOSTILE), ABANDONED, 0, 0)


@test("reach storm: thousands of sockets that end at once, destinations and echo requests leave nothing in the gateway",
      on=PLAIN, slow=5)
def _(w):
    hostile_program(w, RULES, OTHER, 1, 50)


# --- threads ---


def with_tsan_gateway(w):
    """A folder with the programs of the ordinary build, but for the gateway, which has ThreadSanitizer."""
    top = tempfile.mkdtemp(prefix="tsan-", dir=w.scratch)
    os.chmod(top, 0o755)
    for program in ("tools/socksify", "tools/reach/socks5-reach", "tools/bridge/socks5-bridge",
                    "preload/libsocksify.so", "tools/gateway/socks5-gateway"):
        os.makedirs(os.path.dirname("%s/%s" % (top, program)), exist_ok=True)
        build = w.builds[TSAN] if "gateway" in program else w.build
        shutil.copy("%s/%s" % (build, program), "%s/%s" % (top, program))
    return top


@test("reach storm: the gateway has no data races: streams, names and datagrams at once", on=TSAN, slow=10)
def _(w):
    test_udp.targets(w)
    p, log = programs(w), w.scratch + "/home/tsan"
    udp = "%s udp both.example 7 3" % p.probe_static
    line = "; ".join(["for i in 1 2 3 4 5; do %s & %s & %s & done" % (
        udp, " ".join(tcp_words(w, "go_static", "both.example")), "%s bulk-out %s 7 1" % (p.probe_musl, bed.TARGET6)),
        "wait"])
    with Life(w) as life:
        env = dict(life.env, TSAN_OPTIONS="log_path=%s:suppressions=%s/tsan.supp" % (log, bed.HERE))
        words = reaching.by_url(w, [BUSYBOX, "sh", "-c", line], "-v")
        status, out, err = bed.run(bed.CLIENT, [with_tsan_gateway(w) + "/tools/socksify", *words[1:]], env, 100)
    assert status == 0 and out.count(TEXT) == 5, (status, out, err)
    for path in glob.glob(log + ".*"):
        with open(path, encoding="utf-8") as f:
            raise AssertionError(f.read())
