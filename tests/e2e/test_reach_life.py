"""The namespace engine: the life of its processes. The command is as without socksify; gateway and agent serve all
commands of a tree and user, and end with the last."""

import os
import re
import signal
import socket

import bed
import reaching
import servers as s
from reaching import BUSYBOX, OURS, Life, Wrong, programs, read, run, tcp_words, until, who
from world import ASAN, AUTH, CURL, PAGE, PLAIN, PYTHON, URL4, fine, right, test

TEXT = PAGE + b"\n"
SLEEP = [BUSYBOX, "sleep", "1000"]


def command_of(life, text):
    """The process of the test whose command line has TEXT."""
    def find():
        return [pid for pid in life.pids() if text.encode() in read(pid, "cmdline").replace(b"\0", b" ")
                and not read(pid, "cmdline").startswith(b"ip\0")]
    return until(find)[0]


for ROOT in (False, True):
    @test("reach life: the exit status is the command's, and nothing of ours is left, as " + who(ROOT), root=ROOT,
          on=(PLAIN, ASAN))
    def _(w):
        with Wrong() as wrong:
            for options in ((), ("--strict",), ("--summary",), ("--no-fence",)):
                for line, status in (("exit 0", 0), ("exit 3", 3), ("kill -9 $$", -9), ("kill -15 $$", -15),
                                     ("kill -2 $$", -2), ("kill -6 $$", -6)):
                    with Life(w) as life:
                        result = run(w, [BUSYBOX, "sh", "-c", line], *options, env=life.env)
                    if options == ("--summary",) and status < 0:  # socksify waits for the command, as a shell does
                        status = 128 - status
                    if result[0] != status or result[1] or result[2] and options != ("--summary",):
                        wrong.append(((options, line), result))

    @test("reach life: signals go to the command, whose process ID is that of socksify, as " + who(ROOT), root=ROOT,
          on=PLAIN)
    def _(w):
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGUSR1):
            with Life(w) as life:
                process = reaching.start(w, SLEEP, env=life.env)
                until(lambda: read(process.pid, "comm") == b"busybox\n")
                life.one("socks5gateway")
                os.kill(process.pid, sig)
                assert process.wait(10) == -sig
        with Life(w) as life:  # to the process group, as a terminal sends it
            line = "trap 'echo caught' INT; while :; do sleep 0.1; done"
            process = reaching.start(w, [BUSYBOX, "sh", "-c", line], env=life.env)
            until(lambda: read(process.pid, "comm") == b"busybox\n")
            gateway = life.one("socks5gateway")
            os.killpg(process.pid, signal.SIGINT)
            assert process.stdout.readline() == b"caught\n"
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            assert gateway

    @test("reach life: a daemon keeps working after the command has ended, and the gateway ends after it, as %s"
          % who(ROOT), root=ROOT, on=(PLAIN, ASAN))
    def _(w):
        p, out, go = programs(w), w.scratch + "/home/daemon.out", w.scratch + "/home/daemon.go"
        for shell in ("sh", BUSYBOX + " sh", BUSYBOX + " setsid " + BUSYBOX + " sh"):
            for path in (out, go):
                if os.path.exists(path):
                    os.unlink(path)
            daemon = ("while [ ! -e %s ]; do sleep 0.1; done; %s tcp both.example 80 > %s.new && mv %s.new %s; "
                      "sleep 1000" % (go, p.probe_static, out, out, out))
            with Life(w) as life:
                line = "cd / && ( %s setsid %s sh -c '%s' </dev/null >/dev/null 2>&1 & )" % (BUSYBOX, BUSYBOX, daemon)
                fine(run(w, [*shell.split(), "-c", line], env=life.env))
                until(lambda: life.pids("busybox"))
                open(go, "w").close()
                until(lambda: os.path.exists(out))
                with open(out, "rb") as f:
                    assert f.read() == TEXT
                assert len(life.pids("socks5gateway")) == 1
                life.kill()


@test("reach life: one gateway and agent serve all commands of a tree, outside and inside", on=(PLAIN, ASAN))
def _(w):
    p = programs(w)
    static = " ".join(tcp_words(w, "probe_static", "both.example"))
    go = " ".join(tcp_words(w, "go_static", "both.example"))
    for pages, line in ((10, "%s sleep 1000 & %s sleep 1000 & for i in 1 2 3 4 5; do %s; %s; done; wait" % (
                            BUSYBOX, BUSYBOX, static, go)),
                        (12, "for i in 1 2 3 4 5; do %s & %s & done; %s sleep 1000 & "
                         "%s sh -c '%s; %s; sleep 1000' & wait" % (static, go, BUSYBOX, BUSYBOX, static, go))):
        with Life(w) as life:
            process = reaching.start(w, ["sh", "-c", line], env=life.env)
            assert [process.stdout.readline() for _ in range(pages)] == [TEXT] * pages
            until(lambda: life.pids("busybox") and not life.pids("socks5-reach"))
            assert [len(life.pids(name)) for name in OURS] == [1, 1, 0], [life.pids(name) for name in OURS]
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)


@test("reach life: twenty programs that begin at the same time share a gateway", on=PLAIN)
def _(w):
    with Life(w) as life:
        line = "for i in $(seq 20); do %s & done; %s sleep 1000 & wait" % (
            " ".join(tcp_words(w, "probe_static", bed.TARGET4)), BUSYBOX)
        process = reaching.start(w, ["sh", "-c", line], env=life.env)
        assert [process.stdout.readline() for _ in range(20)] == [TEXT] * 20
        assert len(life.pids("socks5gateway")) == len(life.pids("socks5agent")) == 1
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


@test("reach life: a namespace that ended while another command began does not fail it", on=PLAIN, slow=5)
def _(w):
    line = ("for i in $(seq 60); do %s true || echo failed; done; "
            "for i in $(seq 30); do %s true & %s true & wait; done" % ((BUSYBOX,) * 3))
    with Life(w) as life:
        result = run(w, ["sh", "-c", line], env=life.env, seconds=100)
        assert result == (0, b"", b""), result


@test("reach life: each user of a tree has a namespace and a gateway", on=PLAIN, root=True, in_chroot=False)
def _(w):
    static = " ".join(tcp_words(w, "probe_static", "both.example"))
    own = "setpriv --reuid=%d --regid=%d --clear-groups " % (bed.user().pw_uid, bed.user().pw_gid)
    line = "%s; %s%s; %s sleep 1000 & %s%s sleep 1000 & wait" % (static, own, static, BUSYBOX, own, BUSYBOX)
    with Life(w) as life:
        process = reaching.start(w, ["sh", "-c", line], env=life.env)
        said = [process.stdout.readline(), process.stdout.readline()]
        assert said == [TEXT, TEXT], said
        until(lambda: len(life.pids("busybox")) == 2)
        owners = sorted(int(re.search(rb"Uid:\t(\d+)", read(pid, "status"))[1]) for pid in life.pids("socks5gateway"))
        assert owners == [0, bed.user().pw_uid], owners
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


@test("reach life: socksify within socksify", on=(PLAIN, ASAN))
def _(w):
    words = tcp_words(w, "probe_static", "both.example")
    with Wrong() as wrong, Life(w) as life:
        for outer, inner in (((), ()), ((), ("--engine=namespace",)), (("--engine=namespace",), ()),
                             ((), ("--strict",)), (("--strict",), ()), (("--strict",), ("--strict",))):
            # Within a strict one the inner server is reached through the outer one. danted does not connect there.
            port = s.MICROSOCKS if "--strict" in outer else s.DANTED
            for command in (words, [*CURL, URL4], [BUSYBOX, "sh", "-c", " ".join(words)]):
                result = run(w, reaching.by_url(w, command, *inner), *outer, env=life.env, port=port)
                wrong.expect((outer, inner, command[0]), result, TEXT)
            nested = [BUSYBOX, "sh", "-c", " ".join(reaching.by_url(w, words, *inner))]
            wrong.expect((outer, inner, "in busybox"), run(w, nested, *outer, env=life.env, port=port), TEXT)
            if outer == ():
                nested = reaching.by_url(w, words, *inner, port=s.DANTED_AUTH, user=AUTH)
                wrong.expect((outer, inner, "password"), run(w, nested, env=life.env), TEXT)


@test("reach life: after kill -9 of the gateway connections are reset, later ones fail, nothing gets past", on=PLAIN)
def _(w):
    with bed.inside(bed.TARGET):
        listener = socket.create_server((bed.TARGET4, 0))
    # In a strict namespace Python is not covered.
    code = """
import socket, sys
c = socket.create_connection(('%s', %d)); print('connected', flush=True)
idle = socket.create_connection(('%s', %d)); print('connected', flush=True)
for each in (c, idle):
    try: print(each.recv(9))
    except OSError as e: print(type(e).__name__, flush=True)
    try: each.send(b'x'); print('sent')
    except OSError as e: print(type(e).__name__, flush=True)
later = socket.socket(); later.settimeout(3)
try: later.connect(('%s', 80)); print('it connects', flush=True)
except OSError as e: print('fails', flush=True)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(0.5)
try: u.sendto(b'x', ('%s', 7)); print(u.recv(9))
except OSError as e: print('fails', flush=True)
""" % (*listener.getsockname(), *listener.getsockname(), bed.TARGET4, bed.TARGET4)
    with Life(w) as life:
        process = reaching.start(w, [PYTHON, "-c", code], "--strict", env=life.env)
        peers = [listener.accept()[0] for _ in range(2)]
        assert [process.stdout.readline() for _ in range(2)] == [b"connected\n"] * 2
        os.kill(life.one("socks5gateway"), signal.SIGKILL)
        said = [line.strip() for line in process.stdout.readlines()]
        assert process.wait(20) == 0
        assert said == [b"ConnectionResetError", b"BrokenPipeError"] * 2 + [b"fails"] * 2, said
    for peer in peers:
        peer.close()
    listener.close()


@test("reach life: commands of the tree work again after kill -9 of the gateway", on=PLAIN)
def _(w):
    static = " ".join(tcp_words(w, "probe_static", "both.example"))
    with Life(w) as life:
        line = "%s; while [ ! -e $0 ]; do sleep 0.1; done; %s; echo $?; %s; echo $?" % (static, static, static)
        go = w.scratch + "/home/killed.go"
        process = reaching.start(w, ["sh", "-c", "%s sleep 1000 >/dev/null & %s" % (BUSYBOX, line), go], env=life.env)
        assert process.stdout.readline() == TEXT
        until(lambda: life.pids("busybox"))
        os.kill(life.one("socks5gateway"), signal.SIGKILL)
        s.write(go, "")
        assert process.stdout.readlines() == [TEXT, b"0\n"] * 2 and process.wait(20) == 0
        life.kill()


@test("reach life: launchers that are killed while they ask the gateway do not keep it", on=(PLAIN, ASAN))
def _(w):
    code = """
import re, socket
addresses = set(re.findall('@(socks5-gateway-\\S+)', open('/proc/net/unix').read()))
for address in list(addresses) * 3:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as c: c.connect('\\0' + address); c.send(bytes(48))
"""
    with Life(w) as life:
        process = reaching.start(w, ["sh", "-c", " ".join(SLEEP) + "; exit 0"], env=life.env)
        gateway = life.one("socks5gateway")
        until(lambda: life.pids("busybox"))
        os.kill(gateway, signal.SIGSTOP)  # it finds the question and the end at the same time
        fine(bed.run(bed.CLIENT, [PYTHON, "-c", code], w.env))
        os.kill(gateway, signal.SIGCONT)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


@test("reach life: the output of a command ends where its last writer does: gateway and agent hold no descriptor of it",
      on=(PLAIN, ASAN))
def _(w):
    with Life(w) as life:
        left, right_end = os.pipe()
        line = "%s sleep 1000 >/dev/null 2>&1 </dev/null & %s true; echo done" % (BUSYBOX, BUSYBOX)
        process = reaching.start(w, ["sh", "-c", line], env=life.env, stderr=right_end)
        os.close(right_end)
        assert process.stdout.read() == b"done\n" and os.read(left, 99) == b"", "it is open"
        os.close(left)
        assert process.wait(10) == 0
        for name in ("socks5gateway", "socks5agent"):
            pid = life.one(name)
            assert os.readlink("/proc/%d/cwd" % pid) == "/"
            assert {os.readlink("/proc/%d/fd/%d" % (pid, fd)) for fd in range(3)} == {"/dev/null"}
        life.kill()


@test("reach life: the command has no child, no signal and no descriptor of ours", on=PLAIN)
def _(w):
    code = """
import os, signal
try: os.waitpid(-1, 0); print('a child')
except ChildProcessError: print('no child')
print(signal.sigpending(), sorted(int(fd) for fd in os.listdir('/proc/self/fd') if int(fd) < 100))
print([line for line in open('/proc/self/status') if line.startswith(('Sig', 'Shd', 'Threads', 'NSpid'))])
"""
    bare = bed.run(bed.CLIENT, [PYTHON, "-c", code], w.env)
    result = run(w, [PYTHON, "-c", code], "--strict")
    assert result[1].splitlines()[:2] == bare[1].splitlines()[:2] and not result[2], (result, bare)
    masks = [re.findall(rb"SigBlk:.t(\w+)|SigIgn:.t(\w+)", out) for _, out, _ in (result, bare)]
    assert masks[0] == masks[1], masks


@test("reach life: a pipe of programs, and job control of a shell on a terminal", on=PLAIN)
def _(w):
    line = "%s | %s tr a-z A-Z | cat" % (" ".join(tcp_words(w, "go_static", "both.example")), BUSYBOX)
    right(run(w, ["sh", "-c", line]), b"IT CAME THROUGH")
    # script(1) makes a terminal; the shell is the session's leader.
    line = "%s sh -c 'tty >&2; test -t 0 && echo a terminal; ps -o tty= >/dev/null; exit 5'" % BUSYBOX
    status, out, err = run(w, ["script", "-qec", line, "/dev/null"])
    assert status == 5 and b"a terminal" in out and b"/dev/pts" in out, (status, out, err)


@test("reach life: a hundred programs one after another, and connections at the end of each, leave nothing", on=PLAIN,
      slow=5)
def _(w):
    with Life(w) as life:
        line = "for i in $(seq 100); do %s; done" % " ".join(tcp_words(w, "probe_static", bed.TARGET4))
        status, out, err = run(w, ["sh", "-c", line], env=life.env, seconds=100)
        assert status == 0 and out == TEXT * 100 and not err, (status, len(out), err)


@test("reach life: threads that start programs at the same time", on=PLAIN)
def _(w):
    code = """
import concurrent.futures, subprocess, sys
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    done = list(pool.map(lambda _: subprocess.run(sys.argv[1:], capture_output=True), range(40)))
print({(d.returncode, d.stdout, d.stderr) for d in done})
"""
    result = run(w, [PYTHON, "-c", code, *tcp_words(w, "probe_static", "both.example")], seconds=100)
    assert result == (0, b"{(0, b'it came through\\n', b'')}\n", b""), result
