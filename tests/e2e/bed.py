"""The test bed: three hosts as network namespaces, named client, proxy and target, without a route from client to
target, and a trap that records every packet that the client sends to anything but the servers on the proxy.

The client's default route leads to a link whose far end is the trap. A packet socket there receives every packet that
bypasses the proxy, whether it is sent to the target, to a DNS server or to another host. A second packet socket,
on the client's link to the proxy, records packets to the proxy host that are not for one of its SOCKS ports.

Programs under test run as an ordinary user, servers as root. Everything is made in the namespaces of isolated.py and
is removed with them. Each worker of a run uses its own names."""

import atexit
import contextlib
import ctypes
import os
import pwd
import signal
import socket
import subprocess
import tempfile
import time

import trap

HERE = os.path.dirname(os.path.abspath(__file__))
TAG = "s5" + os.environ.get("PYTEST_XDIST_WORKER", "")
CLIENT, PROXY, TARGET = (TAG + h for h in ("c", "p", "t"))

CLIENT4, PROXY4 = "10.88.1.1", "10.88.1.2"
CLIENT6, PROXY6 = "fd88:1::1", "fd88:1::2"
OUTER4, TARGET4 = "10.88.2.1", "10.88.2.2"
OUTER6, TARGET6 = "fd88:2::1", "fd88:2::2"
TRAP4, TRAP6 = "10.88.9.1", "fd88:9::1"
IDN4, IDN6 = "10.88.2.76", "fd88:2::76"  # the addresses of a name that is not ASCII
HOSTS4 = "10.88.2.77"  # the address of only4.hosts.example in the client's hosts file
SOCKS_PORTS = range(1080, 1110)
RELAY_PORTS = range(40000, 50000)
USER = TAG + "o"  # the ordinary user
SLOWNESS = float(os.environ.get("TESTS_SLOWNESS", "1"))  # the factor for all times that a test waits for a result
FILES = {}  # by host: the folder of its resolv.conf and hosts

_libc = ctypes.CDLL(None, use_errno=True)


def sh(command):
    subprocess.run(command, shell=True, check=True, timeout=20)


class inside:
    """In the with-block this thread is in the network namespace NAME."""

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
    sh("ip link add %s netns %s type veth peer name %s netns %s" % (a_name, a, b_name, b))
    for ns, name in ((a, a_name), (b, b_name)):
        sh("ip -n %s link set %s up" % (ns, name))


def _address(ns, dev, *addresses):
    for address in addresses:
        sh("ip -n %s addr add %s dev %s%s" % (ns, address, dev,
                                              " nodad" if ":" in address else ""))


def _files(root):
    """Writes the hosts' own files for /etc, which "ip netns exec" mounts there. All use the target as name server; the
    client cannot reach it. If the client has a root file system ROOT, its files are written there."""
    hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
    for ns, more in ((CLIENT, HOSTS4 + " only4.hosts.example\n"), (PROXY, ""), (TARGET, "")):
        folder = root + "/etc" if root and ns == CLIENT else "/etc/netns/" + ns
        os.makedirs(folder, exist_ok=True)
        FILES[ns] = folder
        for name, text in (("resolv.conf", "nameserver %s\n" % TARGET4), ("hosts", hosts + more)):
            with open("%s/%s" % (folder, name), "w", encoding="ascii") as f:
                f.write(text)


@contextlib.contextmanager
def resolv_conf(text):
    """The client's resolv.conf is TEXT. The value is its path."""
    path = FILES[CLIENT] + "/resolv.conf"
    with open(path, encoding="ascii") as f:
        before = f.read()
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    try:
        yield path
    finally:
        with open(path, "w", encoding="ascii") as f:
            f.write(before)


def _layer(root, scratch):
    """Mounts a layer in memory above ROOT. The folders that tests use have the same paths in it as outside."""
    layer = tempfile.mkdtemp(prefix="socksify-root-")
    sh("mount -t tmpfs -o mode=755 layer " + layer)
    for name in ("upper", "work", "root"):
        os.mkdir("%s/%s" % (layer, name))
    sh("mount -t overlay -o lowerdir=%s,upperdir=%s/upper,workdir=%s/work layer %s/root"
       % (root, layer, layer, layer))
    layer += "/root"
    for path in ("/proc", "/sys", "/dev", scratch, os.path.dirname(os.path.dirname(HERE))):
        os.makedirs(layer + path, exist_ok=True)
        sh("mount --rbind '%s' '%s'" % (path, layer + path))
    sh("mount -t tmpfs -o mode=755 run %s/run" % layer)
    sh("chroot %s useradd -M -u %d -d '%s/home' -s /bin/sh %s" % (layer, user().pw_uid, scratch, USER))
    return layer


def make(root=None, scratch=None):
    """Makes the hosts with their links, and the trap, which it returns. SCRATCH is given to the ordinary user. With
    ROOT, programs of that user run in this root file system."""
    user_folder(scratch)
    _root[:] = [_layer(root, scratch)] if root else []
    _files(_root[0] if root else None)
    for ns in (CLIENT, PROXY, TARGET, TAG + "x"):
        sh("ip netns add " + ns)
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
    # The trap: a default route whose next hop is in the neighbour table, so that packets are really sent.
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

_started, _root = [], []
_all_root = False


def user():
    """The ordinary user of this run."""
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "-M", "-d", "/nonexistent", "-s", "/bin/sh", USER], check=False, timeout=30)
        return pwd.getpwnam(USER)


def user_folder(path):
    os.makedirs(path, exist_ok=True)
    os.chown(path, user().pw_uid, user().pw_gid)
    os.chmod(path, 0o755)


def as_root(root):
    """Sets whether programs under test run as root."""
    global _all_root
    _all_root = root


def as_user():
    """The words before a command that make it run as the ordinary user."""
    return ["setpriv", "--reuid=%d" % user().pw_uid, "--regid=%d" % user().pw_gid, "--clear-groups"]


def within(ns, command, root=False):
    """COMMAND with the words that run it in the namespace NS, as the ordinary user unless ROOT is set. Programs of that
    user and programs on the client are those of the client's root file system."""
    words = ["chroot", _root[0]] if _root and (ns == CLIENT or not root) else []
    return ["ip", "netns", "exec", ns] + words + ([] if root or _all_root else as_user()) + command


def in_chroot():
    """Whether programs on the client run in a root file system of their own."""
    return bool(_root)


def made_with(command, cwd="/"):
    """COMMAND with the words that run it as root in the client's root file system. It builds programs for the client."""
    return ["chroot", *(_root or ["/"]), "env", "--chdir=" + cwd, *command]


def unix_listener(path, kind=socket.SOCK_STREAM, backlog=128):
    """A UNIX socket that the ordinary user may connect to."""
    listener = socket.socket(socket.AF_UNIX, kind)
    listener.bind(path)
    os.chmod(path, 0o777)
    if kind == socket.SOCK_STREAM:
        listener.listen(backlog)
    return listener


def start(ns, command, root=None, **options):
    """Starts a process in a namespace. Its process group is ended when the run ends. On the client it runs as the
    ordinary user, on other hosts, where it is a server, as root."""
    root = ns != CLIENT if root is None else root
    process = subprocess.Popen(within(ns, command, root), start_new_session=True,
                               stdin=subprocess.DEVNULL, **options)
    _started.append(process)
    return process


def asan_runtime():
    return subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


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
    deadline = time.monotonic() + SLOWNESS * seconds
    while True:
        try:
            with inside(ns):
                socket.create_connection((address, port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError("nothing listens on %s:%d" % (address, port)) from None
            time.sleep(0.05)


def run(ns, command, env=None, seconds=60, data=None, root=False):
    """Runs a command in a namespace, as the ordinary user unless ROOT is set: (exit status, stdout, stderr). If it takes
    too long, its process group is killed and the status is -1."""
    process = subprocess.Popen(within(ns, command, root), env=env,
                               start_new_session=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE,
                               stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL)
    try:
        out, err = process.communicate(data, timeout=SLOWNESS * seconds)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        status, err = -1, err + b"[killed after %d s]" % seconds
    return status, out, err
