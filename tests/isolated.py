#!/usr/bin/python3
"""Runs a command in mount and process namespaces of its own: isolated.py COMMAND [ARGUMENT...]

Whatever the command makes is gone when it ends, also when it is killed: its processes, its mounts, the
network namespaces it names (/run/netns is its own) and the links between them, and the users and files it
adds to /etc. Two runs at the same time do not see each other's. The network is the machine's.

There are three processes. The first one is the caller's: it waits, and passes SIGTERM on. The second one
is the init of the process namespace: it reaps what is orphaned. It is killed with the first one, and the
kernel kills the rest with it. The third one is the command. Its exit status is returned."""

import ctypes
import os
import signal
import subprocess
import sys

MARK = "SOCKSIFY_TESTS_ISOLATED"
_CLONE_NEWNS, _CLONE_NEWPID = 0x20000, 0x20000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, "%s: %s (end-to-end tests need root)" % (what, os.strerror(error)))


def _mount(*words):
    subprocess.run(["mount", *words], check=True)


def _mounts():
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "mount")
    _mount("-t", "proc", "proc", "/proc")
    os.makedirs("/run/netns", exist_ok=True)
    _mount("-t", "tmpfs", "-o", "mode=755", "netns", "/run/netns")
    # The upper layer of /etc lives in a file system of its own, which needs no name once it is used.
    _mount("-t", "tmpfs", "-o", "mode=755", "layer", "/mnt")
    os.mkdir("/mnt/upper")
    os.mkdir("/mnt/work")
    _mount("-t", "overlay", "-o", "lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work", "etc", "/etc")
    subprocess.run(["umount", "-l", "/mnt"], check=True)


def _init(command):
    """The first process of the namespace."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _mounts()
    pid = os.fork()
    if pid == 0:
        os.execvpe(command[0], command, dict(os.environ, **{MARK: "1"}))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command has it from the terminal
    while True:
        ended, status = os.wait()
        if ended == pid:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF if os.WIFEXITED(status)
                     else 128 + os.WTERMSIG(status))


def run(command):
    """Runs COMMAND to its end and returns its exit status."""
    _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWPID), "unshare")
    pid = os.fork()
    if pid == 0:
        try:
            _init(command)
        except BaseException as e:
            print("isolated: %s" % e, file=sys.stderr)
        finally:
            os._exit(125)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def enter():
    """Runs this program again in namespaces of its own, unless it is in them already."""
    if MARK not in os.environ:
        sys.exit(run([sys.executable, *sys.argv]))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
