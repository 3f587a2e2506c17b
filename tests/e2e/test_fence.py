"""The fence: calls that bypass the preload object are refused by the kernel, and reported by the companion."""

import errno
import os
import re
import signal
import time

import bed
import servers as s
import test_udp
from test_lookups import local_names
from world import ASAN, CURL, PAGE, PLAIN, PYTHON, URL4, fine, right, test

# libc's own functions, which no hook replaces.
UNHOOKED = """
import ctypes, errno, os, signal, socket, struct, subprocess, sys, time
libc = ctypes.CDLL('libc.so.6', use_errno=True)
def address(host, port):
    if ':' in host:
        return struct.pack('=H', socket.AF_INET6) + struct.pack('!HI', port, 0) + socket.inet_pton(
            socket.AF_INET6, host) + bytes(4)
    return struct.pack('=H', socket.AF_INET) + struct.pack('!H', port) + socket.inet_aton(host) + bytes(8)
def outcome(r):
    return errno.errorcode[ctypes.get_errno()] if r < 0 else 'done'
def connect(s, host, port=80):
    a = address(host, port)
    return outcome(libc.connect(s.fileno(), a, len(a)))
def sendto(s, host, port=9):
    a = address(host, port)
    return outcome(libc.sendto(s.fileno(), b'x', 1, 0, a, len(a)))
class Iovec(ctypes.Structure): _fields_ = [('base', ctypes.c_char_p), ('len', ctypes.c_size_t)]
class Msghdr(ctypes.Structure): _fields_ = [
    ('name', ctypes.c_char_p), ('namelen', ctypes.c_uint), ('iov', ctypes.POINTER(Iovec)),
    ('iovlen', ctypes.c_size_t), ('control', ctypes.c_void_p), ('controllen', ctypes.c_size_t),
    ('flags', ctypes.c_int)]
def sendmsg(s, host=None, port=9):
    a = address(host, port) if host else None
    m = Msghdr(a, len(a) if a else 0, ctypes.pointer(Iovec(b'x', 1)), 1, None, 0, 0)
    return outcome(libc.sendmsg(s.fileno(), ctypes.byref(m), 0))
tcp4, udp4 = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
tcp6, udp6 = socket.socket(socket.AF_INET6), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
"""
HOSTS = "T4, T6 = %r, %r\n" % (bed.TARGET4, bed.TARGET6)


def fenced(w, code, *options, seconds=40, root=False, arguments=(), env=None):
    command = [w.socksify, "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), *options, "--", PYTHON, "-c",
               UNHOOKED + HOSTS + code, *arguments]
    return bed.run(bed.CLIENT, command, env or w.env, w.timeout_factor * seconds, root=root)


# --- refused calls ---

CALLS = """
print(connect(tcp4, T4), connect(tcp6, T6), connect(udp4, T4))
print(sendto(udp4, T4), sendto(udp6, T6), sendmsg(udp4, T4), sendmsg(udp6, T6))
print(outcome(libc.socket(17, 3, 0)), outcome(libc.socket(2, 3, 1)), outcome(libc.socket(40, 1, 0)))
print(outcome(libc.syscall(425, 8, ctypes.create_string_buffer(120))))
"""
REFUSED = [b"EACCES EACCES EACCES", b"EACCES EACCES EACCES EACCES", b"EAFNOSUPPORT EPERM EAFNOSUPPORT", b"ENOSYS"]


def lines_of(err):
    return [line for line in err.decode().split("\n") if "refused: " in line]


for ROOT in (False, True):
    @test("fence: each refused call leaves one line with program, call and destination, as %s"
          % ("root" if ROOT else "an ordinary user"), on=(PLAIN, ASAN), root=ROOT)
    def _(w):
        status, out, err = fenced(w, CALLS)
        assert status == 0 and out.split(b"\n")[:4] == REFUSED, (status, out, err)
        lines = lines_of(err)
        wanted = [r"connect\(\) to 10.88.2.2:80 \(TCP\)", r"connect\(\) to \[fd88:2::2\]:80 \(TCPv6\)",
                  r"connect\(\) to 10.88.2.2:80 \(UDP\)", r"sendto\(\) to 10.88.2.2:9 \(UDP\)",
                  r"sendto\(\) to \[fd88:2::2\]:9 \(UDPv6\)", r"sendmsg\(\) to 10.88.2.2:9 \(UDP\)",
                  r"sendmsg\(\) to \[fd88:2::2\]:9 \(UDPv6\)", r"socket\(\) of family 17, type 3",
                  r"socket\(\) of family 2, type 3", r"socket\(\) of family 40, type 1"]
        assert len(lines) >= len(wanted), (lines, out, err)
        for at, call in enumerate(wanted):
            assert re.fullmatch(r"socksify\[\d+\]: error: refused: python3\S*: %s past the preload object" % call,
                                lines[at]), (call, lines)


@test("fence: without a companion the calls fail with the same errors and no line", on=PLAIN)
def _(w):
    status, out, err = fenced(w, CALLS, "--no-companion")
    assert status == 0 and out.split(b"\n")[:4] == REFUSED and not err, (status, out, err)


@test("fence: --no-fence installs no filter", on=PLAIN)
def _(w):
    right(fenced(w, "print(open('/proc/self/status').read())", "--no-fence"), b"Seccomp:\t0")


@test("fence: under LD_PRELOAD alone SOCKS5_FENCE=1 installs it, for children, too", on=PLAIN)
def _(w):
    code = UNHOOKED + HOSTS + CALLS
    right(w.preloaded(s.DANTED, ["/bin/sh", "-c", '%s -c "$CODE"' % PYTHON], SOCKS5_FENCE="1", CODE=code),
          b"\n".join(REFUSED))
    right(w.preloaded(s.DANTED, CURL + [URL4], SOCKS5_FENCE="1"), PAGE)


@test("fence: a socksify within the fence adds none", on=PLAIN)
def _(w):
    code = """
inner = [sys.argv[1], '-x', sys.argv[2], '--', sys.executable, '-c', "print(open('/proc/self/status').read())"]
print(subprocess.run(inner, check=True, capture_output=True, text=True).stdout)
"""
    status, out, err = fenced(w, code, arguments=(w.socksify, "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)))
    assert status == 0 and b"Seccomp_filters:\t1\n" in out, (status, out, err)


@test("fence: lines go to the log file, also as JSON, and more than ten a second are counted", on=(PLAIN, ASAN))
def _(w):
    log = w.scratch + "/refusals.log"
    code = "for i in range(5000): assert connect(tcp4, T4) == 'EACCES'\ntime.sleep(1.2); connect(tcp4, T4)"
    for options in ((), ("--log-json",)):
        if os.path.exists(log):
            os.remove(log)
        begun = time.monotonic()
        status, out, err = fenced(w, code, "--log", log, *options)
        seconds = time.monotonic() - begun
        assert status == 0 and not err, (status, out, err)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with open(log, encoding="ascii") as f:
                text = f.read()
            if "more calls past" in text:
                break
            time.sleep(0.1)
        lines = text.rstrip("\n").split("\n")
        counts = [int(n) for n in re.findall(r"(\d+) more calls", text)]
        single = len(lines) - len(counts)
        assert 11 <= single <= 10 * (seconds + 2) and sum(counts) + single == 5001, text
        assert not options or all(line.startswith("{") for line in lines), text


@test("fence: the log line goes to standard error only where the program still has it", on=PLAIN)
def _(w):
    other = w.scratch + "/other"
    code = """
there = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
os.dup2(there, 2)
assert connect(tcp4, T4) == 'EACCES'
"""
    status, out, err = fenced(w, code, arguments=(other,))
    assert status == 0 and not err, (status, out, err)
    with open(other, "rb") as f:
        assert f.read() == b""


# --- calls that pass ---

@test("fence: unhooked calls on UNIX and netlink sockets pass, with addresses of any length", on=PLAIN)
def _(w):
    code = """
l = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
l.bind('\\0' + 'fence-test-%d' % os.getpid())
name = struct.pack('=H', 1) + b'\\0' + b'fence-test-%d' % os.getpid()
for more in (b'',):
    c = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    print(outcome(libc.connect(c.fileno(), name + more, len(name + more))), sendmsg(c))
    d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    print(outcome(libc.sendto(d.fileno(), b'x', 1, 0, name, len(name))))
n = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
print(outcome(libc.connect(n.fileno(), struct.pack('=HHII', 16, 0, 0, 0), 12)))
a, b = socket.socketpair()
print(sendmsg(a), b.recv(9))
"""
    status, out, err = fenced(w, code)
    assert status == 0 and b"E" not in out.upper().replace(b"DONE", b"") and not err, (status, out, err)


@test("fence: libc's own getpwnam(), syslog(), getifaddrs() and if_nametoindex() work", on=PLAIN)
def _(w):
    code = """
import pwd, syslog
pwd.getpwall(); pwd.getpwnam('root'); syslog.syslog('x')
print(socket.if_nametoindex('lo'), [name for _, name in socket.if_nameindex()])
"""
    for options in ((), ("--no-companion",)):
        status, out, err = fenced(w, code, *options)
        assert status == 0 and out.startswith(b"1 ['lo'") and not err, (status, out, err)


@test("fence: errors of the kernel stay what they are: no socket, no descriptor, bad pointers", on=PLAIN)
def _(w):
    code = """
f = open('/dev/null', 'wb')
a = address(T4, 80)
print(outcome(libc.connect(f.fileno(), a, 16)), outcome(libc.connect(4000, a, 16)))
hooked = ctypes.CDLL(None, use_errno=True)
print(outcome(hooked.connect(tcp4.fileno(), ctypes.c_void_p(8), 16)), outcome(hooked.connect(4000, a, 16)),
      outcome(hooked.connect(tcp4.fileno(), a * 20, 200)), outcome(hooked.sendmsg(f.fileno(), ctypes.c_void_p(8), 0)))
"""
    right(fenced(w, code), b"ENOTSOCK EBADF\nEFAULT EBADF EINVAL ENOTSOCK")


@test("fence: the engine works with every descriptor closed, the environment cleared, in a chroot, as another user",
      on=PLAIN, root=True)
def _(w):
    code = """
os.closerange(0, 1000) if sys.argv[1] == 'closed' else None
os.environ.clear()
import encodings.idna
if sys.argv[1] == 'elsewhere':
    os.chroot('/var'); os.chdir('/')
    os.setgid(65534); os.setuid(65534)
c = socket.create_connection((T4, %d))
c.sendall(b'there and back')
ok = c.recv(99) == b'there and back' and connect(socket.socket(), T4) == 'EACCES'
os._exit(0 if ok else 1)
""" % s.ECHO
    for how in ("closed", "elsewhere"):
        fine(fenced(w, code, arguments=(how,)))


@test("fence: a signal interrupts a call with the key that waits", on=PLAIN)
def _(w):
    code = """
import threading
class Stop(Exception): pass
def stop(*_): raise Stop
a, b = socket.socketpair()
a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    while True: a.sendmsg([b'x' * 4096])
except Stop:
    print('interrupted')
"""
    right(fenced(w, code), b"interrupted")


@test("fence: threads that wait in sendmsg() and sendmmsg() can be cancelled", on=(PLAIN, ASAN))
def _(w):
    fine(bed.run(bed.CLIENT, [w.app("cancel_send", False)], w.env, 30))
    for options in ([], ["--no-companion"]):
        fine(w.via(s.DANTED, [w.app("cancel_send")], options=options))


# --- names that rules lead directly ---

DIRECT = """server "p" { address = "%s" port = %d }
rule "near" { to = {".example", "10.88.2.0/24", "fd88:2::/64"} via = {"direct"} }
rule "name server" { to = {"127.0.0.1"} ports = {"53"} via = {"direct"} }
rule "rest" { via = {"p"} }
""" % (bed.PROXY4, s.DANTED)

FORMS = """
import socket
def look_up(): return sorted({a[4][0] for a in socket.getaddrinfo('both.example', 80)})
print(look_up(), socket.gethostbyname_ex('only4.example')[2])
print(socket.getaddrinfo('both.example', 80, socket.AF_INET6, socket.SOCK_STREAM, 0, socket.AI_CANONNAME)[0][3:])
print(socket.getnameinfo(('%s', 80), socket.NI_NUMERICSERV)[0], socket.gethostbyaddr('%s')[0])
try: socket.getaddrinfo('nowhere.example', 80)
except socket.gaierror as error: print(error.errno == socket.EAI_NONAME)
import ctypes
libc = ctypes.CDLL(None)
reply = ctypes.create_string_buffer(4096)
print(libc.res_query(b'mail.example', 1, 15, reply, 4096) > 12, b'both' in reply.raw)
""" % (bed.IDN4, bed.IDN6)
FOUND = b"""['%s', '%s'] ['%s']
('both.example', ('%s', 80, 0, 0))
xn--bcher-kva.example xn--bcher-kva.example
True
True True
""" % tuple(text.encode() for text in (bed.TARGET4, bed.TARGET6, bed.TARGET4, bed.TARGET6))


def directly(w, command, *options):
    conf = s.write(w.scratch + "/direct.conf", DIRECT)
    os.chmod(conf, 0o644)
    return bed.run(bed.CLIENT, [w.socksify, *options, "-c", conf, "--"] + command, w.env, w.timeout_factor * 40)


@test("fence: names that rules lead directly are looked up by the companion, in every form", on=(PLAIN, ASAN))
def _(w):
    with local_names() as local:
        plain = directly(w, [PYTHON, "-c", FORMS], "--no-fence")
        asked = len(local.asked)
        full = directly(w, [PYTHON, "-c", FORMS])
        assert len(local.asked) > asked
    assert plain[:2] == (0, FOUND) and full[:2] == (0, FOUND) and not full[2], (plain, full)


@test("fence: fifty look-ups at once by threads", on=PLAIN)
def _(w):
    code = """
import concurrent.futures, socket
with concurrent.futures.ThreadPoolExecutor(50) as pool:
    found = list(pool.map(lambda i: socket.getaddrinfo('w%d.wild.example' % i, 80, socket.AF_INET)[0][4][0], range(200)))
print(set(found))
"""
    with local_names():
        right(directly(w, [PYTHON, "-c", code]), b"{'%s'}" % bed.TARGET4.encode())


@test("fence: without a companion such a name is refused with a line, and the hosts file is read", on=PLAIN)
def _(w):
    with local_names() as local:
        asked = len(local.asked)
        status, out, err = directly(w, ["getent", "ahosts", "both.example"], "--no-companion")
        assert status == 2 and b'refused: lookup of "both.example": without a companion' in err, (status, out, err)
        right(directly(w, ["getent", "ahosts", "only4.hosts.example"], "--no-companion"), bed.HOSTS4.encode())
        assert len(local.asked) == asked


# --- the life of the companion ---

def companions(mark):
    """The companions of commands that have MARK in their environment."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % pid, "rb") as comm, open("/proc/%s/environ" % pid, "rb") as environ:
                if comm.read() == b"socks5companion\n" and mark.encode() in environ.read():
                    found.add(int(pid))
        except OSError:
            pass
    return found


class marked:
    """A mark, and in the end a check that no companion with it is left."""

    def __init__(self, w):
        self.mark = "FENCE_TEST=%d" % time.monotonic_ns()
        self.env = dict(w.env, FENCE_TEST=self.mark[11:])

    def __enter__(self):
        return self

    def the_one(self):
        deadline = time.monotonic() + 10
        while len(companions(self.mark)) != 1:
            assert time.monotonic() < deadline, companions(self.mark)
            time.sleep(0.02)
        return companions(self.mark).pop()

    def __exit__(self, kind, *_):
        deadline = time.monotonic() + 15
        while kind is None and companions(self.mark):
            assert time.monotonic() < deadline, "companions are left: %s" % companions(self.mark)
            time.sleep(0.02)


@test("fence: the command has no child, no descriptor and no signal of the companion's, which ends with it",
      on=(PLAIN, ASAN))
def _(w):
    code = """
try:
    os.waitpid(-1, 0); print('a child')
except ChildProcessError:
    print('no child')
print(sorted(int(fd) for fd in os.listdir('/proc/self/fd') if int(fd) < 100))
"""
    plain = fenced(w, code, "--no-fence")
    with marked(w) as m:
        full = fenced(w, code, env=m.env)
    assert full[0] == 0 and plain[1].split(b"\n")[:2] == full[1].split(b"\n")[:2], (plain, full)
    assert b"no child" in full[1], full


@test("fence: the companion stays for daemons, holds no output of the command, and ends with the last", on=PLAIN)
def _(w):
    code = """
if os.fork() == 0:
    os.setsid()
    null = os.open('/dev/null', os.O_RDWR)
    for fd in (0, 1, 2): os.dup2(null, fd)
    time.sleep(3)
    open(sys.argv[1], 'w').write(connect(tcp4, T4))
    os._exit(0)
"""
    out = w.scratch + "/daemon"
    with marked(w) as m:
        fine(fenced(w, code, arguments=(out,), env=m.env))  # waits for the end of both pipes
        assert not os.path.exists(out)
        m.the_one()
    with open(out, encoding="ascii") as f:
        assert f.read() == "EACCES"


@test("fence: exit status, terminal signals and process ID are the command's", on=PLAIN)
def _(w):
    status, _, _ = fenced(w, "sys.exit(7)")
    assert status == 7
    status, _, _ = fenced(w, "os.kill(os.getpid(), signal.SIGTERM)")
    assert status == -signal.SIGTERM
    process = bed.start(bed.CLIENT, [w.socksify, "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), "sleep", "30"],
                        env=w.env)
    deadline = time.monotonic() + 10
    while open("/proc/%d/comm" % process.pid, encoding="ascii").read() != "sleep\n":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(10) == -signal.SIGINT


@test("fence: with the companion killed, calls with the key go on and others are refused; stopped, they wait",
      on=PLAIN)
def _(w):
    code = """
def is_mine(p):
    try:
        return (p.isdigit() and os.stat('/proc/' + p).st_uid == os.getuid() and
                open('/proc/%%s/comm' %% p).read() == 'socks5companion\\n' and
                'FENCE_TEST=' + os.environ['FENCE_TEST'] in open('/proc/%%s/environ' %% p).read())
    except OSError:  # it has ended
        return False
mine = int([p for p in os.listdir('/proc') if is_mine(p)][0])
def served():
    c = socket.create_connection((T4, %d)); c.sendall(b'x'); return c.recv(1) == b'x'
assert served() and connect(socket.socket(), T4) == 'EACCES'
os.kill(mine, signal.SIGSTOP)
assert served()
class Late(Exception): pass
def late(*_): raise Late
signal.signal(signal.SIGALRM, late)
signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)
waited = connect(socket.socket(), T4)
signal.setitimer(signal.ITIMER_REAL, 0)
assert waited == 'EINTR', waited
os.kill(mine, signal.SIGKILL)
time.sleep(0.2)
assert served()
print(connect(socket.socket(), T4))
""" % s.ECHO
    code = code.replace("waited = connect(socket.socket(), T4)", """try:
    waited = connect(socket.socket(), T4)
except Late:
    waited = 'EINTR'""")
    with marked(w) as m:
        right(fenced(w, code, env=m.env), b"ENOSYS")


@test("fence: as process 1 the command has no companion, and calls are refused", on=PLAIN, root=True)
def _(w):
    code = """
try: os.waitpid(-1, 0)
except ChildProcessError: print('no child')
print(os.getpid(), connect(tcp4, T4))
"""
    command = ["unshare", "--pid", "--fork", "--mount-proc", w.socksify, "-x",
               "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), "--", PYTHON, "-c", UNHOOKED + HOSTS + code]
    right(bed.run(bed.CLIENT, command, w.env, 40), b"no child\n1 EACCES")


SUPERVISED = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure): _fields_ = [('n', ctypes.c_ushort), ('code', ctypes.c_char_p)]
def ins(code, jt, jf, k): return struct.pack('=HBBI', code, jt, jf, k)
how = sys.argv[1]
if how == 'supervised': # another filter with a listener, which lets everything pass
    code, flags = ins(6, 0, 0, 0x7fff0000), 8
else:                   # seccomp() fails
    code, flags = ins(0x20, 0, 0, 0) + ins(0x15, 0, 1, 317) + ins(6, 0, 0, 0x50000 | 38) + ins(6, 0, 0, 0x7fff0000), 0
libc.prctl(38, 1, 0, 0, 0)
p = Program(len(code) // 8, code)
fd = libc.syscall(317, 1, flags, ctypes.byref(p))
assert fd >= 0, ctypes.get_errno()
if flags: os.set_inheritable(fd, True)
os.execv(sys.argv[2], sys.argv[2:])
"""


def supervised(w, how, code, *options, env=None):
    command = [PYTHON, "-c", SUPERVISED, how, w.socksify, "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), *options,
               "--", PYTHON, "-c", UNHOOKED + HOSTS + code]
    return bed.run(bed.CLIENT, command, env or w.env, 40)


@test("fence: where another program has the listener, the filter refuses by itself", on=PLAIN)
def _(w):
    with marked(w) as m:
        status, out, err = supervised(w, "supervised", "print(connect(tcp4, T4))", env=m.env)
    assert status == 0 and out == b"EACCES\n" and not err, (status, out, err)


@test("fence: where the kernel takes no filter, one line says so; --require-fence does not run the command", on=PLAIN)
def _(w):
    status, out, err = supervised(w, "none", "print('ran')")
    assert status == 0 and out == b"ran\n" and err.count(b"\n") == 1 and b"no fence: " in err, (status, out, err)
    status, out, err = supervised(w, "none", "print('ran')", "--require-fence")
    assert status == 125 and not out and err.count(b"\n") == 1 and b"no fence: " in err, (status, out, err)
    status, out, err = supervised(w, "none", "print('ran')", "--no-fence")
    assert status == 0 and out == b"ran\n" and not err, (status, out, err)


@test("fence: --check has rows for fence and companion", on=PLAIN)
def _(w):
    command = [w.socksify, "--check", "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)]
    _, out, _ = bed.run(bed.CLIENT, command, w.env, 40)
    assert re.search(rb"\n  fence +ok ", out) and re.search(rb"\n  companion +ok ", out), out
    _, out, _ = bed.run(bed.CLIENT, [PYTHON, "-c", SUPERVISED, "none"] + command, w.env, 40)
    assert re.search(rb"\n  fence +no ", out), out
    _, out, _ = bed.run(bed.CLIENT, [PYTHON, "-c", SUPERVISED, "supervised"] + command, w.env, 40)
    assert re.search(rb"\n  fence +ok ", out) and re.search(rb"\n  companion +no ", out), out


def memory_of(pid):
    """What process PID alone can write, its command line and its environment."""
    found = [open("/proc/%d/%s" % (pid, name), "rb").read() for name in ("cmdline", "environ")]
    with open("/proc/%d/maps" % pid, encoding="ascii") as maps, open("/proc/%d/mem" % pid, "rb") as mem:
        for line in maps:
            where, rights = line.split()[:2]
            if "w" in rights and "s" not in rights:
                first, last = (int(x, 16) for x in where.split("-"))
                mem.seek(first)
                found.append(mem.read(last - first))
    return b"".join(found)


@test("fence: the companion keeps no password, in memory or on its command line", on=PLAIN, root=True)
def _(w):
    secret = "s3cretFenceWord"
    with marked(w) as m:
        process = bed.start(bed.CLIENT, [w.socksify, "-x", "socks5h://someone:%s@%s:%d"
                                         % (secret, bed.PROXY4, s.DANTED), "sleep", "30"], env=m.env, root=True)
        try:
            mine = m.the_one()
            deadline = time.monotonic() + 10
            while open("/proc/%d/comm" % process.pid, encoding="ascii").read() != "sleep\n":
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert secret.encode() not in memory_of(mine)
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(10)


# --- stale keys ---

for OPTIONS in ((), ("--no-companion",)):
    @test("fence: no raw call passes right behind or in a handler within the engine's calls%s"
          % (", without a companion" if OPTIONS else ""), on=(PLAIN, ASAN), slow=8)
    def _(w, options=OPTIONS):
        test_udp.targets(w)
        for target in (bed.TARGET4, bed.TARGET6):
            command = [w.socksify, "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), "--log", "/dev/null", *options,
                       "--", w.app("stale_keys"), target, str(s.ECHO), "2", str(errno.EACCES)]
            status, out, err = bed.run(bed.CLIENT, command, w.env, 60)
            calls = re.match(rb"(\d+) calls, 0 passed ", out)
            assert status == 0 and calls and int(calls.group(1)) > 1000, (status, out, err)
