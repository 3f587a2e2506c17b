#!/usr/bin/python3
"""Runs a command in its own mount and process namespaces: isolated.py COMMAND [ARGUMENT...]

Everything that the command makes is removed when it ends, even if it is killed: its processes, its mounts, the
network namespaces that it names (it has its own /run/netns) and the links between them, and the users and files
that it adds to /etc. Two runs at the same time do not see what the other one made. The network is the machine's.

There are three processes. The first one is the caller's: it waits and forwards SIGTERM. The second one is the init
of the process namespace: it reaps orphaned processes. It is killed with the first one, and the kernel then kills
all others in the namespace. The third one is the command. Its exit status is returned."""

import ctypes
import os
import re
import signal
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "socksify-tests")
MARK = "SOCKSIFY_TESTS_ISOLATED"
_CLONE_NEWNS, _CLONE_NEWPID = 0x20000, 0x20000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, "%s: %s (end-to-end tests need root)" % (what, os.strerror(error)))


def _mount(*words):
    subprocess.run(["mount", *words], check=True)


def _layer(folder):
    """Mounts a layer on FOLDER: what is written below it stays in memory, and every user may enter it. The layer is a
    file system of its own, which needs no mount point once it is in use."""
    _mount("-t", "tmpfs", "-o", "mode=755", "layer", "/mnt")
    os.mkdir("/mnt/upper", 0o755)
    os.mkdir("/mnt/work")
    _mount("-t", "overlay", "-o", "lowerdir=%s,upperdir=/mnt/upper,workdir=/mnt/work"
           % re.sub(r"([\\,:])", r"\\\1", folder), "layer", folder)
    subprocess.run(["umount", "-l", "/mnt"], check=True)


def _open_way(top, kept):
    """Lets the tests' ordinary user reach the folder TOP even if other users may not enter a folder above it, for
    example /root. That folder gets a layer. TOP and the folders KEPT are bind-mounted below it unchanged."""
    parts = top.split("/")[1:]
    shut = [at for at in ("/" + "/".join(parts[:n]) for n in range(1, len(parts)))
            if not os.stat(at).st_mode & 0o001]
    if not shut:
        return
    held = [(path, os.open(path, os.O_PATH)) for path in [top] + kept
            if path.startswith(shut[0] + "/") and os.path.isdir(path)]
    _layer(shut[0])
    for at in shut:
        os.chmod(at, 0o755)
    for path, fd in held:
        _check(_libc.mount(b"/proc/self/fd/%d" % fd, path.encode(), None, _MS_BIND, None), "mount")
        os.close(fd)


def _mounts():
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "mount")
    _mount("-t", "proc", "proc", "/proc")
    os.makedirs("/run/netns", exist_ok=True)
    _mount("-t", "tmpfs", "-o", "mode=755", "netns", "/run/netns")
    # A copy, not a layer: where the machine's root already has two layers, the kernel allows no third.
    _mount("-t", "tmpfs", "-o", "mode=755", "etc", "/mnt")
    subprocess.run(["cp", "-a", "/etc/.", "/mnt"], check=True)
    _mount("--move", "/mnt", "/etc")
    _open_way(TOP, [CACHE])


def _init(command):
    """The first process of the namespace."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _mounts()
    pid = os.fork()
    if pid == 0:
        os.execvpe(command[0], command, dict(os.environ, **{MARK: "1"}))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the command
    while True:
        ended, status = os.wait()
        if ended == pid:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF if os.WIFEXITED(status)
                     else 128 + os.WTERMSIG(status))


def run(command):
    """Runs COMMAND, waits until it ends, and returns its exit status."""
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
    """Runs this program again in its own namespaces, unless it is already in them."""
    if MARK not in os.environ:
        sys.exit(run([sys.executable, *sys.argv]))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
