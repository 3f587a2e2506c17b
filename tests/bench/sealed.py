#!/usr/bin/python3
"""Compares the bridge with gss_wrap() alone in one process and with an unprotected connection, on loopback and with its
own realm. Both sides of a ratio are measured in turn, and the best value of each is used, because other load slows both
down. If a ratio is below its goal, there are more rounds. Ratios below their minimum fail."""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../peer")
import realm as realms

MB = 256
WANTED = {"integrity": 0.45, "confidentiality": 0.7}
FLOOR = 0.6  # the share of WANTED that even a busy machine must reach
LEVELS = ("clear", "integrity", "confidentiality")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("nothing listens")


class Bed:
    """A realm, a server, and a bridge to it for each level. The port of "none" is that of the server itself."""

    def __init__(self, build, scratch):
        self.program = build + "/tests/bench/bench_sealed"
        self.realm = realms.Realm(scratch + "/krb5", "127.0.0.1", free_port(), ["rcmd/proxy.test"])
        self.env = {**os.environ, **self.realm.client, **self.realm.server}
        server = free_port()
        self.started = [subprocess.Popen([self.program, "serve", str(server)], env=self.env)]
        self.ports = {"none": server}
        hosts = scratch + "/hosts"
        with open(hosts, "w") as f:
            f.write("127.0.0.1 localhost proxy.test\n")
        for level in LEVELS:
            conf = "%s/%s.conf" % (scratch, level)
            with open(conf, "w") as f:
                f.write('server "s" { address = "proxy.test" port = %d methods = {"gssapi"} '
                        'gssapi-protection = "%s" }\nrule "all" { via = {"s"} }\n' % (server, level))
            self.ports[level] = free_port()
            # The bridge has its own hosts file, in its own mount namespace.
            self.started.append(subprocess.Popen(
                ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts,
                 build + "/tools/bridge/socks5-bridge", "--listen",
                 "127.0.0.1:%d" % self.ports[level], "-c", conf], env=self.env))

    def __enter__(self):
        for port in self.ports.values():
            wait_port(port)
        return self

    def __exit__(self, *_):
        for process in self.started:
            process.terminate()
        self.realm.stop()

    def run(self, *words):
        done = subprocess.run([self.program] + [str(x) for x in words], env=self.env, check=True,
                              stdout=subprocess.PIPE, timeout=120)
        return float(done.stdout)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", default="build")
    options.add_argument("--rounds", type=int, default=3)
    args = options.parse_args()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as scratch, \
            Bed(os.path.abspath(args.build), scratch) as bed:
        print("%-16s %10s %10s %10s %12s %12s" % ("", "gss_wrap", "up", "down", "connects/s",
                                                 "latency us"))
        for level in ("none",) + LEVELS:
            alone, up, down = [], [], []
            for n in range(4 * args.rounds):
                if n >= args.rounds and (level not in WANTED or min(max(up), max(down))
                                         >= WANTED[level] * max(alone)):
                    break
                if level in WANTED:
                    alone.append(bed.run("wrap", LEVELS.index(level), MB))
                up.append(bed.run("up", bed.ports[level], MB))
                down.append(bed.run("down", bed.ports[level], MB))
            print("%-16s %10s %10.0f %10.0f %12.0f %12.1f" % (
                level, "%.0f" % (max(alone) / 1e6) if alone else "", max(up) / 1e6,
                max(down) / 1e6, bed.run("connects", bed.ports[level], 300),
                bed.run("latency", bed.ports[level], 5000)), flush=True)
            for way, figure in (("up", max(up)), ("down", max(down))):
                if not alone:
                    continue
                ratio = figure / max(alone)
                good = ratio >= FLOOR * WANTED[level]
                print("%s - %s %s: %.2f of gss_wrap alone, %.2f wanted%s"
                      % ("ok" if good else "FAILED", level, way, ratio, WANTED[level],
                         "" if ratio >= WANTED[level] else ", NOT REACHED"))
                passed, failed = passed + good, failed + (not good)
    print("sealed: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
