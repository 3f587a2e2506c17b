"""The modules of a stock kernel, in the guest of boot.py: a command of an ordinary user loads those that the namespace
engine needs, and where none can be loaded, the doctor says which command loads them all."""

import contextlib
import re
import subprocess

import bed
import reaching
import servers as s
import test_udp
from reaching import Wrong, answers, programs, run, tcp_words, until
from world import PAGE, PLAIN, test

TEXT = PAGE + b"\n"
# Those that the engine may use. The last two are used by others, too.
MODULES = ("nft_compat", "xt_NFQUEUE", "nft_queue", "nft_tproxy", "nft_socket", "nft_reject_inet", "nfnetlink_queue",
           "nf_tables", "tcp_diag", "udp_diag", "inet_diag", "nfnetlink")
LOADER = "/proc/sys/kernel/modprobe"


def loaded():
    with open("/proc/modules") as f:
        return {line.split()[0] for line in f}


def unload():
    """Removes the engine's modules. A namespace that has just ended may still use them."""
    with open("/proc/cmdline") as f:
        assert "project=" in f.read(), "this test changes the kernel: run it with tests/all kernels"

    def removed():
        for module in MODULES:
            subprocess.run(["modprobe", "-r", module], check=False, stderr=subprocess.DEVNULL)
        return not loaded() & set(MODULES)
    until(removed, 60)


@contextlib.contextmanager
def no_loader():
    """The kernel loads no module by itself."""
    with open(LOADER) as f:
        before = f.read().strip()
    with open(LOADER, "w") as f:
        f.write("/bin/false\n")
    try:
        yield
    finally:
        with open(LOADER, "w") as f:
            f.write(before + "\n")


def doctor(w):
    """The row of the namespace."""
    _, out, err = bed.run(bed.CLIENT, [w.socksify, "--check", "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)], w.env)
    found = re.search(r"^  namespace +(\w+) +(.*)$", out.decode(), re.M)
    assert found, (out, err)
    return found[1], found[2]


def works(w):
    """Connections through the server, with the server's answer, datagrams, and loopback in both directions."""
    p = programs(w)
    test_udp.targets(w)
    with reaching.Service("127.0.0.1") as service, Wrong() as wrong:
        for host in reaching.HOSTS:
            wrong.expect(host, run(w, tcp_words(w, "probe_static", host)), TEXT)
            wrong.expect((host, "errno"), run(w, [p.probe_static, "errno", host, str(s.REFUSED)]), b"ECONNREFUSED\n", 1)
            wrong.expect((host, "UDP"), run(w, [p.probe_static, "udp", host, "7", "hallo"]), b"hallo\n")
        wrong.expect("to the host", run(w, [p.probe_static, "tcp", "127.0.0.1", str(service.port)]), b"from the host\n")
    process = reaching.start(w, [p.go_static, "serve", "127.0.0.1:8300"])
    assert process.stdout.readline() == b"listening 127.0.0.1:8300\n"
    until(lambda: answers("127.0.0.1", 8300))
    assert b"from inside" in reaching.ask("127.0.0.1", 8300) and process.wait(20) == 0


@test("modules: the command of an ordinary user loads those that the engine needs", on=PLAIN)
def _(w):
    unload()
    assert doctor(w)[0] == "ok", doctor(w)
    unload()
    works(w)


@test("modules: where the kernel loads none, doctor and refusal give the command that does", on=PLAIN)
def _(w):
    unload()
    with no_loader():
        row = doctor(w)
        status, out, err = run(w, tcp_words(w, "probe_static", bed.TARGET4))
        advice = re.search(r"modprobe -a( \w+)+", row[1])
        assert row[0] == "no" and advice and advice[0].encode() in err, (row, err)
        assert (status, out) == (125, b""), (status, out)
        subprocess.run(advice[0].split(), check=True)
        assert doctor(w)[0] == "ok", doctor(w)
        works(w)


@test("modules: the doctor also finds the lack of what only the gateway uses", on=PLAIN)
def _(w):
    for name in ("nfnetlink_queue", "tcp_diag", "udp_diag"):
        unload()
        with no_loader():
            advice = re.search(r"modprobe -a( \w+)+", doctor(w)[1])[0].split()
            assert name in advice, (name, advice)
            subprocess.run([word for word in advice if word != name], check=True)
            row = doctor(w)
            assert row[0] == "no" and "%s: " % name in row[1] and " ".join(advice) in row[1], row
            subprocess.run(["modprobe", name], check=True)
            assert doctor(w)[0] == "ok", (name, doctor(w))
