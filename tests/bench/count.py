#!/usr/bin/python3
"""Counts what the preload object costs, in instructions (valgrind's callgrind) and system calls
(strace), and holds the counts against the project's budgets. Counts do not depend on how busy the
machine is. Everything runs on loopback.

A per-call figure is the difference between a run of N and a run of 2N calls, with the object and
without it, so that start-up and everything else cancels out."""

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading

BUDGET = {
    "instructions added to /bin/true": 50000,
    "instructions added to a hooked call on a foreign descriptor": 20,
    "instructions added to a pipelined connect": 2000,
    "system calls added to a pipelined connect": 10,
}
HOOKED = ["read", "write", "send", "recv", "close", "close-open-chunk", "getsockopt", "getpeername",
          "poll", "select", "epoll_wait", "epoll_ctl"]
GREETING_AND_REQUEST = 3 + 10
ANSWER = bytes([5, 0]) + bytes([5, 0, 0, 1, 127, 0, 0, 1, 0, 80])


class Server(threading.Thread):
    """Accepts for ever; answers a pipelined negotiation in one write when asked to."""

    def __init__(self, socks):
        super().__init__(daemon=True)
        self.socks = socks
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            peer, _ = self.listener.accept()
            try:
                if self.socks and len(peer.recv(64)) >= GREETING_AND_REQUEST:
                    peer.sendall(ANSWER)
                peer.recv(1)  # until the client closes
            except OSError:
                pass
            peer.close()


class Bench:
    def __init__(self, build, scratch):
        self.build, self.scratch = os.path.abspath(build), scratch
        self.object = os.path.join(self.build, "preload", "libsocksify.so")
        self.plain, self.socks = Server(False), Server(True)
        self.config = os.path.join(scratch, "bench.conf")
        with open(self.config, "w") as f:
            f.write('server "peer" { address = "127.0.0.1" port = %d pipeline = on }\n'
                    'rule "all" { to = {"127.0.0.0/8"} via = {"peer"} }\n' % self.socks.port)

    def environment(self, shimmed):
        env = {"PATH": "/usr/bin:/bin", "HOME": self.scratch}
        if shimmed:
            env["SOCKS5_CONF"] = self.config
        return env

    def run(self, tool, command, shimmed):
        # LD_PRELOAD through env(1) inside the tool's own client alone.
        env = self.environment(shimmed)
        if shimmed:
            env["LD_PRELOAD"] = self.object
        done = subprocess.run(tool + command, env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=300, check=False)
        if done.returncode != 0:
            raise RuntimeError("%s: %s" % (" ".join(command), done.stderr.decode()[-500:]))
        return done.stderr.decode()

    def instructions(self, command, shimmed):
        text = self.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"],
                        command, shimmed)
        return int(re.search(r"Collected : (\d+)", text).group(1))

    def syscalls(self, command, shimmed):
        out = os.path.join(self.scratch, "strace")
        env = self.environment(shimmed)
        preload = ["-E", "LD_PRELOAD=" + self.object] if shimmed else []
        subprocess.run(["strace", "-f", "-o", out] + preload + command, env=env, check=True,
                       timeout=300)
        with open(out) as f:
            return sum(1 for line in f if re.search(r"^\d+ +\w+\(", line))

    def per_call(self, count, command, n):
        """What the object adds to one of the calls COMMAND makes as often as its last word says."""
        runs = {}
        for shimmed in (False, True):
            for times in (n, 2 * n):
                port = str(self.socks.port if shimmed else self.plain.port)
                words = [port if w == "PORT" else w for w in command] + [str(times)]
                if shimmed:  # any address: the rule leads it to the server
                    words = [str(self.plain.port) if w == port else w for w in words]
                runs[shimmed, times] = count(words, shimmed)
        return ((runs[True, 2 * n] - runs[True, n]) - (runs[False, 2 * n] - runs[False, n])) / n

    def program(self, name):
        return os.path.join(self.build, "tests", "bench", "bench_" + name)


def measure(bench):
    """Rows of (what, budget's key, figure)."""
    key = "instructions added to /bin/true"
    yield key, key, bench.instructions(["/bin/true"], True) - bench.instructions(["/bin/true"],
                                                                                False)
    key = "instructions added to a hooked call on a foreign descriptor"
    for name in HOOKED:
        yield name + ": " + key, key, bench.per_call(
            bench.instructions, [bench.program("hooked_calls"), name], 1000)
    for mode in ("block", "epoll"):
        command = [bench.program("connects"), mode, "PORT"]
        key = "instructions added to a pipelined connect"
        yield mode + ": " + key, key, bench.per_call(bench.instructions, command, 20)
        key = "system calls added to a pipelined connect"
        yield mode + ": " + key, key, bench.per_call(bench.syscalls, command, 20)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", default="build")
    args = options.parse_args()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for what, key, figure in measure(Bench(args.build, scratch)):
            good = figure <= BUDGET[key]
            print("%s - %s: %.1f (at most %d)" % ("ok" if good else "FAILED", what, figure,
                                                  BUDGET[key]), flush=True)
            passed, failed = passed + good, failed + (not good)
    print("bench: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
