#!/usr/bin/python3
"""Boots a stock kernel of Debian in a virtual machine, and runs tests/kernels/guest.sh there:
boot.py KERNEL-ROOT ROOT RESULTS [OPTION OF PYTEST...]

KERNEL-ROOT is a root directory with the package linux-image-amd64, ROOT one with the programs of the tests
(tests/peer/debian_root.sh makes both). The project's folder has the same path in the guest, with build-kernels and
without other builds. The guest has no network. What it stores in /results is in the folder RESULTS afterwards, with
its console (console.log). The last line of output is "VERSION ACCELERATOR". The status is 0 if the guest ran guest.sh
to its end and all tests passed.

The guest has three disks: the root, the project with the kernel's modules, and a tar file of the results. An initramfs
with busybox mounts them. KVM is used where it works. Where it cannot be opened, or the kernel does not start with it,
qemu emulates the processor (TCG). That takes about ten times as long, so guest.sh then leaves out the tests that are
declared slow and those of the preload object, and runs those that exist for each program with two programs only."""

import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, ".."))
from isolated import CACHE  # noqa: E402

MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")  # that mount the disks
STARTED = b"guest: the kernel has started"
PASSED = b"guest: ended with status 0"
# By accelerator: the kind and number of processors, and the seconds until the kernel must have started and the guest
# must have ended. An emulated processor sees too late that another one has changed code: with two, the kernel crashes
# when it changes its own ("Oops: int3" in a static branch).
ACCELERATORS = {"kvm": ("host", min(os.cpu_count(), 4), 60, 1800), "tcg": ("max", 1, 300, 7200)}
MEBIBYTES = 3072


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def make_image(path, folder, size):
    """An ext4 file system of SIZE with the files of FOLDER."""
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", folder, path, size], check=True,
                   stdout=subprocess.DEVNULL)


def copy_tree(source, target, *more):
    """Copies the files of the folder SOURCE. MORE: options of tar."""
    os.makedirs(target)
    reader = subprocess.Popen(["tar", "-C", source, "-cf", "-", *more, "."], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-C", target, "-xf", "-"], stdin=reader.stdout, check=True)
    if reader.wait():
        raise RuntimeError("tar: status %d" % reader.returncode)


def make_project(path, kernel, options, work):
    """The disk with the project, its build for the guest, what programs.py made, the kernel's modules, and the OPTIONS
    of pytest."""
    copy_tree(TOP, work + "/disk/project", "--exclude=./build*", "--exclude=./.git", "--exclude=__pycache__")
    copy_tree(TOP + "/build-kernels", work + "/disk/project/build-kernels")
    copy_tree(CACHE + "/guest", work + "/disk/cache")
    copy_tree(kernel + "/lib/modules", work + "/disk/modules")
    with open(work + "/disk/options", "w") as f:
        f.write("".join(option + "\n" for option in options))
    make_image(path, work + "/disk", "4G")


def module_files(kernel, version):
    """The files of MODULES and of those that they depend on, in the order of loading."""
    files = []
    for module in MODULES:
        done = subprocess.run(["chroot", kernel, "modprobe", "-S", version, "--show-depends", module], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if done.returncode and module != "crc32c_generic":  # which later kernels do not have
            raise RuntimeError("no module " + module)
        files += [line.split()[1] for line in done.stdout.splitlines() if line.startswith("insmod ")]
    return list(dict.fromkeys(files))


def make_initramfs(path, kernel, version, root, work):
    folder = work + "/initramfs"
    for name in ("bin", "modules", "dev", "proc", "root"):
        os.makedirs("%s/%s" % (folder, name))
    shutil.copy(root + "/bin/busybox", folder + "/bin/busybox")  # busybox-static
    shutil.copy(HERE + "/init.sh", folder + "/init")
    os.chmod(folder + "/init", 0o755)
    for number, name in enumerate(module_files(kernel, version)):
        with (lzma.open if name.endswith(".xz") else open)(kernel + name, "rb") as f:
            data = f.read()
        with open("%s/modules/%02d.ko" % (folder, number), "wb") as f:
            f.write(data)
    files = "".join(os.path.relpath(os.path.join(at, name), folder) + "\n"
                    for at, folders, names in os.walk(folder) for name in folders + names)
    with open(path, "wb") as f:
        subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], input=files.encode(), stdout=f, cwd=folder, check=True,
                       stderr=subprocess.DEVNULL)


def command(accelerator, kernel, version, work):
    drives = [word for name in ("root", "project", "results") for word in (
        "-drive", "if=virtio,format=raw,cache=unsafe,file=%s/%s.img" % (work, name))]
    kind, processors, *_ = ACCELERATORS[accelerator]
    return ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", accelerator,
            "-cpu", kind, "-smp", str(processors), "-m", str(MEBIBYTES),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "file:%s/console.log" % work,
            "-kernel", "%s/boot/vmlinuz-%s" % (kernel, version), "-initrd", work + "/initramfs.img", *drives,
            "-append", "console=ttyS0 panic=-1 loglevel=4 project=%s%s" % (TOP, " emulated" * (accelerator == "tcg"))]


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


def boot(accelerator, words, work):
    """Runs the guest until it has ended. Returns whether the kernel started."""
    *_, until_started, until_ended = ACCELERATORS[accelerator]
    begun, started = time.monotonic(), False
    with open(work + "/qemu.log", "wb") as log, subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log,
                                                                 stderr=log) as qemu:
        try:
            while qemu.poll() is None:
                started = started or STARTED in read(work + "/console.log")
                passed = time.monotonic() - begun
                if passed > (until_ended if started else until_started):
                    print("%s: ended after %d s" % (accelerator, passed))
                    break
                if not started and b"KVM internal error" in read(work + "/qemu.log"):
                    print("%s: the kernel does not start" % accelerator)
                    break
                time.sleep(0.5)
        finally:
            qemu.kill()
    return started or STARTED in read(work + "/console.log")


def unpack(work, results):
    os.makedirs(results, exist_ok=True)
    shutil.copy(work + "/console.log", results)
    with tarfile.open(work + "/results.img") as tar:
        for member in tar:
            if member.isfile() and "/" not in member.name.removeprefix("./"):
                with tar.extractfile(member) as source, open(os.path.join(results, os.path.basename(member.name)),
                                                             "wb") as target:
                    shutil.copyfileobj(source, target)


def run(work, kernel, root, results, *options):
    version, = os.listdir(kernel + "/lib/modules")
    make_image(work + "/root.img", root, "8G")
    make_project(work + "/project.img", kernel, options, work)
    make_initramfs(work + "/initramfs.img", kernel, version, root, work)
    with open(work + "/results.img", "wb") as f:
        f.truncate(64 << 20)
    for accelerator in ACCELERATORS:
        open(work + "/console.log", "wb").close()
        if boot(accelerator, command(accelerator, kernel, version, work), work):
            break
        print(read(work + "/qemu.log").decode(errors="replace")[:1000])
    console = read(work + "/console.log")
    print(console.decode(errors="replace").replace("\r", ""))
    unpack(work, results)
    print(version, accelerator)
    return 0 if PASSED in console else 1


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.makedirs(CACHE, exist_ok=True)
    work = tempfile.mkdtemp(prefix="guest.", dir=CACHE)
    try:
        return run(work, *sys.argv[1:])
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
