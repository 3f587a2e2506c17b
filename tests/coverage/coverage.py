#!/usr/bin/python3
"""Line coverage: runs all unit tests and a selection of the end-to-end tests in a build with -Db_coverage=true, and
compares the coverage of each folder with its minimum. Prints the lines that are excluded."""

import argparse
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
# Lines that are not covered are mostly single lines for failing system calls and full tables.
FLOORS = {"libsocks5client": 95.0, "preload": 90.0}
# SKIP leaves out slow tests that execute no additional lines, and tests that such a build cannot pass: it writes its
# counts with system calls, and needs a writable folder and no limit on file sizes (every later program complains about
# truncated files).
MODULES = ("apps", "basics", "servers", "names", "lookups", "logs", "udp", "udp_odd", "hostile", "kernel_says",
           "isolation", "bind", "bind_callers", "bind_hostile", "covering", "gssapi", "datagrams", "memory",
           "library", "unix", "soak", "torture", "torture_gss", "injection", "left", "passing", "pointers",
           "unseen", "waits", "fence", "starts", "plugins", "rare_lookups", "relay", "packet_options", "raw_sockets")
SKIP = ("thousand", "iperf3", "20 MB", "no system call is added", "a file that cannot be read",
        "a limit on file sizes", "injected and executed", "memory and inside", "soak and inside",
        "GSSAPI and inside", "sandbox of bwrap", "in another root is refused", "hooks in the program",
        "makes no additional system call")


def unit(build):
    """Names of the unit tests that failed."""
    failed = []
    for path in sorted(glob.glob(build + "/tests/unit/test_*")):
        if os.access(path, os.X_OK) and os.path.isfile(path):
            done = subprocess.run([path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
            if done.returncode:
                failed.append(os.path.basename(path))
    return failed


def e2e(build):
    """The result lines of the tests that failed. All variants use this build: the programs themselves and those with the
    hooks linked in. (The path of the builds is in the same argument as its option, because pytest looks for its
    configuration near the first path in its arguments.)"""
    with tempfile.TemporaryDirectory() as builds:
        os.chmod(builds, 0o755)
        for name in ("build", "build-sanitize"):
            os.symlink(build, builds + "/" + name)
        done = subprocess.run(
            ["/usr/bin/python3", "-m", "pytest", "-q", "-n", "4", "--builds=" + builds, "--as", "asan=plain",
             "--as", "tsan=plain", "-k", "not (%s)" % " or ".join("(%s)" % words.replace(" and ", " ").replace(" ", " and ")
                                            for words in SKIP),
             *["%s/tests/e2e/test_%s.py" % (TOP, m) for m in MODULES]],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=2400, text=True, cwd=TOP,
            env=dict(os.environ, COLUMNS="300"))  # pytest cuts the reasons at this width
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return failed or ([done.stdout[-500:]] if done.returncode else [])


def measured(build):
    """{file: (lines, executed lines, numbers of the other lines)}. Where a signal handler jumped, counts of branches do
    not add up, and gcov prints a negative count, which gcovr reports as an error."""
    found = subprocess.run(["gcovr", "-r", TOP, "--object-directory", build, "-j", "2", "--gcov-ignore-parse-errors",
                            "--json", "-"]
                           + ["-f=%s/" % folder for folder in FLOORS], cwd=TOP, check=True, timeout=600,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    files = {}
    for f in json.loads(found.stdout)["files"]:
        lines = [x for x in f["lines"] if not x.get("gcovr/noncode") and not x.get("gcovr/excluded")]
        missing = [x["line_number"] for x in lines if not x["count"]]
        files[f["file"]] = len(lines), len(lines) - len(missing), missing
    return files


def ranges(numbers):
    """1, 2, 3, 7 as "1-3 7"."""
    parts = []
    for n in numbers:
        if parts and parts[-1][1] == n - 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return " ".join(str(a) if a == b else "%d-%d" % (a, b) for a, b in parts)


def excluded():
    """The lines that markers exclude, each with the reason given in the marker."""
    for folder in FLOORS:
        for path in sorted(glob.glob("%s/%s/**/*.[ch]" % (TOP, folder), recursive=True)):
            with open(path, encoding="utf-8") as f:
                for at, line in enumerate(f, 1):
                    if marker := re.search(r"GCOV_EXCL_(LINE|START)\W*(.*?)\W*$", line):
                        yield os.path.relpath(path, TOP), at, marker[2]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", default="build-coverage")
    options.add_argument("--again", action="store_true", help="keep the counts of earlier runs")
    options.add_argument("--show", action="store_true", help="only print the results of the existing counts")
    args = options.parse_args()
    build, results = os.path.abspath(args.build), []

    def count(good, what):
        results.append(good)
        print("%s - %s" % ("ok" if good else "FAILED", what), flush=True)

    if not args.again and not args.show:
        for path in glob.glob(build + "/**/*.gcda", recursive=True):
            os.unlink(path)
    if not args.show:
        os.umask(0)  # root and the ordinary user both write counts
        subprocess.run(["chmod", "-R", "a+rwX", build], check=True)
        for what, run in (("units", unit), ("end to end", e2e)):
            wrong = run(build)
            count(not wrong, "run: %s%s" % (what, "".join("\n    " + w[:300] for w in wrong)))
    files = measured(build)
    for name, (lines, run, missing) in sorted(files.items()):
        print("%-44s %4d lines %5.1f %%  %s" % (name, lines, 100 * run / lines if lines else 100,
                                              ranges(missing)))
    for name, at, why in excluded():
        print("excluded: %s:%d: %s" % (name, at, why))
        if not why:
            count(False, "a marker without a reason")
    for folder, floor in FLOORS.items():
        lines = sum(f[0] for name, f in files.items() if name.startswith(folder))
        run = sum(f[1] for name, f in files.items() if name.startswith(folder))
        share = 100 * run / max(lines, 1)
        count(share >= floor, "%s: %d of %d lines, %.1f %%, at least %.1f" % (folder, run, lines, share,
                                                                            floor))
    print("coverage: %d passed, %d failed" % (results.count(True), results.count(False)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
