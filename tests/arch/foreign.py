#!/usr/bin/python3
"""Runs a command in a root of another architecture: foreign.py ROOT [FROM:TO ...] -- COMMAND [WORD ...]

The folder FROM appears as TO in the root; /proc, /dev and /sys appear there too. The command has its own mount
namespace. If the kernel cannot run the programs of the root, qemu-user-static runs them through binfmt_misc, so that
programs can execute other programs. The registration belongs to the command's own user namespace and ends with it.
Before Linux 6.7 there is one binfmt_misc for the whole machine: there the registration exists while the command runs.

The user namespace has the same users. root has all privileges over the mounts and none over the network namespace
that it is started in."""

import ctypes
import os
import re
import subprocess
import sys

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_BINFMT = "/proc/sys/fs/binfmt_misc"
# By the machine number of an ELF file.
QEMU = {3: "i386", 40: "arm", 183: "aarch64"}
LOADERS = ("lib/ld-linux.so.2", "lib/ld-linux-armhf.so.3", "lib/ld-linux-aarch64.so.1")


def _check(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, "%s: %s" % (what, os.strerror(error)))


def _mount(source, target, kind, flags=0):
    _check(_libc.mount(source.encode(), target.encode(), kind and kind.encode(), flags, None),
           "mount " + target)


def loader(root):
    """The dynamic loader of the root's architecture."""
    return next(p for p in (os.path.join(root, name) for name in LOADERS) if os.path.exists(p))


def runs_here(root):
    """Whether the kernel can run the programs of the root, by itself or by an existing registration."""
    try:
        return subprocess.run([loader(root), "--version"], check=False, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def _registration(root, name):
    """The line for binfmt_misc. It matches executables and shared objects with the class and machine of the loader. The
    interpreter is opened at registration (F), so that it need not be in the root. argv[0] is preserved (P)."""
    with open(loader(root), "rb") as f:
        head = f.read(20)
    machine = int.from_bytes(head[18:20], "little")
    magic = head[:7] + bytes(9) + b"\2\0" + head[18:20]
    mask = b"\xff" * 7 + bytes(1) + b"\xff" * 8 + b"\xfe\xff\xff\xff"

    def escaped(octets):
        return "".join("\\x%02x" % octet for octet in octets)
    return ":%s:M::%s:%s:/usr/bin/qemu-%s-static:OPF" % (name, escaped(magic), escaped(mask),
                                                      QEMU[machine])


def _register(root, name):
    with open(_BINFMT + "/register", "w", encoding="ascii") as f:
        f.write(_registration(root, name))


class Machine:
    """The registration in the machine's binfmt_misc."""

    def __init__(self, root):
        self.root, self.name = root, "socksify-%d" % os.getpid()

    def __enter__(self):
        # The mount is private to this process, the registration is not.
        _check(_libc.unshare(_CLONE_NEWNS), "unshare")
        _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
        _mount("binfmt_misc", _BINFMT, "binfmt_misc")
        for name in os.listdir(_BINFMT):  # registrations of killed runs
            pid = re.fullmatch(r"socksify-(\d+)", name)
            if pid and not os.path.exists("/proc/" + pid.group(1)):
                self._remove(name)
        _register(self.root, self.name)

    def __exit__(self, *_):
        self._remove(self.name)

    @staticmethod
    def _remove(name):
        with open("%s/%s" % (_BINFMT, name), "w", encoding="ascii") as f:
            f.write("-1")


def _identity(name):
    """A map that gives all IDs the same value inside and outside."""
    with open("/proc/self/" + name, encoding="ascii") as f:
        return "".join("%s %s %s\n" % (inside, inside, count)
                       for inside, _, count in (line.split() for line in f))


def _private_binfmt():
    """Whether a user namespace has a binfmt_misc of its own."""
    pid, maps_written = _in_user_namespace()
    if pid == 0:
        maps_written()
        try:
            _mount("binfmt_misc", _BINFMT, "binfmt_misc")
            os._exit(0)
        except OSError:
            os._exit(1)
    maps_written()
    return os.waitpid(pid, 0)[1] == 0


def _in_user_namespace():
    """fork() into new user and mount namespaces. Both processes must call the second result."""
    unshared, written = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
        os.write(unshared[1], b".")

        def wait():
            os.close(written[1])
            os.read(written[0], 1)
            os.setuid(0)
            os.setgid(0)
        return 0, wait

    def write():
        os.read(unshared[0], 1)
        for name in ("uid_map", "gid_map"):
            text = _identity(name)
            with open("/proc/%d/%s" % (pid, name), "w", encoding="ascii") as f:
                f.write(text)
        os.write(written[1], b".")
        for end in unshared + written:
            os.close(end)
    return pid, write


def _enter(root, binds):
    """Moves this process into the root for good."""
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount(root, root, None, _MS_BIND)  # a namespace of socksify needs a root directory that is a mount point
    for source, target in [("/proc", "proc"), ("/dev", "dev"), ("/sys", "sys")] + binds:
        place = os.path.join(root, target.lstrip("/"))
        _mount(source, place, None, _MS_BIND | _MS_REC)
    os.chroot(root)
    os.chdir("/")


def _child(root, binds, command, before=lambda: None):
    try:
        before()
        _enter(root, binds)
        os.execvp(command[0], command)
    except OSError as e:
        print("foreign: %s" % e, file=sys.stderr)
    os._exit(125)


def main(root, binds, command):
    if not runs_here(root):
        if _private_binfmt():
            pid, maps_written = _in_user_namespace()

            def before():
                maps_written()
                _mount("binfmt_misc", _BINFMT, "binfmt_misc")
                _register(root, "socksify")
            if pid == 0:
                _child(root, binds, command, before)
            maps_written()
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with Machine(root):
            return _apart(root, binds, command)
    return _apart(root, binds, command)


def _apart(root, binds, command):
    pid = os.fork()
    if pid == 0:
        _child(root, binds, command, lambda: _check(_libc.unshare(_CLONE_NEWNS), "unshare"))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    _words = sys.argv[1:sys.argv.index("--")]
    _status = main(os.path.realpath(_words[0]), [w.split(":") for w in _words[1:]],
                   sys.argv[sys.argv.index("--") + 1:])
    sys.exit(_status if _status >= 0 else 128 - _status)  # ended by a signal: the status that shells report
