"""Test runs do not affect each other and leave nothing behind, even if they are killed (isolated.py)."""

import os
import pwd
import signal
import subprocess
import sys
import time

ISOLATED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "isolated.py")
MAKES = """
ip netns add isolated-probe
ip link add probe0 netns isolated-probe type veth peer name probe1 netns isolated-probe
useradd -M isolated-probe
mount -t tmpfs probe /mnt
setsid ip netns exec isolated-probe sleep %d &
echo up
exec sleep 600
"""
SECONDS = 100000 + os.getpid() % 100000  # identifies the process


def begun():
    process = subprocess.Popen([sys.executable, ISOLATED, "sh", "-ec", MAKES % SECONDS],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    return process


def left_over():
    """What the run made that is visible from outside."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                if f.read() == b"sleep\0%d\0" % SECONDS:
                    found.append("process " + pid)
        except OSError:
            pass
    names = subprocess.run(["ip", "netns", "list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found += ["namespace"] * ("isolated-probe" in names)
    with open("/proc/self/mounts", encoding="utf-8") as f:
        found += ["mount"] * ("probe /mnt" in f.read())
    try:
        pwd.getpwnam("isolated-probe")
        found.append("user")
    except KeyError:
        pass
    return found


def awaited(kinds):
    """Waits up to 30 s until exactly KINDS are visible. Returns whether that happened."""
    until = time.monotonic() + 30
    while [what.split()[0] for what in left_over()] != kinds:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def test_two_runs_at_once_do_not_affect_each_other():
    runs = [begun(), begun()]
    assert awaited(["process", "process"])
    for process in runs:
        assert process.poll() is None
        process.terminate()
        process.wait(30)
    assert awaited([])


def test_a_killed_run_leaves_nothing():
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = begun()
        assert awaited(["process"])
        process.send_signal(number)
        process.wait(30)
        assert awaited([])


def test_the_exit_status_is_that_of_the_command():
    for script, status in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)):
        assert subprocess.run([sys.executable, ISOLATED, "sh", "-c", script], check=False).returncode == status
