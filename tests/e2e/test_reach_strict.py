"""The namespace engine: what it lets a program do, and what it keeps in. Inherited sockets, other families, the rights
of the command, name servers, --strict."""

import os
import subprocess

import bed
import reaching
import servers as s
import test_udp
import test_ways
import ways
from reaching import BUSYBOX, Life, Wrong, programs, run, tcp_words, who
from world import ASAN, AUTH, CURL, PAGE, PLAIN, PYTHON, right, test

TEXT = PAGE + b"\n"
ENGINES = {"auto": (), "namespace": ("--engine=namespace",), "strict": ("--strict",)}
ALL = 'server "p" { address = "%s" port = %d }\nrule "all" { via = {"p"} }\n' % (bed.PROXY4, s.DANTED)


def python(code, *arguments):
    return [PYTHON, "-c", code, *arguments]


# --- inherited sockets ---

# Opens sockets of the client's network and starts a program with them. sys.argv: kind, command.
INHERIT = """
import os, socket, sys
kind, fd = sys.argv[1], 9
sock = {
    'udp': lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    'udp6': lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
    'tcp': lambda: socket.socket(),
    'tcp6': lambda: socket.socket(socket.AF_INET6),
    'listening': lambda: socket.create_server(('127.0.0.1', 0)),
    'connected': lambda: socket.create_connection(('127.0.0.1', int(os.environ['AT']))),
    'raw': lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    'ping': lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1),
    'packet': lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x300),
    'netlink': lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    'unix': lambda: socket.socketpair()[0],
}[kind]()
os.dup2(sock.fileno(), fd, inheritable=True)
os.execv(sys.argv[2], sys.argv[2:])
"""
# What the program inside finds: a socket, or /dev/null.
FOUND = """
import os, socket, stat
where = os.readlink('/proc/self/fd/9')
print(where.split(':')[0])
if where.startswith('socket'):
    s = socket.socket(fileno=os.dup(9))
    if s.family in (2, 10):
        for to in ('%s', '%s'):
            try: s.sendto(b'x', (to, 9)); print('sent', to)
            except OSError: pass
            try: s.connect((to, 9)); s.send(b'x'); print('sent', to)
            except OSError: pass
"""
KINDS = {"udp": "a UDP socket", "udp6": "a UDP socket", "tcp": "a TCP socket", "tcp6": "a TCP socket", "raw": "a raw socket", "packet": "a packet socket", "netlink": "a netlink socket"}

for KIND, WHAT in KINDS.items():
    @test("reach strict: an inherited socket is replaced, and a line says so: " + KIND, on=PLAIN, root=True)
    def _(w, kind=KIND, what=WHAT):
        code = FOUND % (bed.TARGET4, bed.TARGET6)
        with Wrong() as wrong:
            # socksify inherits it
            for label in ("namespace", "strict"):
                status, out, err = bed.run(bed.CLIENT, python(INHERIT, kind, *reaching.by_url(
                    w, python(code), *ENGINES[label])), w.env)
                if (status, out) != (0, b"/dev/null\n") or what.encode() not in err or err.count(b"\n") != 1:
                    wrong.append((label, (status, out, err)))
            # a covered program starts a static one with it
            static = [BUSYBOX, "readlink", "/proc/self/fd/9"]
            status, out, err = run(w, python(INHERIT, kind, *static))
            outcome = (status, out) == (0, b"/dev/null\n") and what.encode() in err
            if kind not in ("packet", "raw") and not outcome:  # which a covered program cannot make
                wrong.append(("a covered parent", (status, out, err)))


@test("reach strict: a connected and a listening TCP socket are inherited, but for --strict; a UNIX socket always is",
      on=PLAIN)
def _(w):
    static = [BUSYBOX, "readlink", "/proc/self/fd/9"]
    with Wrong() as wrong:
        for label, options in ENGINES.items():
            kept = b"/dev/null" if label == "strict" else b"socket:"
            command = reaching.by_url(w, static, *options)
            status, out, err = bed.run(bed.CLIENT, python(INHERIT, "listening", *command), w.env)
            if status or not out.startswith(kept) or bool(err) != (label == "strict"):
                wrong.append((label, "listening", (status, out, err)))
    with reaching.Service("127.0.0.1") as service, Wrong() as wrong:
        env = dict(w.env, AT=str(service.port))
        for label, options in ENGINES.items():
            kept = b"/dev/null" if label == "strict" else b"socket:"
            command = reaching.by_url(w, static, *options)
            status, out, err = bed.run(bed.CLIENT, python(INHERIT, "connected", *command), env)
            if status or not out.startswith(kept) or bool(err) != (label == "strict"):
                wrong.append((label, (status, out, err)))
            status, out, err = bed.run(bed.CLIENT, python(INHERIT, "unix", *command), env)
            if status or not out.startswith(b"socket:") or err:
                wrong.append((label, "unix", (status, out, err)))
    # A connection through the server that a covered parent has made is used by a static program.
    code = """
import os, socket, sys
c = socket.create_connection(('both.example', 80)); os.dup2(c.fileno(), 0); os.dup2(c.fileno(), 1)
os.execv(sys.argv[1], [sys.argv[1], 'sh', '-c', 'printf "GET / HTTP/1.0\\\\r\\\\n\\\\r\\\\n"; cat >&2'])
"""
    status, out, err = run(w, python(code, BUSYBOX))
    assert status == 0 and err.endswith(TEXT) and not out, (status, out, err)


@test("reach strict: a socket that is closed on exec is not reported", on=PLAIN)
def _(w):
    code = INHERIT.replace("inheritable=True", "inheritable=False")
    for options in ENGINES.values():
        result = bed.run(bed.CLIENT, python(code, "udp", *reaching.by_url(w, [BUSYBOX, "true"], *options)), w.env)
        assert result == (0, b"", b""), (options, result)


# --- families, rights ---

FAMILIES = """
import errno, socket
def name(f, t=socket.SOCK_STREAM, p=0):
    try: socket.socket(f, t, p); return 'made'
    except OSError as e: return errno.errorcode[e.errno]
for f in range(48): print(f, name(f), name(f, socket.SOCK_DGRAM), name(f, socket.SOCK_RAW))
"""

for ROOT in (False, True):
    @test("reach strict: sockets of other families are refused, as " + who(ROOT), root=ROOT, on=PLAIN)
    def _(w):
        with Wrong() as wrong:
            for label in ("namespace", "strict"):
                status, out, err = run(w, python(FAMILIES), *ENGINES[label])
                lines = out.decode().splitlines()
                for line in lines if status == 0 and len(lines) == 48 else [(status, out, err)]:
                    family, *made = line.split() if isinstance(line, str) else (-1, line)
                    if int(family) not in (1, 2, 10, 16, 17, 38) and set(made) != {"EAFNOSUPPORT"}:
                        wrong.append((label, line))

    @test("reach strict: raw and packet sockets send nothing, VSOCK is refused, as " + who(ROOT), root=ROOT, on=PLAIN)
    def _(w):
        p = programs(w)
        for host in (bed.TARGET4, bed.TARGET6):
            for program in (p.probe_static, p.probe_musl):
                for label, options in ENGINES.items():
                    status, out, err = run(w, [program, "raw", host], *options)
                    said = dict(line.split(": ") for line in out.decode().splitlines())
                    assert status == 0 and not err and len(said) == 4, (label, out, err)
                    assert said["vsock"] == "EAFNOSUPPORT", (label, said)

    @test("reach strict: the command cannot change routes, addresses, rules, mounts, nor leave, as " + who(ROOT),
          root=ROOT, on=PLAIN)
    def _(w):
        code = """
import ctypes, errno, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def outcome(r): return errno.errorcode[ctypes.get_errno()] if r < 0 else 'done'
for command in sys.argv[1:]:
    r = subprocess.run(command, shell=True, capture_output=True)
    if r.returncode == 0: print(command, 'works', r.stdout)
print(outcome(libc.mount(b'none', b'/mnt', b'tmpfs', 0, None)), outcome(libc.umount2(b'/etc/resolv.conf', 2)),
      outcome(libc.umount2(b'/proc/sys/fs/binfmt_misc', 2)))
found = 0
for pid in filter(str.isdigit, os.listdir('/proc')):
    try: fd = os.open('/proc/%s/ns/net' % pid, os.O_RDONLY)
    except OSError: continue
    if os.readlink('/proc/%s/ns/net' % pid) != os.readlink('/proc/self/ns/net'):
        found += 1
        if libc.setns(fd, 0) == 0: print('left by', pid)
print(open('/proc/self/status').read().split('CapEff:')[1].split()[0])
"""
        commands = ["ip route add 10.88.0.0/16 dev lo", "ip addr add 10.9.9.9/32 dev lo", "ip link set lo down",
                    "ip rule del pref 40000", "nft flush ruleset", "nft list ruleset | grep .",
                    "ip link add x type dummy",
                    "mount -t tmpfs none /mnt", "mount --bind /dev/null /etc/resolv.conf", "umount /etc/resolv.conf",
                    "sysctl -w net.ipv4.ip_forward=1", "iptables -F", "ip netns exec %s true" % bed.CLIENT]
        with Wrong() as wrong:
            for label in ("namespace", "strict"):
                status, out, err = run(w, python(code, *commands), *ENGINES[label])
                if status or b"works" in out or b"left by" in out or not out.startswith(b"EPERM EPERM EPERM\n"):
                    wrong.append((label, (status, out, err)))

    @test("reach strict: ports below 1024 can be bound, as " + who(ROOT), root=ROOT, on=PLAIN)
    def _(w):
        p = programs(w)
        for address in ("127.0.0.1", "::1"):
            process = reaching.start(w, [p.probe_static, "listen", address, "87"])
            assert process.stdout.readline() == b"listening %s 87\n" % address.encode()
            bed.stop(process)


@test("reach strict: a namespace within the namespace: unshare and bwrap work, and lead nowhere", on=PLAIN)
def _(w):
    p = programs(w)
    for options in ENGINES.values():
        status, out, err = run(w, [BUSYBOX, "sh", "-c", "unshare -rn %s errno %s 80" % (p.probe_static, bed.TARGET4)],
                               *options)
        assert out == b"ENETUNREACH\n", (options, status, out, err)
        result = run(w, [BUSYBOX, "sh", "-c", "bwrap --ro-bind / / --dev /dev --proc /proc %s tcp both.example 80"
                         % p.probe_static], *options)
        assert result[:2] == (0, TEXT), (options, result)


# --- ping, datagrams, multicast ---

for ROOT in (False, True):
    @test("reach strict: ping reports an error at once, as " + who(ROOT), root=ROOT, on=PLAIN)
    def _(w):
        for host in (bed.TARGET4, bed.TARGET6, "both.example"):
            # Three requests: nobody sends an ICMP error that got lost again.
            status, out, err = run(w, ["ping", "-c", "3", "-i", "0.3", "-W", "5", host], "--strict")
            assert status == 1 and b"nreachable" in out + err, (status, out, err)

    @test("reach strict: ping of the own loopback is answered, as " + who(ROOT), root=ROOT, on=PLAIN)
    def _(w):
        for host in ("127.0.0.1", "::1"):
            status, out, err = run(w, [programs(w).probe_static, "ping", host])
            assert status == 0 and out.startswith(b"dgram: reply\n"), (status, out, err)


@test("reach strict: broadcasts and multicast go nowhere", on=PLAIN)
def _(w):
    code = """
import socket
for family, hosts in ((socket.AF_INET, ('255.255.255.255', '10.88.1.255', '224.0.0.251', '239.1.2.3')),
                      (socket.AF_INET6, ('ff02::fb', 'ff05::1:3'))):
    for host in hosts:
        s = socket.socket(family, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.settimeout(0.2)
        try: s.sendto(b'x', (host, 5353)); print(s.recv(9))
        except OSError: pass
print('over')
"""
    for label in ("namespace", "strict"):
        right(run(w, python(code), *ENGINES[label]), b"over")


@test("reach strict: datagrams up to the largest, many flows, and connected sockets, in a strict namespace", on=PLAIN)
def _(w):
    test_udp.targets(w)
    code = """
import socket
for host in ('%s', '%s'):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    socks = []
    for n in (0, 1, 1472, 9000, 30000, 60000):
        u = socket.socket(family, socket.SOCK_DGRAM); u.settimeout(20); socks.append(u)
        data = bytes([n %% 251]) * n
        u.sendto(data, (host, 7)); back, peer = u.recvfrom(70000)
        assert back == data and peer[:2] == (host, 7), (n, len(back), peer)
    for i in range(50):
        u = socket.socket(family, socket.SOCK_DGRAM); u.settimeout(20); socks.append(u)
        u.connect((host, 7)); u.send(b'%%d' %% i)
    for i, u in enumerate(socks[6:]): assert u.recv(99) == b'%%d' %% i
print('all came back')
""" % (bed.TARGET4, bed.TARGET6)
    for label in ("strict",):
        right(run(w, python(code), *ENGINES[label], seconds=60), b"all came back")


# --- name servers ---


@test("reach strict: resolv.conf has the name servers and options, and no search list", on=PLAIN)
def _(w):
    p = programs(w)
    text = ("# a remark\nsearch example lan\ndomain example\nnameserver 10.9.9.9\nnameserver fd99::9\n"
            "options ndots:2 timeout:3\n")
    with bed.resolv_conf(text):
        for options in ENGINES.values():
            status, out, err = run(w, [BUSYBOX, "cat", "/etc/resolv.conf"], *options)
            kept = [line for line in text.splitlines(True) if not line.startswith(("search", "domain"))]
            assert (status, out.decode()) == (0, "".join(kept)), (status, out, err)
            for program in (p.probe_static, p.probe_musl):
                assert run(w, [program, "tcp", "both.example", "80"], *options) == (0, TEXT, b"")
    with open(bed.FILES[bed.CLIENT] + "/resolv.conf") as f:
        assert "search" not in f.read()  # the host's file is its own


@test("reach strict: a name server on loopback is not needed: 127.0.0.53, ::1, none, no file", on=PLAIN)
def _(w):
    p = programs(w)
    with Wrong() as wrong:
        for text in ("nameserver 127.0.0.53\noptions edns0 trust-ad\n", "nameserver 127.0.0.1\n", "nameserver ::1\n",
                     "", "nameserver 127.0.0.11\n"):
            with bed.resolv_conf(text):
                for label, options in ENGINES.items():
                    for program in (p.probe_static, p.go_static):
                        wrong.expect((text, label, program), run(w, [program, "tcp", "both.example", "80"], *options,
                                                                 seconds=20), TEXT)
                command = [p.probe_static, "tcp", "both.example", "80"]
                wrong.expect((text, "no loopback"), bed.run(bed.CLIENT, reaching.by_file(
                    w, 'namespace-loopback-out = "false"\n' + ALL, command), w.env), TEXT)


@test("reach strict: resolv.conf may be replaced on the host while a program runs", on=PLAIN)
def _(w):
    p = programs(w)
    path = bed.FILES[bed.CLIENT] + "/resolv.conf"
    line = "read x; %s tcp both.example 80; %s tcp both.example 80" % (p.probe_static, p.go_static)
    with bed.resolv_conf("nameserver 10.9.9.9\n"):
        command = bed.within(bed.CLIENT, reaching.by_url(w, [BUSYBOX, "sh", "-c", line]))
        with Life(w) as life, subprocess.Popen(command, env=life.env, stdin=-1, stdout=-1, stderr=-1) as process:
            life.one("socks5gateway")
            with open(path + ".new", "w") as f:
                f.write("nameserver 127.0.0.53\nsearch example\n")
            os.rename(path + ".new", path)
            out, err = process.communicate(b"\n", 30)
            assert out == TEXT * 2 and not err, (out, err)


@test("reach strict: a client without IPv6 reaches IPv4, IPv6 and names", on=PLAIN)
def _(w):
    p = programs(w)
    with ways._sysctls(bed.CLIENT, {"ipv6/conf/%s/disable_ipv6" % where: "1" for where in ("all", "default", "lo")}):
        with Wrong() as wrong:
            for label, options in ENGINES.items():
                for host in reaching.HOSTS:
                    for name in ("probe_static", "go_static"):
                        wrong.expect((label, host, name), run(w, tcp_words(w, name, host), *options), TEXT)
    for where in ("proxy", "beyond"):  # the kernel has removed the addresses
        number = {"proxy": (bed.CLIENT6, 64), "beyond": ("fd88:9::2", 64)}[where]
        bed.sh("ip -n %s addr replace %s/%d dev %s nodad" % (bed.CLIENT, *number, where))
    bed.sh("ip -6 -n %s neigh replace %s lladdr 02:00:00:00:00:99 dev beyond nud permanent" % (bed.CLIENT, bed.TRAP6))
    bed.sh("ip -6 -n %s route replace default via %s" % (bed.CLIENT, bed.TRAP6))


# --- strict ---


for ROOT in (False, True):
    @test("reach strict: covered and uncovered programs work, as " + who(ROOT), root=ROOT, on=(PLAIN, ASAN))
    def _(w):
        with Wrong() as wrong:
            for port, user in ((s.DANTED, ""), (s.DANTED_AUTH, AUTH), (s.MICROSOCKS, ""), (s.SSH_D, "")):
                for host in ("http://%s/" % bed.TARGET4, "http://[%s]/" % bed.TARGET6, "http://both.example/"):
                    curl = [*CURL, "-g", host]
                    wrong.expect((port, host), run(w, curl, "--strict", port=port, user=user), TEXT)
                wrong.expect((port, "sh"), run(w, ["sh", "-c", "curl -sS -m 20 http://both.example/"], "--strict",
                                               port=port, user=user), TEXT)
                for name in ("probe_static", "probe_musl_dynamic", "go_cgo", "rust", "probe_dynamic"):
                    wrong.expect((port, name), run(w, tcp_words(w, name, "both.example"), "--strict", port=port,
                                                   user=user), TEXT)

    @test("reach strict: neither shared state nor password is within reach of the program, as " + who(ROOT), root=ROOT,
          on=PLAIN)
    def _(w):
        code = r"""
import os, re, sys
secret = bytes.fromhex(sys.argv[1])
print(sorted(name for name in os.environ if 'SOCKS' in name or 'PRELOAD' in name and os.environ[name]))
print([os.readlink('/proc/self/fd/%s' % fd) for fd in os.listdir('/proc/self/fd') if int(fd) > 2 and
       os.path.exists('/proc/self/fd/%s' % fd) and 'proc' not in os.readlink('/proc/self/fd/%s' % fd)])
def search(pid):
    for name in ('environ', 'cmdline'):
        try:
            if secret in open('/proc/%s/%s' % (pid, name), 'rb').read(): print('in', name, 'of', pid)
        except OSError: pass
    try:
        for fd in os.listdir('/proc/%s/fd' % pid):
            if 'memfd' in os.readlink('/proc/%s/fd/%s' % (pid, fd)):
                data = open('/proc/%s/fd/%s' % (pid, fd), 'rb').read()
                print('in a memfd of' if secret in data else 'a memfd of', open('/proc/%s/comm' % pid).read().strip())
    except OSError: pass
    if pid == str(os.getpid()): return  # which has it on its command line, in hexadecimal
    try:
        maps, mem = open('/proc/%s/maps' % pid), open('/proc/%s/mem' % pid, 'rb')
        for line in maps:
            first, last = (int(x, 16) for x in line.split()[0].split('-'))
            if 'r' in line.split()[1] and last - first < 1 << 26 and first < 1 << 47:
                mem.seek(first)
                try:
                    if secret in mem.read(last - first): print('in the memory of', open('/proc/%s/comm' % pid).read())
                except OSError: pass
    except OSError: pass
for pid in filter(str.isdigit, os.listdir('/proc')):
    try: comm = open('/proc/%s/comm' % pid).read()
    except OSError: continue
    if comm.startswith('socks5') or pid == str(os.getpid()): search(pid)
"""
        with Life(w) as life:
            env = dict(life.env, SOCKS5_USER=s.USER, SOCKS5_PASSWD=s.PASSWORD)
            result = run(w, python(code, s.PASSWORD.encode().hex()), "--strict", port=s.DANTED_AUTH, user=AUTH, env=env)
            assert result == (0, b"['SOCKS5_SERVER']\n[]\n", b""), result  # the URL has no password

    @test("reach strict: the program cannot trace or take descriptors of gateway and agent, as " + who(ROOT), root=ROOT,
          on=PLAIN)
    def _(w):
        code = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def outcome(r): return errno.errorcode[ctypes.get_errno()] if r < 0 else 'done'
for pid in filter(str.isdigit, os.listdir('/proc')):
    try: comm, environ = open('/proc/%s/comm' % pid).read().strip(), open('/proc/%s/cmdline' % pid, 'rb').read()
    except OSError: continue
    if comm != 'socks5gateway': continue
    pidfd = libc.syscall(434, int(pid), 0)
    print('pidfd_getfd', {outcome(libc.syscall(438, pidfd, fd, 0)) for fd in range(3, 40)} - {'EBADF'})
    print('ptrace', outcome(libc.ptrace(0x4206, int(pid), 0, 0)))
"""
        with Life(w) as life:
            status, out, err = run(w, python(code), "--strict", env=life.env)
        assert status == 0 and b"done" not in out and b"ptrace" in out, (status, out, err)


@test("reach strict: io_uring is refused", on=PLAIN)
def _(w):
    p = programs(w)
    for program in (p.uring, p.uring_static):
        for command in ([program, bed.TARGET4, "80"], ["sh", "-c", "%s %s 80" % (program, bed.TARGET4)]):
            assert run(w, command, "--strict") == (1, b"ENOSYS\n", b"")


@test("reach strict: programs of other users, and set-user-ID programs, gain nothing", on=PLAIN)
def _(w):
    path = w.scratch + "/reach-setuid/id"  # busybox is the program of its name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    subprocess.run(["cp", BUSYBOX, path], check=True)
    os.chmod(path, 0o4755)
    uid = b"%d\n" % bed.user().pw_uid
    for options in (("--strict",), ("--engine=namespace",)):
        result = run(w, [BUSYBOX, "sh", "-c", path + " -u"], *options)
        assert result[1] == uid, (options, result)
    status, out, err = run(w, ["sh", "-c", path + " -u"])  # a covered program does not start it at all
    assert status != 0 and b"refused" in err, (status, out, err)
    status, out, err = run(w, ["sudo", "-n", "true"], "--strict")
    assert status != 0, (status, out, err)


@test("reach strict: ways past the proxy: with --strict not one packet leaves", on=PLAIN, slow=20)
def _(w):
    conf = s.write(w.scratch + "/ways-strict.conf", ways.CONF % (bed.PROXY4, s.DANTED))
    runs, unknown = ways.measure(w.trap, test_ways.program(w), [w.socksify, "--strict", "-c", conf, "--"], w.env,
                                 test_ways.catalogue.runs(test_ways.catalogue.read()))
    wrong = ["%s as %s is open: %s, status %s, %s" % (run.name, who(run.root), run.said, run.status, run.packet)
             for run in runs if run.verdict == ways.OPEN]
    wrong += ["%s as %s did not run: %s" % (run.name, who(run.root), run.said) for run in runs
              if run.said.startswith("socksify: ")]
    wrong += ["a packet without a token: " + packet for packet in sorted(set(unknown))]
    assert not wrong, "\n".join([""] + wrong)
