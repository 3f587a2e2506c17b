"""The test bed: three hosts as network namespaces, client, proxy and target, with no route from client
to target, and a trap that records every packet the client sends anywhere but to the proxy's servers.

The client's default route leads into a link whose far end is the trap: a packet socket there sees
what tries to go past the proxy, be it to the target, to a DNS server or anywhere else. A second
packet socket, on the client's link to the proxy, records what goes to the proxy host but not to one
of its SOCKS ports. Everything is made by this run, under names of its own, and unmade at its end."""

import atexit
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time

import trap

TAG = "s5%x" % (os.getpid() & 0xFFFFF)
CLIENT, PROXY, TARGET = (TAG + h for h in ("c", "p", "t"))

CLIENT4, PROXY4 = "10.88.1.1", "10.88.1.2"
CLIENT6, PROXY6 = "fd88:1::1", "fd88:1::2"
OUTER4, TARGET4 = "10.88.2.1", "10.88.2.2"
OUTER6, TARGET6 = "fd88:2::1", "fd88:2::2"
TRAP4, TRAP6 = "10.88.9.1", "fd88:9::1"
IDN4, IDN6 = "10.88.2.76", "fd88:2::76"  # the addresses of a name that is not ASCII
HOSTS4 = "10.88.2.77"  # what the client's hosts file has under only4.hosts.example
SOCKS_PORTS = range(1080, 1100)
RELAY_PORTS = range(40000, 50000)

_libc = ctypes.CDLL(None, use_errno=True)


def sh(command):
    subprocess.run(command, shell=True, check=True, timeout=20)


class inside:
    """A with-block of this thread inside a network namespace."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._enter("/run/netns/" + self.name)

    def __exit__(self, *_):
        if _libc.setns(self.before, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(self.before)

    @staticmethod
    def _enter(path):
        fd = os.open(path, os.O_RDONLY)
        if _libc.setns(fd, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)


def _link(a, a_name, b, b_name):
    sh("ip link add %s0 type veth peer name %s1" % (TAG, TAG))
    for end, ns, name in (("0", a, a_name), ("1", b, b_name)):
        sh("ip link set %s%s netns %s name %s" % (TAG, end, ns, name))
        sh("ip -n %s link set %s up" % (ns, name))


def _address(ns, dev, *addresses):
    for address in addresses:
        sh("ip -n %s addr add %s dev %s%s" % (ns, address, dev,
                                              " nodad" if ":" in address else ""))


def _files():
    """What a host of the bed finds as its own under /etc (ip netns exec sees to that): client and proxy
    ask the target for names, which the client cannot reach."""
    hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
    for ns, more in ((CLIENT, HOSTS4 + " only4.hosts.example\n"), (PROXY, "")):
        folder = "/etc/netns/" + ns
        os.makedirs(folder)
        atexit.register(shutil.rmtree, folder)
        for name, text in (("resolv.conf", "nameserver %s\n" % TARGET4), ("hosts", hosts + more)):
            with open("%s/%s" % (folder, name), "w", encoding="ascii") as f:
                f.write(text)


def make():
    _files()
    for ns in (CLIENT, PROXY, TARGET, TAG + "x"):
        sh("ip netns add " + ns)
        atexit.register(subprocess.run, ["ip", "netns", "del", ns], check=False)
        sh("ip -n %s link set lo up" % ns)
        with inside(ns):
            for path, value in (("ipv6/conf/all/forwarding", "0"), ("ipv4/ip_forward", "0"),
                                ("ipv4/tcp_fastopen", "3")):
                with open("/proc/sys/net/" + path, "w") as f:
                    f.write(value)
    _link(CLIENT, "proxy", PROXY, "client")
    _address(CLIENT, "proxy", CLIENT4 + "/24", CLIENT6 + "/64")
    _address(PROXY, "client", PROXY4 + "/24", PROXY6 + "/64")
    _link(PROXY, "target", TARGET, "proxy")
    _address(PROXY, "target", OUTER4 + "/24", OUTER6 + "/64")
    _address(TARGET, "proxy", TARGET4 + "/24", TARGET6 + "/64")
    # The trap: a default route whose next hop is known, so that packets do leave.
    _link(CLIENT, "beyond", TAG + "x", "trap")
    _address(CLIENT, "beyond", "10.88.9.2/24", "fd88:9::2/64")
    sh("ip -n %sx link set trap address 02:00:00:00:00:99" % TAG)
    for family, hop in (("-4", TRAP4), ("-6", TRAP6)):
        sh("ip %s -n %s neigh replace %s lladdr 02:00:00:00:00:99 dev beyond nud permanent"
           % (family, CLIENT, hop))
        sh("ip %s -n %s route add default via %s" % (family, CLIENT, hop))
    with inside(TAG + "x"):
        beyond = trap.listen("trap")
    with inside(PROXY):
        link = trap.listen("client", trap.link_filter(PROXY4, PROXY6, SOCKS_PORTS,
                                                           RELAY_PORTS))
    return trap.Trap(beyond, link)


# --- processes ---

_started = []


def start(ns, command, **options):
    """A server process in a namespace, ended (by its process group) when the run ends."""
    process = subprocess.Popen(["ip", "netns", "exec", ns] + command, start_new_session=True,
                               stdin=subprocess.DEVNULL, **options)
    _started.append(process)
    return process


def stop(process):
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sig)
        except ProcessLookupError:
            pass
        try:
            process.wait(3)
            return
        except subprocess.TimeoutExpired:
            pass


@atexit.register
def stop_all():
    for process in reversed(_started):
        stop(process)


def wait_port(ns, address, port, seconds=15):
    deadline = time.monotonic() + seconds
    while True:
        try:
            with inside(ns):
                socket.create_connection((address, port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError("nothing listens on %s:%d" % (address, port)) from None
            time.sleep(0.05)


def run(ns, command, env=None, seconds=60, data=None):
    """A command in a namespace: (exit status, stdout, stderr). Killed whole when it takes too long:
    status -1."""
    process = subprocess.Popen(["ip", "netns", "exec", ns] + command, env=env,
                               start_new_session=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE,
                               stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL)
    try:
        out, err = process.communicate(data, timeout=seconds)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        status, err = -1, err + b"[killed after %d s]" % seconds
    return status, out, err
