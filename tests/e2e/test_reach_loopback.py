"""The namespace engine: loopback. Programs in a namespace reach services on the host's loopback, and the host reaches
listeners of theirs."""

import re
import signal
import socket
import struct

import bed
import reaching
import servers as s
from reaching import BUSYBOX, Life, Service, Wrong, answers, ask, programs, run, until, who
from world import ASAN, CURL, PLAIN, PYTHON, fine, test

BOTH = ("127.0.0.1", "::1")
ALL = 'server "p" { address = "%s" port = %d }\nrule "all" { via = {"p"} }\n' % (bed.PROXY4, s.DANTED)
OUT_OFF, IN_OFF = ('namespace-loopback-%s = "false"\n' % way + ALL for way in ("out", "in"))
SOON = 3  # seconds


def listening(process):
    """The address and port that a program says it listens on."""
    line = process.stdout.readline().decode()
    found = re.search(r"([0-9a-f:.]+|\[[0-9a-f:]+\])[: ](\d+)(/callback)?$", line.strip())
    assert found, line
    return found[1].strip("[]"), int(found[2])


def url_host(address):
    return "[%s]" % address if ":" in address else address


def by_file(w, text, command, *options, **more):
    return bed.run(bed.CLIENT, reaching.by_file(w, text, command, *options), w.env, **more)


for ROOT in (False, True):
    @test("reach loopback: a service on the host's loopback is reached, as " + who(ROOT), root=ROOT, on=(PLAIN, ASAN))
    def _(w):
        p = programs(w)
        with Wrong() as wrong:
            for address in BOTH:
                with Service(address) as service:
                    port = str(service.port)
                    for label, command in {
                            "static": [p.probe_static, "tcp", address, port],
                            "musl": [p.probe_musl, "tcp", address, port],
                            "go": [p.go_static, "tcp", address, port], "rust": [p.rust, "get", address, port],
                            "child": ["sh", "-c", "%s tcp %s %s" % (p.probe_static, address, port)],
                            "a covered child": [p.go_static, "run", *CURL, "http://%s:%s/" % (url_host(address), port)],
                    }.items():
                        wrong.expect((address, label), run(w, command), b"from the host\n")
                    if address == BOTH[0]:
                        wrong.expect("localhost", run(w, [p.probe_static, "tcp", "localhost", port]),
                                     b"from the host\n")

    @test("reach loopback: the host reaches a listener in the namespace, as " + who(ROOT), root=ROOT, on=(PLAIN, ASAN))
    def _(w):
        p = programs(w)
        for command in ([p.go_static, "serve", "127.0.0.1:0"], [p.go_static, "serve", "[::1]:0"],
                        [p.go_static, "serve", "0.0.0.0:0"], [p.go_static, "serve", ":0"],
                        ["sh", "-c", p.go_static + " serve 127.0.0.1:0"]):
            with Life(w) as life:
                process = reaching.start(w, command, env=life.env)
                address, port = listening(process)
                at = "::1" if address in ("::1", "::") else "127.0.0.1"
                until(lambda: answers(at, port), SOON)
                assert b"\r\n\r\nfrom inside\n" in ask(at, port), command
                assert process.stdout.readlines() == [b"served\n"] and process.wait(20) == 0, command
                until(lambda: not answers(at, port), SOON)

    @test("reach loopback: a log-in waits for a call-back of the host's browser, as " + who(ROOT), root=ROOT, on=PLAIN)
    def _(w):
        process = reaching.start(w, [programs(w).go_static, "login"])
        _, port = listening(process)
        until(lambda: answers("127.0.0.1", port), SOON)
        result = bed.run(bed.CLIENT, [*CURL, "http://127.0.0.1:%d/callback?code=s3cret" % port], w.env)
        assert result == (0, b"logged in\n", b""), result
        assert process.stdout.readlines() == [b"code s3cret\n"] and process.wait(20) == 0

    @test("reach loopback: a C program accepts a connection of the host, which ends in order, as " + who(ROOT),
          root=ROOT, on=PLAIN)
    def _(w):
        p = programs(w)
        for program in (p.probe_static, p.probe_musl):
            for address in BOTH:
                process = reaching.start(w, [program, "listen", address, "0"])
                _, port = listening(process)
                c = until(lambda: dial_or_none(address, port), SOON)
                with c:
                    c.settimeout(20)
                    assert (c.recv(99), c.recv(99)) == (b"hello\n", b"")
                peer = process.stdout.readline().split()
                assert peer[:2] == [b"peer", address.encode()] and process.wait(20) == 0, peer


def dial_or_none(address, port):
    try:
        return reaching.dial(address, port)
    except ConnectionRefusedError:
        return None


@test("reach loopback: where nobody listens, neither inside nor outside, a connect is refused at once", on=PLAIN)
def _(w):
    p = programs(w)
    with Wrong() as wrong:
        for address in (*BOTH, "127.9.9.9", "localhost"):
            for program in (p.probe_static, p.go_static):
                wrong.expect((program, address), run(w, [program, "errno", address, "2"], seconds=5),
                             b"ECONNREFUSED\n", 1)
            wrong.expect(address, run(w, [p.probe_static, "nonblock", address, "2"], seconds=5), b"ECONNREFUSED\n", 1)


@test("reach loopback: both ways are off by the configuration", on=PLAIN)
def _(w):
    p = programs(w)
    with Service("127.0.0.1") as four, Service("::1") as six:
        with Wrong() as wrong:
            for service, address in ((four, "127.0.0.1"), (six, "::1")):
                for command in ([p.probe_static, "errno", address, str(service.port)],
                                ["sh", "-c", "%s errno %s %d" % (p.probe_static, address, service.port)]):
                    wrong.expect((address, command[0]), by_file(w, OUT_OFF, command), b"ECONNREFUSED\n", 1)
                    wrong.expect((address, command[0], "in off"), by_file(w, IN_OFF, command), b"connected\n")
    # Each namespace has a way out to the host that tells when a listener has been there long enough.
    for text, seen in ((IN_OFF, False), (OUT_OFF, True)):
        process = bed.start(bed.CLIENT, reaching.by_file(w, text, [p.go_static, "serve", "127.0.0.1:0"]), env=w.env,
                            stdout=-1)
        _, port = listening(process)
        if seen:
            until(lambda: answers("127.0.0.1", port), SOON)
        else:
            try:
                until(lambda: answers("127.0.0.1", port), SOON)
                raise RuntimeError("it can be reached from the host")
            except AssertionError:
                pass
        bed.stop(process)


@test("reach loopback: --strict has no way to and from the host", on=PLAIN)
def _(w):
    p = programs(w)
    with Service("127.0.0.1") as four, Service("::1") as six, Wrong() as wrong:
        for service, address in ((four, "127.0.0.1"), (six, "::1")):
            wrong.expect(address, run(w, [p.probe_static, "errno", address, str(service.port)], "--strict"),
                         b"ECONNREFUSED\n", 1)
    process = reaching.start(w, [p.go_static, "serve", "127.0.0.1:0"], "--strict")
    _, port = listening(process)
    try:
        until(lambda: answers("127.0.0.1", port), SOON)
        raise RuntimeError("it can be reached from the host")
    except AssertionError:
        bed.stop(process)


@test("reach loopback: a port that is taken on the host stays the host's, and the listener is reached inside", on=PLAIN)
def _(w):
    p = programs(w)
    with Service("127.0.0.1") as service:
        command = "%s serve 127.0.0.1:%d & sleep 2; %s tcp 127.0.0.1 %d; wait" % (
            p.go_static, service.port, p.probe_static, service.port)
        process = reaching.start(w, [BUSYBOX, "sh", "-c", command])
        assert b"listening" in process.stdout.readline()
        for _ in range(20):
            assert ask("127.0.0.1", service.port).endswith(b"\r\n\r\nfrom the host\n")
        assert sorted(process.stdout.readlines()) == [b"from inside\n", b"served\n"] and process.wait(20) == 0


@test("reach loopback: a listener that ends disappears from the host, and the port can be used again", on=PLAIN)
def _(w):
    p = programs(w)
    with bed.inside(bed.CLIENT), socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = "for i in 1 2 3; do %s serve 127.0.0.1:%d; done; sleep 100" % (p.go_static, port)
    process = reaching.start(w, [BUSYBOX, "sh", "-c", line])
    for _ in range(3):
        assert b"listening" in process.stdout.readline()
        until(lambda: answers("127.0.0.1", port), SOON)
        assert b"from inside" in ask("127.0.0.1", port)
        assert process.stdout.readline() == b"served\n"
    until(lambda: not answers("127.0.0.1", port), SOON)
    with Service("127.0.0.1", port):
        assert ask("127.0.0.1", port).endswith(b"from the host\n")
    bed.stop(process)


@test("reach loopback: programs of one tree reach each other's listeners, as do covered ones", on=PLAIN)
def _(w):
    p = programs(w)
    for kind in ("127.0.0.1", "[::1]"):
        address = kind.strip("[]")
        line = ("%(go)s serve %(kind)s:8123 & n=0; "
                "until %(get)s; do n=$((n+1)); [ $n -lt 100 ] || exit 9; sleep 0.1; done; wait")
        for get in ("%s tcp %s 8123 2>/dev/null | grep from" % (p.probe_musl, address),
                    "curl -s -m 5 http://%s:8123/" % kind):
            for shell in ("sh", BUSYBOX + " sh"):  # in the first case curl is outside, in the second inside
                status, out, err = run(w, [*shell.split(), "-c", line % {"go": p.go_static, "kind": kind, "get": get}])
                assert status == 0 and b"from inside\n" in out and b"served" in out, (get, shell, status, out, err)


@test("reach loopback: a connection to the host carries 3 MiB both ways, a half-close and a reset", on=PLAIN)
def _(w):
    size = 3 << 20
    with bed.inside(bed.CLIENT), socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = reaching.start(w, [BUSYBOX, "nc", "-ll", "-p", str(port), "-e", BUSYBOX, "cat"])
    c = until(lambda: dial_or_none("127.0.0.1", port), SOON)
    code = """
import socket, sys, threading
c = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); data = bytes(range(256)) * (%d >> 8)
threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR))).start()
got = b''
while more := c.recv(1 << 16): got += more
assert got == data, (len(got), len(data))
""" % size
    fine(bed.run(bed.CLIENT, [PYTHON, "-c", code, str(port)], w.env))
    c.close()
    bed.stop(process)
    # The host resets, and the program inside sees a reset.
    with bed.inside(bed.CLIENT):
        listener = socket.create_server(("127.0.0.1", 0))
    process = reaching.start(w, [programs(w).probe_static, "tcp", "127.0.0.1", str(listener.getsockname()[1])])
    peer, _ = listener.accept()
    peer.recv(99)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert process.stdout.read() == b"ECONNRESET\n" and process.wait(20) == 1
    listener.close()


@test("reach loopback: two commands of two trees have loopbacks of their own", on=PLAIN)
def _(w):
    p = programs(w)
    processes = [reaching.start(w, [p.go_static, "serve", "127.0.0.1:8200"]) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == b"listening 127.0.0.1:8200\n"
    until(lambda: answers("127.0.0.1", 8200), SOON)  # the host's port is the first one's
    assert b"from inside" in ask("127.0.0.1", 8200)
    for process in processes:
        process.send_signal(signal.SIGTERM)
        bed.stop(process)
