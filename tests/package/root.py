"""A machine of one's own to install things on: this one's files with a layer of memory above them, in
namespaces for mounts and processes, with the bed's client as its network. What is written, installed
or started in it is gone with it. Dante's client, of whose names some are ours, is not on it."""

import os
import subprocess

import bed

# What the layer needs of file systems that are not the root's; /proc is that of the new processes.
SET_UP = """
mount -t tmpfs layer "$1" && cd "$1" && mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work layer root
mount -t proc proc root/proc && mount --rbind /dev root/dev
mount -t tmpfs -o mode=755 run root/run
mkdir -p root/run/sshd root/desk
echo up
exec sleep infinity
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Root:
    def __init__(self, scratch):
        os.makedirs(scratch, exist_ok=True)
        self.path = scratch + "/root"
        self.outer = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", SET_UP, "sh",
             scratch], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        bed.atexit.register(self.close)
        if self.outer.stdout.readline() != b"up\n":
            raise RuntimeError("no private root: unshare or mount failed")
        with open("/proc/%d/task/%d/children" % (self.outer.pid, self.outer.pid)) as f:
            self.pid = int(f.read().split()[0])
        # No index of manuals is made anew, which takes longer than all else of an installation.
        self.must("rm -f /var/lib/man-db/auto-update; dpkg --purge dante-client 2>/dev/null || true")

    def close(self):
        """With the first process of its namespace all the others end, and the mounts go."""
        self.outer.kill()
        self.outer.wait()

    def run(self, command, env=None, seconds=180, data=None, ns=bed.CLIENT, cwd="/desk"):
        """A command in it, as bed.run() has it."""
        words = ["%s=%s" % pair for pair in
                 dict({"PATH": PATH, "HOME": "/root", "TERM": "dumb"}, **(env or {})).items()]
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "chroot", self.path,
                  "env", "-i", "--chdir=" + cwd] + words
        return bed.run(ns, inside + command, None, seconds, data, root=True)

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
