"""Which programs are covered, and which the preload engine refuses; mistakes in the configuration; the cost of an
established connection; and the trap itself."""

import errno
import os
import re
import shutil
import socket

import bed
import servers as s
from world import PYTHON, fine, right, test

ALL = 'server "p" { address = "%s" port = %d }\nrule "all" { via = {"p"} }\n' % (bed.PROXY4, s.DANTED)


def conf(w, text, mode=0o644):
    path = s.write(w.scratch + "/some.conf", text)
    os.chmod(path, mode)
    return path


@test("the trap catches TCP, UDP, DNS and ICMP of both families, on the default route and on the link")
def _(w):
    def caught(what):
        with bed.inside(bed.CLIENT):
            what()
        found = w.trap.take()
        assert found, "not caught: %s" % what.__name__

    for target, proxy, family in ((bed.TARGET4, bed.PROXY4, socket.AF_INET),
                                  (bed.TARGET6, bed.PROXY6, socket.AF_INET6)):
        def tcp(target=target, family=family):
            with socket.socket(family, socket.SOCK_STREAM) as c:
                c.setblocking(False)
                c.connect_ex((target, 80))

        def tcp_to_the_proxy(proxy=proxy, family=family):
            with socket.socket(family, socket.SOCK_STREAM) as c:
                c.setblocking(False)
                c.connect_ex((proxy, 80))

        def udp(target=target, family=family):
            with socket.socket(family, socket.SOCK_DGRAM) as c:
                c.sendto(b"x", (target, 9))

        def dns(proxy=proxy, family=family):
            with socket.socket(family, socket.SOCK_DGRAM) as c:
                c.sendto(b"x" * 20, (proxy, 53))

        def icmp(target=target, family=family):
            number = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
            kind = 8 if family == socket.AF_INET else 128
            with socket.socket(family, socket.SOCK_RAW, number) as c:
                c.sendto(bytes([kind, 0, 0xF7 if kind == 8 else 0, 0xFF, 0, 0, 0, 0]), (target, 0))
        for what in (tcp, tcp_to_the_proxy, udp, dns, icmp):
            caught(what)


# --- configuration ---

MISTAKES = {
    "an unknown key": ('server "p" {\n  address = "10.0.0.1"\n  adress = "x"\n}\n', 3),
    "an invalid CIDR prefix": (ALL + 'rule "x" {\n  to = {"10.0.0.0/99"}\n  via = {"direct"}\n}\n', 4),
    "an invalid port": ('server "p" {\n  address = "10.0.0.1"\n  port = 70000\n}\n', 3),
    "an invalid port range": (ALL + 'rule "x" {\n  ports = {"5-1"}\n  via = {"direct"}\n}\n', 4),
    "an unknown server": (ALL + 'rule "x" {\n  via = {"nobody"}\n}\n', 4),
    "a syntax error": ('server "p" {\n  address = \n}\n', 3),
}


def mistaken(w, path, line):
    """socksify prints one line with FILE:LINE and exits with 125. With LD_PRELOAD alone connect() fails and logs why."""
    status, out, err = bed.run(bed.CLIENT, [w.socksify, "-c", path, "--", "true"], w.env)
    text = err.decode()
    assert status == 125 and not out and text.count("\n") == 1, (status, out, text)
    where = re.escape(path) + (r":%d: \S" % line if line else r":(\d+:)? \S")
    assert re.search(where, text), text
    status, out, err = w.preloaded(None, [w.app("probe"), bed.TARGET4, "80"], SOCKS5_CONF=path)
    assert status == 0 and out != b"ok\n" and path.encode() in err, (status, out, err)


for TITLE, (TEXT, LINE) in MISTAKES.items():
    test("configuration: %s is reported with its line" % TITLE)(
        lambda w, text=TEXT, line=LINE: mistaken(w, conf(w, text), line))
test("configuration: a missing file is reported")(
    lambda w: mistaken(w, w.scratch + "/not-there.conf", 0))
test("configuration: a password in a file that other users can read is refused")(lambda w: mistaken(w, conf(
    w, 'server "p" {\n  address = "10.0.0.1"\n  username = "a"\n  password = "b"\n}\n'), 4))


@test("configuration: a file that cannot be read is reported")
def _(w):
    path = conf(w, ALL, 0)
    status, _, err = bed.run(bed.CLIENT, [w.socksify, "-c", path, "--", "true"], w.env)
    assert status == 125 and path.encode() in err and err.count(b"\n") == 1, (status, err)


@test("rules: the first match is used, loopback is direct, without a match access is denied")
def _(w):
    path = conf(w, 'server "p" { address = "%s" port = %d }\n'
                'rule "no" { to = {"%s"} ports = {"9"} via = {"deny"} }\n'
                'rule "some" { to = {"10.88.2.0/24"} via = {"p"} }\n'
                % (bed.PROXY4, s.DANTED, bed.TARGET4))

    def asks(host, port):
        status, out, err = bed.run(bed.CLIENT, [w.socksify, "-c", path, "--", w.app("probe"), host,
                                                str(port)], w.env)
        assert status == 0, err
        return out.decode().strip()
    assert asks(bed.TARGET4, s.ECHO) == "ok"
    assert asks(bed.TARGET4, 9) == "EACCES"
    assert asks("10.99.0.1", 80) == "EACCES"
    assert asks(bed.TARGET6, s.ECHO) == "EACCES"
    assert asks("127.0.0.1", 1) == "ECONNREFUSED"
    for to, word, code in (("%s:7" % bed.TARGET4, b'"some"', 0), ("%s:9" % bed.TARGET4, b'"no"', 1),
                           ("10.99.0.1:80", b"denied", 1), ("127.0.0.1:80", b"direct", 0)):
        status, out, err = bed.run(bed.CLIENT, [w.socksify, "-c", path, "--explain", to], w.env)
        assert status == code and word in out, (to, status, out, err)


# --- programs that can be covered ---

PRELOAD = ("--engine=preload",)  # what the preload object cannot cover is not run


def refused(result):
    status, out, err = result
    assert status not in (0, "time-out") and b"ok" not in out, (status, out, err)
    assert err.strip(), "refused without a message"


def by_preload(w, command):
    """The results of COMMAND by socksify and by LD_PRELOAD, with the preload engine alone."""
    path = conf(w, 'engine = "preload"\n' + ALL)
    return w.via(s.DANTED, command, options=PRELOAD), w.preloaded(None, command, SOCKS5_CONF=path)


@test("with --engine=preload a static program is refused with a hint, also as a child")
def _(w):
    static = [w.app("static"), bed.TARGET4, str(s.ECHO)]
    result = w.via(s.DANTED, static, options=PRELOAD)
    refused(result)
    assert result[0] == 126 and b"static" in result[2], result
    for command in (["sh", "-c", " ".join(static)], ["sh", "-c", "exec " + " ".join(static)], ["env"] + static):
        for result in by_preload(w, command):
            refused(result)
    for code in ("import os,sys; os.execv(sys.argv[1], sys.argv[1:])",
                 "import os,sys; sys.exit(os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:]))",
                 "import subprocess,sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)",
                 "import os,sys; p=os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); "
                 "sys.exit(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))"):
        for result in by_preload(w, [PYTHON, "-c", code] + static):
            refused(result)


@test("with --engine=preload a dynamically linked Go program is refused with a hint, also as a child")
def _(w):
    go = ["/usr/bin/gron", "http://%s/" % bed.TARGET4]
    result = w.via(s.DANTED, go, options=PRELOAD)
    refused(result)
    assert result[0] == 126 and b"Go" in result[2], result
    for result in by_preload(w, ["sh", "-c", " ".join(go)]):
        refused(result)


@test("a setuid program is refused with a hint, also as a child")
def _(w):
    path = w.scratch + "/setuid"
    shutil.copy(w.app("probe"), path)
    os.chown(path, 1, 1)
    os.chmod(path, 0o4755)
    command = [path, bed.TARGET4, str(s.ECHO)]
    result = w.via(s.DANTED, command)
    refused(result)
    assert result[0] == 126, result
    refused(w.via(s.DANTED, ["sh", "-c", " ".join(command)]))


@test("child processes stay covered: env -i, a cleared LD_PRELOAD, system(), popen(), scripts")
def _(w):
    tool = [w.app("tcp_blocking"), bed.TARGET4, str(s.ECHO)]
    line = " ".join(tool)
    script = s.write(w.scratch + "/script", "#!/bin/sh\nexec " + line + "\n")
    os.chmod(script, 0o755)
    for command in (["env", "-i"] + tool, ["env", "-u", "LD_PRELOAD"] + tool, ["sh", "-c", line],
                    ["env", "-i", "/bin/sh", "-c", line + " && env -i " + line], [script],
                    ["env", "LD_PRELOAD="] + tool, ["xargs", "-n3"] + tool,
                    [PYTHON, "-c", "import os,sys; sys.exit(os.system(%r))" % line],
                    [PYTHON, "-c", "import subprocess; subprocess.run(%r, check=True, env={})"
                     % (tool,)],
                    [PYTHON, "-c", "import os; os.execve(%r, %r, {})" % (tool[0], tool)]):
        fine(w.via(s.DANTED, command))
        fine(w.preloaded(s.DANTED, command))


def libc_has(w, function):
    """Whether the libc of covered programs has FUNCTION, which glibc has since 2.39."""
    status, out, err = bed.run(bed.CLIENT, [w.app("pidfd_spawn", False), function, "/bin/echo", "bare"],
                               w.env)
    if status == NO_FUNCTION:
        version = re.search(rb"^glibc 2\.(\d+)", err)
        assert version and int(version[1]) < 39 and not out, (status, out, err)
        return False
    assert status == 0 and out == b"bare\n", (status, out, err)
    return True


# Exit statuses of tests/apps/pidfd_spawn.c.
NO_FUNCTION, NOT_STARTED = 190, 191


@test("pidfd_spawn and pidfd_spawnp cover children and judge static programs; without them in libc: ENOSYS")
def _(w):
    for function, curl in (("pidfd_spawn", "/usr/bin/curl"), ("pidfd_spawnp", "curl")):
        fetch = [w.app("pidfd_spawn"), function, curl, "-sS", "-m", "20", "http://%s/" % bed.TARGET4]
        static = [w.app("pidfd_spawn"), function, w.app("static"), bed.TARGET4, str(s.ECHO)]
        has = libc_has(w, function)
        for start in (w.via, w.preloaded):
            status, out, err = start(s.DANTED, fetch)
            if has:
                right((status, out, err), b"it came through")
            else:
                assert status == NO_FUNCTION and not out, (status, out, err)
        for status, out, err in by_preload(w, static):
            assert status == (NOT_STARTED if has else NO_FUNCTION) and not out, (status, out, err)
            assert not has or b"error %d" % errno.EACCES in err and b"static" in err, err
        result = w.via(s.DANTED, static)
        assert result[:2] == ((0, b"ok\n") if has else (NO_FUNCTION, b"")), result


@test("socksify exits with 125, 126, 127 or the status of the command, or ends by the command's signal")
def _(w):
    for command, code in (([w.socksify, "--no-such-option"], 125),
                          ([w.socksify, "-x", "ftp://x", "true"], 125),
                          ([w.socksify, "-x", "socks5h://10.0.0.1", "/etc/passwd"], 126),
                          ([w.socksify, "-x", "socks5h://10.0.0.1", "no-such-command"], 127),
                          ([w.socksify, "-x", "socks5h://10.0.0.1", "sh", "-c", "exit 7"], 7),
                          ([w.socksify, "-x", "socks5h://10.0.0.1", "sh", "-c", "kill -9 $$"], -9),
                          ([w.socksify, "--version"], 0), ([w.socksify, "--help"], 0)):
        result = bed.run(bed.CLIENT, command, w.env)
        assert result[0] == code, (command, result)


@test("socksify adds no output to that of the program")
def _(w):
    status, out, err = w.via(s.DANTED, ["sh", "-c", "echo out; echo err >&2"])
    assert (status, out, err) == (0, b"out\n", b"err\n"), (status, out, err)


@test("a password is not visible in the command line or the environment")
def _(w):
    code = ("import os; print(open('/proc/self/environ').read(), os.environ, "
            "open('/proc/self/cmdline').read())")
    status, out, err = w.via(s.DANTED, [PYTHON, "-c", code], "alice:notforall")
    assert status == 0 and b"notforall" not in out, (status, out, err)


@test("IPv6: the server and the target can be IPv6 addresses")
def _(w):
    right(w.via(s.DANTED, ["curl", "-gsS", "-m", "20", "http://[%s]/" % bed.TARGET6],
                host="[%s]" % bed.PROXY6), b"it came through")
    fine(w.via(s.DANTED, [w.app("tcp_blocking"), bed.TARGET6, str(s.ECHO)],
               host="[%s]" % bed.PROXY6))


@test("20 MiB are transferred unchanged")
def _(w):
    result = w.via(s.DANTED, ["curl", "-sS", "-m", "50", "http://%s/20m" % bed.TARGET4], seconds=60)
    with open(w.scratch + "/www/20m", "rb") as f:
        assert result[0] == 0 and result[1] == f.read(), (result[0], len(result[1]), result[2])


@test("git clone works over ssh, and a banner right after the server's reply is delivered")
def _(w):
    ssh = ("ssh -F none -q -i %s/user_key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
           % w.scratch)
    for name, port in (("danted", s.DANTED), ("microsocks", s.MICROSOCKS)):
        where = "%s/by-ssh-%s" % (w.scratch, name)
        result = w.via(port, ["env", "GIT_SSH_COMMAND=" + ssh, "git", "clone", "-q",
                              "ssh://root@%s%s/www/repo.git" % (bed.TARGET4, w.scratch), where])
        assert result[0] == 0 and os.path.exists(where + "/.git"), result
        status, out, err = w.via(port, [w.app("probe"), bed.TARGET4, str(s.BANNER), "read"])
        assert status == 0 and out == b"ok\n" + s.BANNER_TEXT, (status, out, err)


# --- an established connection costs nothing ---

COUNTED = ("read", "write", "sendto", "recvfrom", "sendmsg", "recvmsg", "epoll_wait", "epoll_pwait",
           "epoll_ctl", "poll", "ppoll", "getsockopt", "setsockopt", "close", "ioctl", "fcntl", "futex")


def calls_after_ready(w, where, before):
    """Counts the system calls of the program "stream" after it printed READY, by name."""
    trace = "%s/trace-%s" % (w.scratch, where)
    status, out, err = bed.run(where, ["strace", "-f", "-o", trace] + before +
                               [w.app("stream"), bed.TARGET4, str(s.ECHO)], w.env)
    assert status == 0, (status, out, err)
    with open(trace, errors="replace") as f:
        text = f.read()
    ready = re.search(r'^(\d+) +.*"READY\\n".*\n', text, re.M)  # the companion is another process
    names = re.findall(r"^%s +(\w+)\(" % ready[1], text[ready.end():], re.M)
    return {name: names.count(name) for name in COUNTED}


@test("no system call is added to an established connection")
def _(w):
    direct = calls_after_ready(w, bed.PROXY, [])
    covered = calls_after_ready(w, bed.CLIENT, [w.socksify, "-x", "socks5h://%s:%d" %
                                                (bed.PROXY4, s.DANTED), "--"])
    # libc may implement epoll_wait() by either of two system calls.
    for counts in (direct, covered):
        counts["epoll_pwait"] = counts.pop("epoll_wait", 0) + counts.get("epoll_pwait", 0)
    assert direct == covered, "direct %s, covered %s" % (direct, covered)
