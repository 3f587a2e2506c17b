"""The fixtures of tests/arch: the architectures, the bed of network namespaces with its servers, and the trap. A test
also fails if the trap recorded a packet."""

import os
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from architecture import ARCHITECTURES, Arch
import bed
import nameserver
import servers

_archs = {}


@pytest.fixture(params=list(ARCHITECTURES))
def arch(request, programs):
    """Made once per worker. If that fails, every test of the architecture fails with the reason."""
    return made(request.param, programs)


@pytest.fixture(params=[name for name, words in ARCHITECTURES.items() if words[-1]])
def arch32(request, programs):
    """The architectures with two widths of time_t."""
    return made(request.param, programs)


def made(name, programs):
    if name not in _archs:
        try:
            _archs[name] = Arch(name, programs)
        except Exception as e:
            _archs[name] = e
    if isinstance(_archs[name], Exception):
        raise _archs[name]
    return _archs[name]


@pytest.fixture(scope="session")
def programs():
    with tempfile.TemporaryDirectory(prefix="socksify-arch-") as folder:
        os.chmod(folder, 0o755)
        yield folder


# --- the bed: a target with an echo service and a web page, a server with UDP and one without ---


def _echo_datagrams(address, port):
    with bed.inside(bed.TARGET):
        u = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    u.bind((address, port))

    def serve():
        while True:
            data, peer = u.recvfrom(70000)
            u.sendto(data, peer)
    threading.Thread(target=serve, daemon=True).start()


@pytest.fixture(scope="session")
def trap():
    with tempfile.TemporaryDirectory(prefix="socksify-arch-") as scratch:
        os.chmod(scratch, 0o755)
        caught = bed.make(None, scratch)
        keep = [servers.Target(), nameserver.Nameserver()]
        for address in (bed.TARGET4, bed.TARGET6):
            for port in (servers.ECHO, servers.ECHO + 1):
                _echo_datagrams(address, port)
        with open(scratch + "/page", "w", encoding="ascii") as f:
            f.write("it came through\n")
        bed.start(bed.TARGET, [sys.executable, "-m", "http.server", "-d", scratch, "-b", "::", "80"],
                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(scratch + "/danted.conf", "w", encoding="ascii") as f:
            f.write(servers.DANTED_CONF % {"log": scratch + "/danted.log", "p4": bed.PROXY4, "p6": bed.PROXY6,
                                              "x4": bed.OUTER4, "x6": bed.OUTER6,
                                           "port": servers.DANTED, "method": "none"})
        bed.start(bed.PROXY, [servers.danted(), "-f", scratch + "/danted.conf", "-p", scratch + "/danted.pid"])
        bed.start(bed.PROXY, ["microsocks", "-i", "::", "-p", str(servers.MICROSOCKS)],
                  stderr=subprocess.DEVNULL)
        for port in (servers.DANTED, servers.MICROSOCKS):
            bed.wait_port(bed.PROXY, bed.PROXY4, port)
        bed.wait_port(bed.TARGET, bed.TARGET4, 80)
        yield caught
        bed.stop_all()
        del keep


@pytest.fixture(autouse=True)
def nothing_past_the_proxy(trap):
    trap.take()
    yield
    caught = trap.take()
    assert not caught, "THE TRAP CAUGHT " + "; ".join(sorted(set(caught)))
