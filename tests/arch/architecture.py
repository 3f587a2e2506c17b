"""Builds for other architectures and runs the results. Each architecture has a root with a libc, curl and headers
(root.sh) and a cross build in the folder build-ARCHITECTURE. Its programs run on the client of the bed of tests/e2e
(bed.py), by qemu if the kernel cannot run them (foreign.py)."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
for _folder in (HERE, TOP + "/tests/e2e", TOP + "/tests/structure"):
    if _folder not in sys.path:
        sys.path.insert(0, _folder)
import bed
import foreign
import servers

PACKAGES = ["libconfuse-dev", "libconfuse2", "libkrb5-dev", "libmnl-dev", "libnftnl-dev", "libnetfilter-queue-dev",
            "curl", "dash", "coreutils"]
# Debian's name: release, the compiler's name, Debian's name of its folders, meson's CPU family, and
# whether there are two widths of time_t.
ARCHITECTURES = {
    "i386": ("trixie", "i686-linux-gnu", "i386-linux-gnu", "x86", True),
    "armhf": ("trixie", "arm-linux-gnueabihf", "arm-linux-gnueabihf", "arm", True),
    "arm64": ("trixie", "aarch64-linux-gnu", "aarch64-linux-gnu", "aarch64", False),
}
TIME32 = ["-U_TIME_BITS", "-U_FILE_OFFSET_BITS"]
TIME64 = TIME32 + ["-D_TIME_BITS=64", "-D_FILE_OFFSET_BITS=64"]
# With --sysroot, a folder that pkg-config names for headers is the compiler's own, and comes after that of its libc.
CROSS_FILE = """[binaries]
c = [%(compiler)s, '--sysroot=%(root)s']
ar = '%(prefix)s-ar'
strip = '%(prefix)s-strip'
pkgconfig = 'pkg-config'
[properties]
sys_root = '%(root)s'
pkg_config_libdir = ['%(root)s/usr/lib/%(folder)s/pkgconfig', '%(root)s/usr/share/pkgconfig']
[host_machine]
system = 'linux'
cpu_family = '%(family)s'
cpu = '%(family)s'
endian = 'little'
"""


@contextlib.contextmanager
def locked(path):
    """Runs the block under a lock, so that workers and runs execute it one after another."""
    with open(path, "w", encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def finished(command, **options):
    """Runs COMMAND and returns its output. If it fails, the output is in the assertion message."""
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)
    assert done.returncode == 0, "%s: %s" % (" ".join(command), done.stdout[-4000:])
    return done.stdout


class Arch:
    """A root and a build of one architecture. In the root the build is at /mnt/build and programs compiled for a test
    are at /mnt/programs."""

    def __init__(self, name, programs):
        self.name, self.programs = name, programs
        self.release, self.prefix, self.folder, self.family, self.two_widths = ARCHITECTURES[name]
        self.build = "%s/build-%s" % (TOP, name)
        self.compiler = (["ccache"] if shutil.which("ccache") else []) + [self.prefix + "-gcc"]
        self.root = finished([HERE + "/root.sh", self.release, name, *PACKAGES]).splitlines()[-1]
        for folder in ("build", "programs"):
            os.makedirs("%s/mnt/%s" % (self.root, folder), exist_ok=True)
        # Without qemu, which has neither seccomp filters nor network namespaces. Some kernels do not run i386 programs.
        self.native = name == "i386" and foreign.runs_here(self.root)
        with locked(os.path.dirname(self.root) + "/lock-build-" + name):
            self._make()

    def _make(self):
        configured = self.build + "/cross.ini"
        text = CROSS_FILE % {"compiler": ", ".join(map(repr, self.compiler)), "prefix": self.prefix,
                             "root": self.root, "folder": self.folder, "family": self.family}
        before = open(configured, encoding="utf-8").read() if os.path.exists(configured) else ""
        if text != before or not os.path.exists(self.build + "/build.ninja"):
            shutil.rmtree(self.build, ignore_errors=True)
            os.mkdir(self.build)
            with open(configured, "w", encoding="utf-8") as f:
                f.write(text)
            finished(["meson", "setup", self.build, TOP, "--cross-file", configured, "-Dwerror=true",
                      "-Dtests=disabled"])
        finished(["ninja", "-C", self.build, "-k", "0"])

    def compile(self, source, name, flags=()):
        """Compiles a program of this project for the root. Its path is /mnt/programs/NAME."""
        finished([*self.compiler, "-std=gnu11", "-Wall", "-Wextra", "-O1", "-D_GNU_SOURCE",
                  "%s/%s" % (TOP, source), "-o", "%s/%s" % (self.programs, name), "-pthread", *flags])
        return "/mnt/programs/" + name

    def run(self, command, ns=bed.CLIENT, **env):
        """Runs a command in the root, in a namespace of the bed: (status, stdout, stderr)."""
        words = ["ip", "netns", "exec", ns, "/usr/bin/python3", HERE + "/foreign.py", self.root,
                 self.build + ":/mnt/build", self.programs + ":/mnt/programs", "--", *command]
        env = dict({"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp"}, **env)
        process = subprocess.Popen(words, env=env, start_new_session=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err += b"[killed after 300 s]"
        return process.returncode, out.decode(), err.decode(errors="replace")

    def covered(self, command, port=servers.DANTED, options=()):
        fence = [] if self.native else ["--no-fence"]
        return self.run(["/mnt/build/tools/socksify", *fence, *options, "-x",
                         "socks5h://%s:%d" % (bed.PROXY4, port), "--", *command])

    def fine(self, *words, **options):
        status, out, err = self.covered(*words, **options)
        assert status == 0, "status %d: %s%s" % (status, out, err)
        return out
