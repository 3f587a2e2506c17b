"""Runs the ways past the proxy (tests/ways) and asks the trap which of them sent a packet. Each run has a number, its
token, in the address or the name that it sends to, so that many runs at a time can be told apart."""

import concurrent.futures
import contextlib
import os
import re
import shutil
import socket
import struct
import threading
import time

import bed
import nameserver
import servers as s
import trap

OPEN, CLOSED, MISSING = "open", "closed", "missing"
UNAVAILABLE, LEFT = 2, 3  # exit statuses
FIRST_TOKEN, TOKENS = 1000, 8000
# Ways that cannot put a token into their packets run one by one.
WITHOUT_TOKEN = {"name_gethostid", "rpc_broadcast"}
# Listeners are at the server, too.
CONF = """server "p" { address = "%s" port = %d }
rule "listeners" { command = {"bind"} via = {"p"} }
rule "all" { via = {"p"} }
"""
SYSCTLS = {
    "ipv4/ping_group_range": "0 2147483647",  # as on most systems
    "ipv4/igmp_qrv": "1",  # one report for each change of a group, so that none is late
    "ipv6/conf/beyond/router_solicitation_delay": "0",  # address detection begins at once
}


def options(mode):
    """The options of socksify for a mode: hooks alone, with the fence, with the fence and no companion. The only place
    that names them."""
    return {"hooks": ["--no-fence"], "fence": [], "no-companion": ["--no-companion"]}[mode]


def covered(w, mode):
    """The words before a command that run it in MODE."""
    if mode == "bare":
        return []
    conf = s.write(w.scratch + "/ways.conf", CONF % (bed.PROXY4, s.DANTED))
    return [w.socksify, *options(mode), "-c", conf, "--"]


# --- tokens ---


def of_name(name):
    """The token of a DNS name, or None."""
    reverse = re.match(r"(\d+)\.(\d+)\.99\.10\.in-addr\.arpa", name)
    if reverse:
        return int(reverse[2]) << 8 | int(reverse[1])
    nibbles = re.match(r"([0-9a-f])\.([0-9a-f])\.([0-9a-f])\.([0-9a-f])\.[0-9a-f.]*ip6\.arpa", name)
    if nibbles:
        return int("".join(reversed(nibbles.groups())), 16)
    number = re.search(r"\b0x([0-9a-f]{3,4})\b", name)
    return int(number[1], 16) if number else None


PATTERNS = (rb"way-(\d+)-", rb"[\x0a\xef]\x63(..)", rb"\xfd\x99\x63\x63.{10}(..)",
            rb"\xff[\x02\x05]\x63\x63.{10}(..)", rb"\xff\x02.{9}\x01\xff\x63(..)")


def tokens_in(frame):
    """The tokens in the addresses and the text of a packet. A report of groups may have several."""
    for pattern in PATTERNS:
        for hit in re.finditer(pattern, frame[14:], re.S):
            token = int(hit[1]) if len(hit[1]) != 2 else struct.unpack(">H", hit[1])[0]
            if FIRST_TOKEN <= token < FIRST_TOKEN + TOKENS:
                yield token


def token_of(frame):
    """The token in the port or in the DNS name of a packet, or None."""
    kind, at = frame[12:14], 14 + (frame[14] & 15) * 4
    if len(frame) < at + 8:
        return None
    if kind == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP:  # an answer from a listener
        port = struct.unpack(">H", frame[at:at + 2])[0] - 10000
        return port if FIRST_TOKEN <= port < FIRST_TOKEN + TOKENS else None
    if kind == b"\x08\x00" and frame[23] == socket.IPPROTO_UDP and frame[at + 2:at + 4] == b"\0\x35":
        try:
            return of_name(nameserver.name_in(frame[at + 8:], 12)[0])
        except (IndexError, UnicodeDecodeError, struct.error):
            return None
    return None


def is_harmless(frame):
    """Whether a packet is a reset, or goes to a server or a relay of the proxy, by whatever interface."""
    at = 14 + (frame[14] & 15) * 4
    if frame[12:14] != b"\x08\x00" or len(frame) < at + 8 or frame[23] not in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
        return False
    port = struct.unpack(">H", frame[at + 2:at + 4])[0]
    to_proxy = socket.inet_ntoa(frame[30:34]) == bed.PROXY4 and (port in bed.SOCKS_PORTS or port in bed.RELAY_PORTS)
    return to_proxy or frame[23] == socket.IPPROTO_TCP and frame[at + 13:at + 14] and bool(frame[at + 13] & 4)


class Records:
    """A thread that records the packets of the trap: those with a token by the token, and the others."""

    def __init__(self, caught):
        self.tokens, self.others = {}, []
        self._trap, self._ended, self._lock = caught, threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._ended.wait(0.005):
            self.read()

    def read(self):
        with self._lock:
            for frame in self._trap.frames():
                if is_harmless(frame):
                    continue
                tokens, what = set(tokens_in(frame)) or {token_of(frame)}, trap.describe(frame)
                for token in tokens - {None}:
                    self.tokens.setdefault(token, what or "a packet of the kernel")
                if tokens == {None} and what:
                    self.others.append(what)

    def end(self):
        self._ended.set()
        self._thread.join()
        self.read()


# --- what surrounds the ways ---


class Outside(threading.Thread):
    """A process outside the tree, on the client: it sends, or passes a connected socket, when asked."""

    def __init__(self):
        super().__init__(daemon=True)
        with bed.inside(bed.CLIENT):
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind("\0ways-outside")
            self.listener.listen(16)

    def run(self):
        with bed.inside(bed.CLIENT):
            while True:
                try:
                    peer, _ = self.listener.accept()
                except OSError:
                    return
                with peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sent:
                    what, host, token = peer.recv(64).decode().split()
                    sent.connect((host, 7))
                    if what == "send":
                        sent.send(b"way-%s-" % token.encode())
                        peer.send(b"x")
                    else:
                        socket.send_fds(peer, [b"s"], [sent.fileno()])


def dial(token, ended):
    """Connects to the listener of a way, and sends a datagram, until the way has ended."""
    with bed.inside(bed.TAG + "x"):
        while not ended.wait(0.02):
            with socket.socket() as c, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as d:
                c.setblocking(False)
                c.connect_ex(("10.88.9.2", 10000 + token))
                d.connect(("10.88.9.2", 10000 + token))
                with contextlib.suppress(OSError):
                    d.send(b"x")
                ended.wait(0.01)


@contextlib.contextmanager
def _sysctls(ns, values):
    """Sets values below /proc/sys/net for the time of the with-block."""
    before = {}
    with bed.inside(ns):
        for name in values:  # all of them first: a value of conf/all is written to each interface
            with open("/proc/sys/net/" + name) as f:
                before[name] = f.read()
        for name, value in values.items():
            with open("/proc/sys/net/" + name, "w") as f:
                f.write(value)
    try:
        yield
    finally:
        with bed.inside(ns):
            for name, value in before.items():
                with open("/proc/sys/net/" + name, "w") as f:
                    f.write(value)


@contextlib.contextmanager
def _answers():
    """The far end of the trap refuses what arrives, so that no way waits for an answer."""
    ns = bed.TAG + "x"
    with _sysctls(ns, {"ipv4/icmp_ratelimit": "0", "ipv6/icmp/ratelimit": "0"}):
        client = [line for line in os.popen("ip -n %s link show beyond" % bed.CLIENT) if "link/ether" in line]
        bed.sh("ip -n %s addr add 10.88.8.2/24 brd + dev beyond" % bed.CLIENT)  # for broadcasts
        for family, own, peer, all_of in (("-4", bed.TRAP4 + "/24", "10.88.9.2", "0.0.0.0/0"),
                                          ("-6", bed.TRAP6 + "/64", "fd88:9::2", "::/0")):
            bed.sh("ip -n %s addr add %s dev trap %s" % (ns, own, "nodad" if family == "-6" else ""))
            bed.sh("ip %s -n %s neigh replace %s lladdr %s dev trap nud permanent"
                   % (family, ns, peer, client[0].split()[1]))
            bed.sh("ip %s -n %s route add local %s dev lo" % (family, ns, all_of))
        try:
            yield
        finally:
            bed.sh("ip -n %s addr del 10.88.8.2/24 dev beyond" % bed.CLIENT)
            for family in ("-4", "-6"):
                bed.sh("ip %s -n %s route del local default dev lo" % (family, ns))
                bed.sh("ip %s -n %s addr flush dev trap scope global" % (family, ns))


@contextlib.contextmanager
def _networks_by_dns():
    """getnetbyname() asks the DNS server, as the C library does without a configuration."""
    path = bed.FILES[bed.CLIENT] + "/nsswitch.conf"
    before = None
    if os.path.exists(path):
        with open(path) as f:
            before = f.read()
    with open(path, "w") as f:
        f.write("passwd: files\ngroup: files\nhosts: files dns\nnetworks: files dns\n")
    try:
        yield
    finally:
        os.unlink(path)
        if before is not None:
            with open(path, "w") as f:
                f.write(before)


@contextlib.contextmanager
def surroundings():
    outside = Outside()
    outside.start()
    with _answers(), _networks_by_dns(), _sysctls(bed.CLIENT, SYSCTLS):
        try:
            yield
        finally:
            outside.listener.shutdown(socket.SHUT_RDWR)
            outside.listener.close()
            time.sleep(0.3)  # for the last reports of the kernel


# --- runs ---


_used = 0  # tokens. Late packets of earlier runs have others


def next_tokens(count):
    global _used
    if _used + count > TOKENS:
        _used = 0
    _used += count
    return range(FIRST_TOKEN + _used - count, FIRST_TOKEN + _used)


class Run:
    """One run of a way: what it printed, its exit status, and the verdict."""

    def __init__(self, name, root, token):
        self.name, self.root, self.token = name, root, token
        self.status, self.said, self.verdict, self.packet, self.lines = None, "", None, None, []

    def start(self, program, before, env):
        ended = threading.Event()
        dialler = threading.Thread(target=dial, args=(self.token, ended), daemon=True)
        if self.name.startswith("listen_"):
            dialler.start()
        self.status, out, err = bed.run(bed.CLIENT, before + [program, self.name, str(self.token)], env, 8,
                                        root=self.root)
        ended.set()
        said = (out + err).decode(errors="replace").strip().split("\n")
        self.lines = [line for line in said if "refused" in line]
        self.said = next((line for line in said if re.fullmatch(r"[\w-]+:[\w:]+", line)), said[-1])

    def judge(self, tokens):
        self.packet = tokens.get(self.token)
        self.verdict = OPEN if self.packet or self.status == LEFT else \
            MISSING if self.status == UNAVAILABLE else CLOSED


def measure(caught, program, before, env, names, workers=4):
    """Runs each of NAMES, pairs of a name and whether it runs as root, with the words BEFORE it. Returns the runs."""
    runs = [Run(name, root, token) for (name, root), token in zip(names, next_tokens(len(names)))]
    folder = os.path.join(env["HOME"], "ways")
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o1777)
    env = dict(env, WAYS_FOLDER=folder, RES_OPTIONS="timeout:1 attempts:1")
    for _ in caught.frames():
        pass
    records = Records(caught)
    with surroundings():
        # The longest first.
        tokened = sorted((run for run in runs if run.name not in WITHOUT_TOKEN),
                         key=lambda run: not run.name.startswith(("handler_", "thread_", "listen_", "join_")))
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda run: run.start(program, before, env), tokened))
        time.sleep(0.1)
        records.read()
        unknown = list(records.others)
        for run in runs:
            if run.name in WITHOUT_TOKEN:
                records.others.clear()
                run.start(program, before, env)
                records.read()
                if records.others:
                    records.tokens[run.token] = records.others[0]
    records.end()
    shutil.rmtree(folder, ignore_errors=True)
    for run in runs:
        run.judge(records.tokens)
    return runs, unknown
