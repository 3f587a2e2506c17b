"""Passwords of a URL on the command line are not visible to other users of the machine: /proc/PID/cmdline shows them to
everybody, as ps does."""

import subprocess
import time

import bed
import servers as s
from world import PYTHON, test

SECRET = "s3cr3t-%C3%A4"
NAMED = "socks5h://alice:%s@proxy.nowhere.example:1080" % SECRET  # a name whose servers never answer
LITERAL = "socks5h://alice:%s@%s:%d" % (SECRET, bed.PROXY4, s.HOSTILE)


def start(w, command):
    return subprocess.Popen(bed.within(bed.CLIENT, command), env=w.env, start_new_session=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def command_lines(session):
    """The command lines of the processes in a session."""
    found = subprocess.run(["ps", "-ww", "-s", str(session), "-o", "args="], stdout=subprocess.PIPE, check=False)
    return found.stdout.decode().splitlines()


def hidden(w, command, ready):
    """COMMAND shows its URL without the password once READY() is true."""
    w.trap.take()
    process = start(w, command)
    try:
        deadline = time.monotonic() + 20
        while not ready():
            assert time.monotonic() < deadline, "it does not begin"
            assert process.poll() is None, process.returncode
        lines = [line for line in command_lines(process.pid) if command[0] in line and "setpriv" not in line]
        assert lines and "alice" in lines[-1], lines
        assert all(SECRET not in line for line in lines), lines
    finally:
        bed.stop(process)
        w.trap.take()


def resolving(w):
    """Whether a query has been sent."""
    return lambda: any("port 53" in caught for caught in w.trap.take())


COMMANDS = {"socksify": lambda w: [w.socksify, "-x", NAMED, "true"],
            "socksify with both in one word": lambda w: [w.socksify, "-x" + NAMED, "true"],
            "socksify with the option twice": lambda w: [w.socksify, "-x", NAMED, "-x", NAMED, "true"],
            "--check": lambda w: [w.socksify, "-x", NAMED, "--check"],
            "--explain": lambda w: [w.socksify, "-x", NAMED, "--explain", "a:1"],
            "socks5-bridge": lambda w: [w.bridge, "--listen", "127.0.0.1:1095", "-x", NAMED]}

for WHAT, COMMAND in COMMANDS.items():
    @test("a password is not visible in the command line while a name is resolved: %s" % WHAT)
    def _(w, command=COMMAND):
        hidden(w, command(w), resolving(w))


@test("a password is not visible in the command line during --check")
def _(w):
    w.hostile.play(lambda c: c.hang())
    hidden(w, [w.socksify, "-x", LITERAL, "--check"], lambda: w.hostile.connections)


@test("a password is not visible in the command line while socks5-bridge runs, and is used")
def _(w):
    w.hostile.play(lambda c: c.receive() and c.hang())
    code = """
import socket, time
for _ in range(100):
    c = socket.socket()
    if c.connect_ex(('127.0.0.1', 1095)) == 0: break
    time.sleep(0.1)
c.sendall(b'\\5\\1\\0' b'\\5\\1\\0\\1\\1\\1\\1\\1\\0\\7')
c.recv(99), c.recv(99)"""
    client = start(w, [PYTHON, "-c", code])
    try:
        hidden(w, [w.bridge, "--listen", "127.0.0.1:1095", "-x", LITERAL], lambda: w.hostile.received)
        assert b"alice" in b"".join(w.hostile.received) or w.hostile.received[0] == b"\5\1\2", w.hostile.received
    finally:
        bed.stop(client)
