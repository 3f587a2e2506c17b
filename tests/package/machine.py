"""A machine of its own to install things on: a root directory with a layer of memory above it, in
namespaces for mounts and processes. What is written, installed or started in it is gone with it."""

import os
import signal
import subprocess

# $1 the folder of the layer, $2 the root directory, then pairs of a folder and its place in the root.
# The root becomes that of the mount namespace: in a chroot there could be no user namespaces.
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
        """With the first process of its namespace all the others end, and the mounts go."""
        self.outer.kill()
        self.outer.wait()

    def enter(self):
        """The words in front of a command that is run in it."""
        return ["nsenter", "--target", str(self.pid), "--mount", "--pid"]

    def execute(self, command, seconds, data):
        """(exit status, stdout, stderr) of a command. Killed whole when it takes too long: status -1."""
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
        """A command in it, with nothing of this process's environment."""
        words = ["%s=%s" % pair for pair in
                 dict({"PATH": PATH, "HOME": "/root", "TERM": "dumb"}, **(env or {})).items()]
        inside = self.enter() + ["env", "-i", "--chdir=" + cwd] + words
        return self.execute(inside + command, seconds, data, **where)

    def script(self, text, **options):
        """A piece of shell, which ends at the first failure."""
        return self.run(["bash", "-e", "-o", "pipefail", "-c", text], **options)

    def must(self, text, **options):
        status, out, err = self.script(text, **options)
        assert status == 0, "%s\nstatus %s\n%s%s" % (text, status, out.decode(errors="replace")[-4000:],
                                                    err.decode(errors="replace")[-4000:])
        return out.decode(errors="replace")

    def write(self, path, text, mode=0o644):
        """A file of the layer; its folders come with it."""
        data = text if isinstance(text, bytes) else text.encode()
        status, _, err = self.run(["sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1"',
                                   "sh", path, "%o" % mode], data=data)
        assert status == 0, err
