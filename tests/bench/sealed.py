#!/usr/bin/python3
"""The bridge side by side with gss_wrap alone in one process, and with the plain route. On loopback,
with a realm of its own. Both sides of a ratio are taken in turns, the best of each counts: what
else the machine does slows both down, and where it slowed one down too much there are more
rounds. Ratios below what they must be fail."""

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
FLOOR = 0.6  # of that, for a machine that does much else
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


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", default="build")
    options.add_argument("--rounds", type=int, default=3)
    args = options.parse_args()
    sealed = os.path.abspath(args.build) + "/tests/bench/bench_sealed"
    passed = failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        realm = realms.Realm(scratch + "/krb5", "127.0.0.1", free_port(), ["rcmd/proxy.test"])
        env = {**os.environ, **realm.client, **realm.server}

        def run(*words):
            done = subprocess.run([sealed] + [str(x) for x in words], env=env, check=True,
                                  stdout=subprocess.PIPE, timeout=120)
            return float(done.stdout)

        server, started = free_port(), []
        started.append(subprocess.Popen([sealed, "serve", str(server)], env=env))
        ports = {"none": server}
        hosts = scratch + "/hosts"
        with open(hosts, "w") as f:
            f.write("127.0.0.1 localhost proxy.test\n")
        for level in LEVELS:
            conf = "%s/%s.conf" % (scratch, level)
            with open(conf, "w") as f:
                f.write('server "s" { address = "proxy.test" port = %d methods = {"gssapi"} '
                        'gssapi-protection = "%s" }\nrule "all" { via = {"s"} }\n' % (server, level))
            ports[level] = free_port()
            # A hosts file of its own, in a mount namespace of its own.
            started.append(subprocess.Popen(
                ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts,
                 os.path.abspath(args.build) + "/tools/bridge/socks5-bridge", "--listen",
                 "127.0.0.1:%d" % ports[level], "-c", conf], env=env))
        try:
            for port in ports.values():
                wait_port(port)
            print("%-16s %10s %10s %10s %12s %12s" % ("", "gss_wrap", "up", "down", "connects/s",
                                                     "latency us"))
            for level in ("none",) + LEVELS:
                alone, up, down = [], [], []
                for n in range(4 * args.rounds):
                    if n >= args.rounds and (level not in WANTED or min(max(up), max(down))
                                             >= WANTED[level] * max(alone)):
                        break
                    if level in WANTED:
                        alone.append(run("wrap", LEVELS.index(level), MB))
                    up.append(run("up", ports[level], MB))
                    down.append(run("down", ports[level], MB))
                print("%-16s %10s %10.0f %10.0f %12.0f %12.1f" % (
                    level, "%.0f" % (max(alone) / 1e6) if alone else "", max(up) / 1e6,
                    max(down) / 1e6, run("connects", ports[level], 300),
                    run("latency", ports[level], 5000)), flush=True)
                for way, figure in (("up", max(up)), ("down", max(down))):
                    if not alone:
                        continue
                    ratio = figure / max(alone)
                    good = ratio >= FLOOR * WANTED[level]
                    print("%s - %s %s: %.2f of gss_wrap alone, %.2f wanted%s"
                          % ("ok" if good else "FAILED", level, way, ratio, WANTED[level],
                             "" if ratio >= WANTED[level] else ", NOT REACHED"))
                    passed, failed = passed + good, failed + (not good)
        finally:
            for process in started:
                process.terminate()
            realm.stop()
    print("sealed: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
