#!/usr/bin/python3
"""Datagrams per second through one relay: compares an ordinary program under the preload object with a program that
speaks SOCKS5 UDP itself, in turn, in one run. All processes share one processor, so that the work is measured and not
the time of wakeups. The best value of each is used, because other load can only reduce it. The relay must have counted
every datagram."""

import argparse
import os
import subprocess
import sys
import tempfile

GOAL, FLOOR = 0.9, 0.7  # the goal, and the minimum that even a busy machine must reach
ROUNDS = 5, 30  # the minimum, and the maximum if the goal is not reached before
COUNT = 20000
ROWS = [(words, size, window) for words in (["connected"], ["loose"]) for size in (64, 1400)
        for window in (1, 32)]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", default="build")
    build = os.path.abspath(options.parse_args().build)
    program = build + "/tests/bench/bench_datagrams"
    preload = build + "/preload/libsocksify.so"
    passed = failed = sent = 0
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    relay = subprocess.Popen([program, "relay", "127.0.0.1", "0"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
    port = relay.stdout.readline().strip()
    with tempfile.TemporaryDirectory() as scratch:
        conf = scratch + "/bench.conf"
        with open(conf, "w", encoding="ascii") as f:
            f.write('server "peer" { address = "127.0.0.1" port = %s }\n'
                    'rule "all" { via = {"peer"} }\n' % port)
        env = {"PATH": "/usr/bin:/bin", "HOME": scratch}
        covered = dict(env, SOCKS5_CONF=conf, LD_PRELOAD=preload)
        for many in ([], ["-m"]):
            for words, size, window in ROWS:
                if many and window == 1:
                    continue
                count = COUNT * (3 if window > 1 else 1)
                best = {"self": 0, "plain": 0}
                for number in range(ROUNDS[1]):
                    if number >= ROUNDS[0] and best["plain"] >= GOAL * best["self"]:
                        break
                    for kind in best:
                        done = subprocess.run(
                            [program] + many + [kind] + words +
                            ["127.0.0.1", port, "192.0.2.1", str(size), str(window), str(count)],
                            env=covered if kind == "plain" else env, stdout=subprocess.PIPE,
                            check=True, text=True, timeout=120)
                        best[kind] = max(best[kind], float(done.stdout.split()[0]))
                        sent += count + 1
                ratio = best["plain"] / best["self"]
                good = ratio >= FLOOR
                passed, failed = passed + good, failed + (not good)
                print("%s - %s%s, %d octets, %d in transit: %.0f of %.0f a second, %.2f (goal %.1f%s)"
                      % ("ok" if good else "FAILED", words[0], ", by batches" if many else "", size,
                         window, best["plain"], best["self"], ratio, GOAL,
                         "" if ratio >= GOAL else ", NOT REACHED"), flush=True)
    counted = int(relay.communicate("quit\n", timeout=20)[0].split()[0])
    good = counted == sent
    passed, failed = passed + good, failed + (not good)
    print("%s - every datagram was relayed: %d of %d" % ("ok" if good else "FAILED", counted, sent))
    print("datagrams: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
