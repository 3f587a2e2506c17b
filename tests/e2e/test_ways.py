"""The ways past the proxy (tests/ways): each of them sends a packet when it is run bare, and sends none, or is known to
be open, when it is covered. The verdicts are in tests/ways/ways.tsv, and docs/WAYS.md is made of them."""

import os
import signal
import subprocess
import sys

import bed
import ways
from world import PLAIN, test

sys.path.insert(0, os.path.join(bed.HERE, "..", "ways"))
import catalogue

TITLES = {
    "bare": "ways: each way sends a packet when it is run bare",
    "hooks": "ways: with the hooks alone the ways are closed but for those that are known to be open",
    "fence": "ways: with the fence the ways are closed",
    "no-companion": "ways: with the fence and without a companion the ways are closed",
}


# What a kernel or a C library may lack. Such a way may be missing, or closed, on another machine.
MAY_LACK = ("vsock_", "ring_", "packet_xdp", "packet_old", "bpf_", "mptcp", "udplite", "tun_", "int80_", "rpc_", "exec_i386",
            "changed_root_user", "io_submit", "pidfd_", "spawn_pidfd", "segment_route", "name_res_get", "name_nss_dns",
            "netlink_", "ioctl_")


def program(w):
    return w.build + "/tests/ways/ways"


def is_excused(row, verdict, column):
    """Whether the verdict differs from the table because this machine lacks what the machine of the table has, or has
    what that machine lacked, or because a race was not lost this time."""
    if column == "bare" and row["bare"] == catalogue.MISSING:
        return True
    if column != "bare" and row["name"] in catalogue.RACES:
        return verdict != catalogue.OPEN
    return row["name"].startswith(MAY_LACK) and verdict != catalogue.OPEN


def made_no_call(run):
    """Whether the processor or the kernel has no 32-bit system calls, so that the kernel refused nothing."""
    return run.name.startswith(MAY_LACK) and (run.status == -signal.SIGSEGV or "ENOEXEC" in run.said)


def check(w, mode):
    """Runs all ways in MODE and compares the verdicts with the table."""
    column = "fence" if mode == "no-companion" else mode
    rows = catalogue.read()
    runs, unknown = ways.measure(w.trap, program(w), ways.covered(w, mode), w.env, catalogue.runs(rows))
    wrong = []
    for row in rows:
        own = [run for run in runs if run.name == row["name"]]
        verdict = catalogue.together(own, None if mode == "bare" else row["bare"])
        if mode == "no-companion" and row["name"] in catalogue.WITHOUT_COMPANION:
            continue
        if verdict != row[column] and not is_excused(row, verdict, column):
            wrong.append("%s is %s, not %s: %s" % (row["name"], verdict, row[column], "; ".join(
                "%s, status %s%s" % (run.said, run.status, run.packet and ", " + run.packet or "") for run in own)))
    if mode == "fence":  # each call that the kernel refuses leaves a line
        refused = {row["name"] for row in rows if row["hooks"] == catalogue.OPEN and row["fence"] == catalogue.CLOSED}
        wrong += ["%s: no log line: %s, status %s" % (run.name, run.said, run.status) for run in runs
                  if run.name in refused - catalogue.RACES and run.verdict == catalogue.CLOSED and not run.lines and
                  not made_no_call(run)]
    wrong += ["a packet without a token: " + packet for packet in sorted(set(unknown))]
    assert not wrong, "\n".join([""] + wrong)


for MODE, TITLE in TITLES.items():
    test(TITLE, on=PLAIN, slow=10, in_chroot=MODE != "bare")(lambda w, mode=MODE: check(w, mode))


@test("ways: the table has every way of the program, and docs/WAYS.md and docs/COMPARISON.md are made of it", on=PLAIN,
      in_chroot=False)
def _(w):
    done = subprocess.run([program(w), "--list"], check=True, stdout=subprocess.PIPE, text=True)
    rows = catalogue.read()
    assert sorted(done.stdout.split()) == sorted(row["name"] for row in rows)
    assert not catalogue.wrong(), catalogue.wrong()
