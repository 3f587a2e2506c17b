"""A separate machine for installations: a root directory with an overlay in memory, in its own mount and process
namespaces. All that is written, installed or started in it is removed with it."""

import os
import signal
import subprocess

# $1 the folder of the layer, $2 the root directory, then pairs of a folder and its place in the root.
# The root is made the root of the mount namespace by pivot_root: in a chroot, user namespaces are not permitted.
SET_UP = """
scratch=$1 lower=$2
shift 2
mount -t tmpfs layer "$scratch" && cd "$scratch" && mkdir upper work root
mount -t overlay -o lowerdir="$lower",upperdir=upper,workdir=work layer root
mount -t proc proc root/proc && mount --rbind /dev root/dev
mount -t tmpfs -o mode=755 run root/run
mkdir -p root/run/sshd root/desk root/outside
while [ $# -gt 0 ]; do
    mount --bind "$1" "root$2"
    shift 2
done
cd root
pivot_root . outside
cd /
umount -l outside
rmdir outside
echo up
exec sleep infinity
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    def __init__(self, scratch, lower="/", binds=()):
        os.makedirs(scratch, exist_ok=True)
        self.outer = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
             "sh", "-ec", SET_UP, "sh", scratch, lower, *(word for pair in binds for word in pair)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        if self.outer.stdout.readline() != b"up\n":
            self.close()
            raise RuntimeError("no private root: unshare or mount failed")
        with open("/proc/%d/task/%d/children" % (self.outer.pid, self.outer.pid),
                  encoding="ascii") as f:
            self.pid = int(f.read().split()[0])

    def close(self):
        """Kills the first process of its namespace. All other processes and the mounts end with it."""
        self.outer.kill()
        self.outer.wait()

    def enter(self):
        """The words before a command that run it in the machine."""
        return ["nsenter", "--target", str(self.pid), "--mount", "--pid"]

    def execute(self, command, seconds, data):
        """Runs a command: (exit status, stdout, stderr). If it takes too long, its process group is killed: -1."""
        process = subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL)
        try:
            out, err = process.communicate(data, timeout=seconds)
            return process.returncode, out, err
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            return -1, out, err + b"[killed after %d s]" % seconds

    def run(self, command, env=None, seconds=180, data=None, cwd="/desk", **where):
        """Runs a command in the machine, without the environment of this process."""
        words = ["%s=%s" % pair for pair in
                 dict({"PATH": PATH, "HOME": "/root", "TERM": "dumb"}, **(env or {})).items()]
        inside = self.enter() + ["env", "-i", "--chdir=" + cwd] + words
        return self.execute(inside + command, seconds, data, **where)

    def script(self, text, **options):
        """Runs a shell script, which ends at the first failure."""
        return self.run(["bash", "-e", "-o", "pipefail", "-c", text], **options)

    def must(self, text, **options):
        status, out, err = self.script(text, **options)
        assert status == 0, "%s\nstatus %s\n%s%s" % (text, status, out.decode(errors="replace")[-4000:],
                                                    err.decode(errors="replace")[-4000:])
        return out.decode(errors="replace")

    def write(self, path, text, mode=0o644):
        """Writes a file in the overlay. Missing folders are made."""
        data = text if isinstance(text, bytes) else text.encode()
        status, _, err = self.run(["sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1"',
                                   "sh", path, "%o" % mode], data=data)
        assert status == 0, err
