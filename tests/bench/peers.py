#!/usr/bin/python3
"""Compares this project with a direct connection, with a program that speaks SOCKS5 itself (the floor) and with
proxychains4, tsocks, torsocks and Dante's client, and writes docs/BENCHMARKS.md with its plots. Run it as root, on a
machine with their Debian packages (tests/all installs them).

--quick takes a minute or two and writes nothing to docs. It shows that everything works and that no figure is far from
its target. Both forms check wide bounds, because the machine may be busy. The targets themselves are shown in each
row."""

import argparse
import glob
import os
import sys
import tempfile
import time
import xml.dom.minidom

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import isolated
import contenders
import peerbed  # first: it extends sys.path for the others
import peer_counts
import peer_rows
import report

# The round-trip time in microseconds; rounds; MiB; exchanges; connects; time limit in seconds, for example for 500
# connects at once; datagrams; MiB to protect with GSSAPI; calls to count; starts of
# a command.
FULL = argparse.Namespace(delay=40000, rounds=7, mib=128, pingpongs=5000, connects=1000, time_limit=4,
                          datagrams=10000, sealed=64, calls=9, starts=40)
QUICK = argparse.Namespace(delay=40000, rounds=3, mib=64, pingpongs=2000, connects=300, time_limit=3,
                           datagrams=5000, sealed=0, calls=0, starts=10)
# Bounds for this project that even a busy machine must meet.
BOUNDS = {
    "rtt": 2.6, "rtt-login": 2.6, "first": 3.8, "first-login": 3.8, "up": 0.6, "down": 0.6,
    "pingpong": 1.7, "rate": 0.3, "crowd-fast-n": 500, "crowd-slow-n": 500, "crowd-fast": 6,
    "crowd-slow": 2.5, "longest-fast": 200, "longest-slow": 200, "memory": 130,
    "udp-connected": 0.6, "udp-loose": 0.6, "asked": 0, "exec": 50000, "connect-instructions": 4500,
    "connect-calls": 10, "epoll-instructions": 5000, "epoll-calls": 10, "name-instructions": 6500,
    "stream-calls": 20, "hooked": 20,
}
# The same for the namespace engine.
NAMESPACE_BOUNDS = {
    "rtt": 2.6, "rtt-login": 2.6, "first": 3.8, "first-login": 3.8, "up": 0.15, "down": 0.15, "pingpong": 6,
    "rate": 0.1, "crowd-fast-n": 500, "crowd-slow-n": 500, "crowd-fast": 15, "crowd-slow": 6, "longest-fast": 200,
    "longest-slow": 200, "memory": 2048, "udp-connected": 0.1, "udp-loose": 0.1, "asked": 0, "start": 60,
    "start-again": 25, "start-calls": 1000,
}
LESS_IS_WORSE = {"up", "down", "rate", "crowd-fast-n", "crowd-slow-n", "udp-connected", "udp-loose"}
PEERS = ("proxychains4", "tsocks", "torsocks", "Dante")

def show(row):
    print("%s: %s%s" % (row.title, "; ".join("%s %s" % (n, row.cell(n)) for n in report.NAMES
                                             if row.cell(n)),
                        " [%s]" % row.verdict() if row.target else ""), flush=True)

def checks(rows):
    """(whether the bound is met, its description)"""
    by_key = {row.key: row for row in rows}
    for name, bounds in (("socksify", BOUNDS), ("socksify, namespace", NAMESPACE_BOUNDS),
                         ("socksify, strict", NAMESPACE_BOUNDS)):
        for key, bound in bounds.items():
            if key not in by_key:
                continue
            row = by_key[key]
            figure = row.median(name)
            good = figure is not None and (figure >= bound if key in LESS_IS_WORSE else figure <= bound)
            word = "at least" if key in LESS_IS_WORSE else "at most"
            yield good, "%s, %s: %s, %s %s" % (name, row.title, figure, word, bound)
    for key in ("rtt", "connect-instructions"):
        for name in PEERS:
            figure = by_key[key].median(name)
            ours = by_key[key].median("socksify")
            yield figure is not None and ours is not None and ours < figure, \
                "%s: %s %s, socksify %s" % (by_key[key].title, name, figure, ours)

def plots(folder):
    found = glob.glob(folder + "/benchmarks/*.svg")
    for path in found:
        xml.dom.minidom.parse(path)
    return len(found) == len(report.PLOTS), "%d plots" % len(found)

def main():
    isolated.enter()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"))
    options.add_argument("--quick", action="store_true")
    options.add_argument("--only", help="only the rows of this name, without checks and documents")
    options.add_argument("--output", help="folder for the table and plots",
                         default=os.path.join(HERE, "..", "..", "docs"))
    args = options.parse_args()
    effort, build = QUICK if args.quick else FULL, os.path.abspath(args.build)
    begun, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory() as scratch:
        bed = peerbed.Bed(build, scratch, effort.delay)
        everyone = contenders.everybody(build)
        for row in peer_rows.measured(bed, everyone, effort, args.only):
            rows.append(row)
            show(row)
        if args.only:
            return 0
        if effort.sealed:
            for row in peer_rows.sealed(build, scratch, effort):
                rows.append(row)
                show(row)
        for row in peer_counts.counted(bed, [c for c in everyone if not c.static], effort):
            rows.append(row)
            show(row)
        folder = scratch if args.quick else args.output
        report.write(folder, rows)
        results = list(checks(rows)) + [plots(folder)]
    for good, what in results:
        if not good:
            print("FAILED - " + what)
    passed = sum(1 for good, _ in results if good)
    print("took %.0f s" % (time.monotonic() - begun))
    print("peers: %d passed, %d failed" % (passed, len(results) - passed))
    return 0 if passed == len(results) else 1

if __name__ == "__main__":
    sys.exit(main())
