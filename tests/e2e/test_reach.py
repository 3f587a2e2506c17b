"""The namespace engine: programs that the preload object cannot cover run through real servers, alone and as children
of covered programs, with the results that they have without socksify."""

import contextlib
import os
import re
import shutil
import socket
import threading

import bed
import kerberos
import reaching
import servers as s
import test_udp
from hostile import OK, Talk
from reaching import BUSYBOX, HOSTS, Wrong, programs, run, tcp_words, who
from world import ASAN, AUTH, CURL, PAGE, PLAIN, PYTHON, URL4, fine, right, test

PROGRAMS = ("probe_static", "probe_musl", "probe_musl_dynamic", "bare", "uring", "uring_static", "go_static", "go_cgo",
            "rust")
CENTRAL = ("probe_static", "go_static")  # run with sanitizers, too
SERVERS = {"danted": (s.DANTED, ""), "danted with password": (s.DANTED_AUTH, AUTH), "microsocks": (s.MICROSOCKS, ""),
           "ssh -D": (s.SSH_D, "")}
TEXT = PAGE + b"\n"


def hosts_of(name):
    return HOSTS[:1] if name == "bare" else HOSTS  # which takes an IPv4 address


def by_gssapi(w, command, *options):
    k = kerberos.krb(w)
    return bed.run(bed.CLIENT, ["env", *k.words(k.realm.client), w.socksify, *options, "-c", k.conf(), "--", *command],
                   w.env, 60)


for NAME in PROGRAMS:
    for ROOT in (False, True):
        @test("reach: %s fetches a page through each server, as %s" % (NAME, who(ROOT)), root=ROOT,
              on=(PLAIN, ASAN) if NAME in CENTRAL else PLAIN)
        def _(w, name=NAME):
            with Wrong() as wrong:
                for label, (port, user) in SERVERS.items():
                    for host in hosts_of(name):
                        wrong.expect((label, host), run(w, tcp_words(w, name, host), port=port,
                                                        user=user), TEXT)

    @test("reach: %s fetches a page through danted with GSSAPI" % NAME, on=PLAIN)
    def _(w, name=NAME):
        with Wrong() as wrong:
            for host in hosts_of(name):
                wrong.expect(host, by_gssapi(w, tcp_words(w, name, host)), TEXT)


@test("reach: programs in Go fetch pages by URL, many at a time, and look names up", on=PLAIN, slow=3)
def _(w):
    p = programs(w)
    with Wrong() as wrong:
        for go in (p.go_static, p.go_cgo):
            for host in (bed.TARGET4, "[%s]" % bed.TARGET6, "both.example"):
                wrong.expect((go, host), run(w, [go, "get", "http://%s/" % host]), TEXT)
            wrong.expect((go, "many"), run(w, [go, "get-many", "http://both.example/", "200"]), b"200 done\n")


@test("reach: a name has addresses of both families, and the server resolves it", on=PLAIN)
def _(w):
    p = programs(w)
    with Wrong() as wrong:
        for program in (p.probe_static, p.probe_musl, p.probe_musl_dynamic):
            wrong.expect(program, run(w, [program, "names", "both.example"]), b"IPv4 IPv6\n")
            wrong.expect(program, run(w, [program, "names", "only4.hosts.example"]), b"IPv4\n")  # of the hosts file
        for go in (p.go_static, p.go_cgo):
            status, out, err = run(w, [go, "lookup", "both.example"])
            if status or not (out.startswith(b"198.18.") and b"\nfdc4:" in out):
                wrong.append((go, (status, out, err)))


# --- datagrams ---

UDP = {"probe_static": ("udp", "udp-connected"), "probe_musl": ("udp", "udp-connected"), "go_static": ("udp",),
       "go_cgo": ("udp",), "rust": ("udp",)}

for NAME, KINDS in UDP.items():
    for ROOT in (False, True):
        @test("reach: %s exchanges datagrams, as %s" % (NAME, who(ROOT)), root=ROOT,
              on=(PLAIN, ASAN) if NAME in CENTRAL else PLAIN)
        def _(w, name=NAME, kinds=KINDS):
            test_udp.targets(w)
            program = getattr(programs(w), name)
            with Wrong() as wrong:
                for port, user in ((s.DANTED, ""), (s.DANTED_AUTH, AUTH)):
                    for host in HOSTS:
                        for kind in kinds:
                            wrong.expect((port, host, kind), run(w, [program, kind, host, "7", "hallo"], port=port,
                                                                 user=user), b"hallo\n")


@test("reach: programs exchange datagrams through danted with GSSAPI", on=PLAIN)
def _(w):
    test_udp.targets(w)
    with Wrong() as wrong:
        for name in UDP:
            for host in HOSTS:
                command = [getattr(programs(w), name), "udp", host, "7", "hallo"]
                wrong.expect((name, host), by_gssapi(w, command), b"hallo\n")


@test("reach: datagrams of 1 to 20000 octets arrive whole", on=PLAIN)
def _(w):
    test_udp.targets(w)
    p = programs(w)
    with Wrong() as wrong:
        for program in (p.probe_static, p.probe_musl):
            for host in HOSTS:
                wrong.expect((program, host), run(w, [program, "udp-sizes", host, "7"]), b"1 1400 8000 20000 octets\n")


DENYING = """server "p" { address = "%s" port = %d }
rule "no" { to = {"%s", "%s"} ports = {"%%s"} via = {"deny"} }
rule "all" { via = {"p"} }
""" % (bed.PROXY4, s.DANTED, bed.TARGET4, bed.TARGET6)
DENIED = ((bed.TARGET4, b"EHOSTUNREACH\n"), (bed.TARGET6, b"EACCES\n"))  # IPv4 has no message for EACCES


def denied(w, wrong, command, error, what):
    """A rule denies what COMMAND does: it prints ERROR, and one line says why. A message of ICMP may be lost: the kernel
    drops packets while a thousand wait for a processor."""
    def run_it():
        return bed.run(bed.CLIENT, reaching.by_file(w, DENYING % command[3], command), w.env)
    status, out, err = run_it()
    if what == b"UDP" and out == b"EAGAIN\n":
        status, out, err = run_it()
    line = rb'socksify\[\d+\]: error: refused: %s to .* \(rule "no"\)\n' % what
    if (status, out) != (1, error) or not re.fullmatch(line, err):
        wrong.append((command, (status, out, err)))


@test("reach: a datagram to what a rule denies gives an error", on=PLAIN)
def _(w):
    p = programs(w)
    with Wrong() as wrong:
        for host, error in DENIED:
            for program in (p.probe_static, p.probe_musl):
                denied(w, wrong, [program, "udp-connected", host, "7", "x"], error, b"UDP")
            denied(w, wrong, [p.go_static, "udp", host, "7", "x"], error, b"UDP")


@test("reach: datagrams without a relay give an error", on=PLAIN)
def _(w):
    p = programs(w)
    with Wrong() as wrong:
        for port in (s.MICROSOCKS, s.SSH_D, s.CLOSED):
            for host in HOSTS:
                for command in ([p.probe_static, "udp-connected", host, "7", "x"],
                                [p.go_static, "udp", host, "7", "x"]):
                    result = run(w, command, port=port)
                    if result[0] != 1 or result[1] in (b"EAGAIN\n", b"ETIMEDOUT\n", b"x\n"):  # its own time-out
                        wrong.append(((port, *command[:3]), result))


# --- as children of covered programs ---

WAYS = {
    "sh -c": lambda c: ["sh", "-c", " ".join(c)],
    "sh -c exec": lambda c: ["sh", "-c", "exec " + " ".join(c)],
    "env": lambda c: ["env", *c],
    "env -i": lambda c: ["env", "-i", *c],
    "xargs": lambda c: ["xargs", "-n9", *c],
    "subprocess": lambda c: [PYTHON, "-c", "import subprocess, sys; "
                             "sys.exit(subprocess.run(sys.argv[1:]).returncode)", *c],
    "posix_spawn": lambda c: [PYTHON, "-c", "import os, sys; "
                              "p = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); "
                              "sys.exit(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))", *c],
    "execv": lambda c: [PYTHON, "-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])", *c],
    "fexecve": lambda c: [PYTHON, "-c", "import os, sys; os.execve(os.open(sys.argv[1], os.O_RDONLY), sys.argv[1:], "
                          "os.environ)", *c],
    "execvp": lambda c: [PYTHON, "-c", "import os, sys; os.environ['PATH'] = os.path.dirname(sys.argv[1]) + ':/bin'; "
                         "os.execvp(os.path.basename(sys.argv[1]), sys.argv[1:])", *c],
    "system": lambda c: [PYTHON, "-c", "import os; raise SystemExit(os.waitstatus_to_exitcode(os.system(%r)))"
                         % " ".join(c)],
    "setsid": lambda c: ["setsid", "-w", *c],
}

for ROOT in (False, True):
    for NAME in PROGRAMS:
        @test("reach: %s is started in every way by covered programs, as %s" % (NAME, who(ROOT)), root=ROOT,
              on=(PLAIN, ASAN) if NAME in CENTRAL else PLAIN)
        def _(w, name=NAME):
            with Wrong() as wrong:
                for label, way in WAYS.items():
                    for host in (hosts_of(name) if label in ("sh -c", "execv") else hosts_of(name)[-1:]):
                        wrong.expect((label, host), run(w, way(tcp_words(w, name, host))), TEXT)

# Programs, their arguments and what they print without socksify. FOLDER is a folder of the ordinary user.
SH = BUSYBOX + " sh -c "
LIKE_BARE = {
    "argv[0]": ["sh", "-c", "exec -a otherwise %s 2>&1" % BUSYBOX],
    "arguments": [BUSYBOX, "echo", "a b", "", "*", "--strict", "-x", "\\"],
    "an option first": [BUSYBOX, "printf", "%s|", "--strict", "--", "-x"],
    "a variable": ["env", "OWN=a value", BUSYBOX, "sh", "-c", "echo $OWN $HOME $PATH"],
    "the environment": ["env", "-i", "A=1", BUSYBOX, "sh", "-c", "echo $A"],
    "exit 0": [BUSYBOX, "true"], "exit 1": [BUSYBOX, "false"], "exit 7": [BUSYBOX, "sh", "-c", "exit 7"],
    "exit 255": ["sh", "-c", SH + "'exit 255'"],
    "SIGKILL": [BUSYBOX, "sh", "-c", "kill -9 $$"], "SIGTERM": [BUSYBOX, "sh", "-c", "kill $$"],
    "SIGABRT, child": ["sh", "-c", SH + "'kill -6 $$'; echo $?"],
    "the directory": ["sh", "-c", "cd FOLDER && " + BUSYBOX + " pwd"],
    "a relative path": ["sh", "-c", "cd FOLDER && ./tool echo relative"],
    "a relative path upwards": ["sh", "-c", "cd FOLDER/below && ../tool echo relative"],
    "a search in PATH": ["env", "PATH=FOLDER:/bin", "tool", "echo", "found"],
    "a script": ["FOLDER/script", "one", "two"],
    "a relative script": ["sh", "-c", "cd FOLDER && ./script one two"],
    "a script by PATH": ["env", "PATH=FOLDER:/bin", "script", "one"],
    "stdin": [BUSYBOX, "cat"], "stdin, child": ["sh", "-c", BUSYBOX + " tr a-z A-Z | cat"],
    "a here document": ["sh", "-c", BUSYBOX + " cat <<E\nwords\nE"],
    "stderr": [BUSYBOX, "sh", "-c", "echo err >&2"],
    "no stdin": ["sh", "-c", BUSYBOX + " sh -c 'read x || echo none' <&-"],
    "no descriptors": ["sh", "-c", BUSYBOX + " true <&- >&- 2>&-; echo $?"],
    "descriptors": ["sh", "-c", "exec 7>&1; %s'ls /proc/self/fd | grep -c 7; echo seven >&7'" % SH],
    "umask": ["sh", "-c", "umask 027; %s umask" % SH],
    "limits": ["sh", "-c", "ulimit -n 77; %s 'ulimit -n'" % SH],
    "a process group": ["sh", "-c", SH + "'test $(cut -d\" \" -f5 /proc/$$/stat) = "
                        "$(cut -d\" \" -f5 /proc/$PPID/stat); echo $?'"],
    "ignored signals": ["sh", "-c", "trap '' INT; %s'grep SigIgn /proc/self/status'" % SH],
    "blocked signals": [PYTHON, "-c", "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); "
                        "os.execv('%s', ['busybox', 'grep', '-E', 'Sig(Blk|Pnd)|ShdPnd', '/proc/self/status'])"
                        % BUSYBOX],
    "no children": [PYTHON, "-c", "import subprocess, os; print(subprocess.run(['%s', 'true']).returncode)\n"
                    "try: print(os.wait())\nexcept ChildProcessError: print('none')" % BUSYBOX],
    "a file that is missing": ["sh", "-c", "FOLDER/none; echo $?"],
    "a file that is not executable": ["sh", "-c", "FOLDER/data; echo $?"],
    "IDs": [BUSYBOX, "sh", "-c", "id -u; id -g; stat -c %u FOLDER/tool"],
}


for ROOT in (False, True):
    @test("reach: a program has arguments, environment, descriptors, signals and status as without socksify, as %s"
          % who(ROOT), root=ROOT, on=(PLAIN, ASAN))
    def _(w):
        folder = w.scratch + "/like-bare"
        shutil.rmtree(folder, ignore_errors=True)
        bed.user_folder(folder + "/below")
        for name, mode, text in (("script", 0o755, "#!%s sh\necho $0 $*\n" % BUSYBOX), ("data", 0o644, "#!/bin/sh\n")):
            os.chmod(s.write(folder + "/" + name, text), mode)
        shutil.copy(BUSYBOX, folder + "/tool")
        os.chown(folder + "/tool", bed.user().pw_uid, bed.user().pw_gid)
        with Wrong() as wrong:
            for label, command in LIKE_BARE.items():
                command = [word.replace("FOLDER", folder) for word in command]
                if label in ("argv[0]",):
                    command[0] = "bash"
                bare = bed.run(bed.PROXY, command, w.env, data=b"from stdin\n")
                result = run(w, command, data=b"from stdin\n")
                if result != bare:
                    wrong.append((label, "%s, not %s" % (result, bare)))


@test("reach: a covered program that an uncovered one starts is covered", on=(PLAIN, ASAN))
def _(w):
    p, curl = programs(w), [*CURL, "http://both.example/"]
    with Wrong() as wrong:
        for label, command in {
                "go run curl": [p.go_static, "run", *curl], "cgo run curl": [p.go_cgo, "run", *curl],
                "busybox runs curl": [BUSYBOX, "sh", "-c", " ".join(curl)],
                "sh, busybox, curl": ["sh", "-c", "%s sh -c '%s'" % (BUSYBOX, " ".join(curl))],
                "go, sh, busybox, sh, go": [p.go_static, "run", "sh", "-c", "%s sh -c 'sh -c \"%s\"'" % (
                    BUSYBOX, " ".join(tcp_words(w, "go_static", "both.example")))]}.items():
            wrong.expect(label, run(w, command), TEXT)
    for start in ([], ["sh", "-c", '"$@"', "sh"]):
        status, out, err = run(w, [*start, p.go_static, "run", "env"])
        names = [line.split("=")[0] for line in out.decode().splitlines()]
        assert status == 0 and not err and w.object in out.decode() and "SOCKS5_STATE" in names, (out, err)
        assert "SOCKS5_PRELOAD" not in names and names.count("LD_PRELOAD") == 1, out


# --- event loops ---


def slow(release, asked):
    """A script for the server: it delays its reply until RELEASE is set."""
    def script(c):
        talk = Talk(c)
        talk.begin()
        asked.set()
        assert release.wait(30)
        c.say(OK)
        c.hang()
    return script


@test("reach: a non-blocking connect() is in SYN_SENT until the server's reply, and EPOLLOUT comes once",
      on=(PLAIN, ASAN))
def _(w):
    p = programs(w)
    for program in (p.probe_static, p.probe_musl):
        for kind in ("epoll-before", "epoll-after"):
            for host in HOSTS:
                release, asked = threading.Event(), threading.Event()
                w.hostile.play(slow(release, asked))
                process = reaching.start(w, [program, kind, host, "80"], port=s.HOSTILE)
                said = [process.stdout.readline()]
                assert asked.wait(20) and process.poll() is None, said
                release.set()
                said += process.stdout.readlines()
                assert process.wait(20) == 0 and said == [b"state SYN_SENT\n", b"events 1: OUT\n", b"connected\n"], (
                    program, kind, host, said)


@test("reach: non-blocking connects, 500 at a time", on=PLAIN, slow=5)
def _(w):
    p = programs(w)
    with Wrong() as wrong:
        for program in (p.probe_static, p.probe_musl):
            for host in HOSTS:
                wrong.expect((program, host, "nonblock"), run(w, [program, "nonblock", host, "80"]), b"connected\n")
        for host, count in zip(HOSTS, ("500", "500", "200")):  # the name server is slow
            wrong.expect((host, "many"), run(w, [p.probe_static, "many", host, "80", count], port=s.MICROSOCKS,
                                             seconds=100), count.encode() + b" done\n")


# What connect() reports, by case: the host and the port.
ERRORS = {
    "refused": (bed.TARGET4, s.REFUSED), "refused, IPv6": (bed.TARGET6, s.REFUSED),
    "refused, name": ("both.example", s.REFUSED),
    "blocked by the server": ("10.88.2.99", 80), "no such network": ("10.99.0.1", 80),
    "no such network, IPv6": ("fd99::1", 80),
    "no such host": ("10.88.2.50", 80), "no such name": ("nowhere.example", 80),
    "broadcast": ("255.255.255.255", 80), "multicast": ("224.0.0.1", 80), "multicast, IPv6": ("ff02::1", 80),
    "any address": ("0.0.0.0", 1), "loopback": ("127.0.0.1", 1), "loopback, IPv6": ("::1", 1),
}
FAULTS = {"dead server": (s.CLOSED, ""), "wrong password": (s.DANTED_AUTH, s.USER + ":wrong"),
          "no password": (s.DANTED_AUTH, ""), "a server that does not answer": (s.HOSTILE, "")}
# Errors for which IPv4 and IPv6 have no ICMP message.
WITHOUT_MESSAGE = ({b"EACCES\n": b"EHOSTUNREACH\n", b"ETIMEDOUT\n": b"EHOSTUNREACH\n"},
                   {b"ETIMEDOUT\n": b"EHOSTUNREACH\n"})


def same_errors(w, wrong, label, words, **more):
    """Programs in a namespace get the errno that a covered one gets. For a name it is that of one of its addresses."""
    p = programs(w)
    status, out, _ = run(w, [p.probe_dynamic, *words], "--engine=preload", **more)
    expected = {WITHOUT_MESSAGE["::" in words[1]].get(out, out)}
    if words[1].endswith("example"):
        expected.add(out)
    results = {program: run(w, [program, *words], **more) for program in (p.probe_static, p.probe_musl)}
    if words[0] == "errno":
        results[p.go_static] = run(w, [p.go_static, *words], **more)
        results[p.rust] = run(w, [p.rust, "get", *words[1:]], **more)
    for program, result in results.items():
        if result[0] != status or result[1] not in expected:
            wrong.append(((label, *words, program), "%s, not %s" % (result, expected)))


for LABEL, CASE in ERRORS.items():
    @test("reach: blocking and non-blocking connects have the errno of the preload engine: " + LABEL, on=PLAIN)
    def _(w, label=LABEL, case=CASE):
        with Wrong() as wrong:
            for kind in ("errno", "nonblock"):
                same_errors(w, wrong, label, [kind, case[0], str(case[1])])


for LABEL, (PORT, USER) in FAULTS.items():
    @test("reach: connects have the errno of the preload engine: " + LABEL, on=PLAIN)
    def _(w, label=LABEL, port=PORT, user=USER):
        w.hostile.play(lambda c: c.hang())
        with Wrong() as wrong:
            for kind in ("errno", "nonblock"):
                for host in HOSTS:
                    same_errors(w, wrong, label, [kind, host, "80"], port=port, user=user, timeout=2)


@test("reach: what a rule denies is EHOSTUNREACH for IPv4 and EACCES for IPv6, and a line says so", on=PLAIN)
def _(w):
    p = programs(w)
    with Wrong() as wrong:
        for host, error in DENIED:
            for program in (p.probe_static, p.go_static):
                denied(w, wrong, [program, "errno", host, "80"], error, b"TCP")
            command = [p.probe_static, "errno", host, "7"]
            wrong.expect(host, bed.run(bed.CLIENT, reaching.by_file(w, DENYING % 80, command), w.env), b"connected\n")


# --- octets ---


@test("reach: 20 MB are transferred unchanged both ways, and a direction can be closed", on=PLAIN, slow=5)
def _(w):
    p, size = programs(w), 20 << 20
    with Wrong() as wrong:
        for program in (p.probe_static, p.probe_musl):
            for host in HOSTS:
                wrong.expect((program, host, "out"), run(w, [program, "bulk-out", host, str(s.ECHO), "20"],
                                                         seconds=100), b"%d octets sent, %d came back\n" % (size, size))
                wrong.expect((program, host, "in"), run(w, [program, "bulk-in", host, "80", "20"], seconds=100),
                             b"%d octets received\n" % size)
                wrong.expect((program, host, "half"), run(w, [program, "half-close", host, str(s.ECHO)]),
                             b"half-closed\n")
    with open(w.scratch + "/www/20m", "rb") as f:
        status, out, err = run(w, [BUSYBOX, "wget", "-q", "-O", "-", "http://%s/20m" % bed.TARGET4], seconds=100)
        assert status == 0 and out == f.read(), (status, len(out), err)


@test("reach: a banner right after the server's reply arrives", on=PLAIN)
def _(w):
    status, out, err = run(w, [BUSYBOX, "nc", "-w", "5", bed.TARGET4, str(s.BANNER)])
    assert out == s.BANNER_TEXT, (status, out, err)


@test("reach: data written just before exit arrives", on=PLAIN)
def _(w):
    got, size = [], 3 << 20
    with bed.inside(bed.TARGET):
        listener = socket.create_server((bed.TARGET4, 0))

    def receive():
        peer, _ = listener.accept()
        octets = 0
        while data := peer.recv(65536):
            octets += len(data)
        got.append(octets)
    # In a strict namespace Python is not covered.
    code = "import os, socket, sys; socket.create_connection(('%s', %d)).sendall(bytes(%d)); os._exit(0)" % (
        *listener.getsockname(), size)
    for times in range(1, 4):
        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        fine(run(w, [PYTHON, "-c", code], "--strict"))
        thread.join(20)
        assert got == [size] * times, got
    listener.close()


@test("reach: a datagram sent just before exit arrives", on=PLAIN, slow=5)
def _(w):
    got = []
    with bed.inside(bed.TARGET):
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind((bed.TARGET4, 0))
    listener.settimeout(0.5)
    code = """
import os, socket, sys
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(3): u.sendto(b'%%d' %% i, ('%s', %d))
os._exit(0)
""" % listener.getsockname()
    for options in ("--engine=namespace", "--strict"):
        for _ in range(20):
            fine(run(w, [PYTHON, "-c", code], options))
    with listener, contextlib.suppress(TimeoutError):
        while True:
            got.append(listener.recv(9))
    assert sorted(got) == sorted([b"0", b"1", b"2"] * 40), got
