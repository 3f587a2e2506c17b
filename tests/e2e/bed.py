"""The test bed: three hosts as network namespaces, client, proxy and target, with no route from client
to target, and a trap that records every packet the client sends anywhere but to the proxy's servers.

The client's default route leads into a link whose far end is the trap: a packet socket there sees
what tries to go past the proxy, be it to the target, to a DNS server or anywhere else. A second
packet socket, on the client's link to the proxy, records what goes to the proxy host but not to one
of its SOCKS ports.

Programs under test run as an ordinary user, servers as root. Everything is made inside the namespaces of
isolated.py and is gone with them; each worker of a run has names of its own."""

import atexit
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
HOSTS4 = "10.88.2.77"  # what the client's hosts file has under only4.hosts.example
SOCKS_PORTS = range(1080, 1100)
RELAY_PORTS = range(40000, 50000)
USER = TAG + "o"  # the ordinary user
FILES = {}  # where a host of the bed has its resolv.conf and hosts

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
    sh("ip link add %s netns %s type veth peer name %s netns %s" % (a_name, a, b_name, b))
    for ns, name in ((a, a_name), (b, b_name)):
        sh("ip -n %s link set %s up" % (ns, name))


def _address(ns, dev, *addresses):
    for address in addresses:
        sh("ip -n %s addr add %s dev %s%s" % (ns, address, dev,
                                              " nodad" if ":" in address else ""))


def _files(root):
    """What a host of the bed finds as its own under /etc (ip netns exec sees to that): client and proxy
    ask the target for names, which the client cannot reach. In a root of its own the client finds them
    there."""
    hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
    for ns, more in ((CLIENT, HOSTS4 + " only4.hosts.example\n"), (PROXY, "")):
        folder = root + "/etc" if root and ns == CLIENT else "/etc/netns/" + ns
        os.makedirs(folder, exist_ok=True)
        FILES[ns] = folder
        for name, text in (("resolv.conf", "nameserver %s\n" % TARGET4), ("hosts", hosts + more)):
            with open("%s/%s" % (folder, name), "w", encoding="ascii") as f:
                f.write(text)


def _layer(root, scratch):
    """A layer of memory above ROOT, in which the folders that tests use are where they are outside."""
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
    """The hosts, with their links; the trap. SCRATCH becomes the ordinary user's. With ROOT what runs as
    that user finds this root file system as its own."""
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

_started, _root = [], []
_all_root = False


def user():
    """The ordinary user, of this run."""
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
    """Whether programs under test run as root from now on."""
    global _all_root
    _all_root = root


def as_user():
    """What goes ahead of a command so that the ordinary user runs it."""
    return ["setpriv", "--reuid=%d" % user().pw_uid, "--regid=%d" % user().pw_gid, "--clear-groups"]


def within(ns, command, root=False):
    """COMMAND as it is run in the namespace NS: as an ordinary user unless ROOT. What runs as that user, and
    what runs on the client, is a program of the client's root file system."""
    words = ["chroot", _root[0]] if _root and (ns == CLIENT or not root) else []
    return ["ip", "netns", "exec", ns] + words + ([] if root or _all_root else as_user()) + command


def made_with(command, cwd="/"):
    """COMMAND, which makes what the client runs, as root runs it: in the client's root file system."""
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
    """A process in a namespace, ended (by its process group) when the run ends: the client's as an ordinary
    user, others, which are servers, as root."""
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


def run(ns, command, env=None, seconds=60, data=None, root=False):
    """A command in a namespace, as an ordinary user unless ROOT: (exit status, stdout, stderr). Killed
    whole when it takes too long: status -1."""
    process = subprocess.Popen(within(ns, command, root), env=env,
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
