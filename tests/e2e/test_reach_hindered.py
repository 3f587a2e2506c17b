"""The namespace engine where no namespace can be made: settings of the kernel, AppArmor, containers, missing modules.
Each has one line with its advice and a row of --check, and the program is not run. A filter of system calls stands for
what this kernel does not have."""

import errno
import json
import os

import bed
import reaching
import servers as s
from reaching import BUSYBOX, Wrong
from world import PLAIN, PYTHON, test

NEWUSER, NEWNET = 0x10000000, 0x40000000
EQUAL, GREATER, ANY_BIT = 0x15, 0x25, 0x45  # of the filter's program
# As root, in a mount namespace of its own: sys.argv has a dictionary of settings in /proc/sys/kernel, a limit of
# namespaces, the calls that fail (name, argument's index, comparison, value, errno), the user's IDs, the command.
HINDER = """
import ctypes, json, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
settings, limit, calls, uid, gid = json.loads(sys.argv[1])
NUMBERS = {'x86_64': dict(write=1, sendto=44, socket=41, mount=165, openat=257, unshare=272),
           'aarch64': dict(write=64, sendto=206, socket=198, mount=40, openat=56, unshare=97)}[os.uname().machine]
def done(result):
    if result: raise OSError(ctypes.get_errno(), 'not hindered')
if settings:
    done(libc.mount(b'none', b'/proc/sys/kernel', b'tmpfs', 0, None))
    for name, value in settings.items():
        with open('/proc/sys/kernel/' + name, 'w') as f: f.write(value)
os.setgroups([]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
if limit: # of the namespaces in a user namespace of its own
    libc.prctl(4, 1, 0, 0, 0) # dumpable
    done(libc.unshare(0x10000000))
    for name, text in (('setgroups', 'deny'), ('uid_map', '%d %d 1' % (uid, uid)), ('gid_map', '%d %d 1' % (gid, gid))):
        with open('/proc/self/' + name, 'w') as f: f.write(text)
    with open('/proc/sys/user/' + limit, 'w') as f: f.write('0')
if calls:
    program = b''
    for name, index, comparison, value, error in calls:
        for code, yes, no, k in ((0x20, 0, 0, 0), (0x15, 0, 3, NUMBERS[name]), (0x20, 0, 0, 16 + 8 * index),
                                 (comparison, 0, 1, value), (0x06, 0, 0, 0x50000 | error)):
            program += struct.pack('HBBI', code, yes, no, k)
    program += struct.pack('HBBI', 0x06, 0, 0, 0x7fff0000)
    text = ctypes.create_string_buffer(program)
    done(libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, struct.pack('HxxxxxxP', len(program) // 8,
                                                                     ctypes.addressof(text))))
os.execv(sys.argv[2], sys.argv[2:])
"""
APPARMOR = {"apparmor_restrict_unprivileged_userns": "1"}
PROFILE = "AppArmor restricts user namespaces: load the profile of socksify's package"
MODULES = "load the kernel modules: modprobe -a nf_tables nft_queue nft_tproxy nft_socket nft_reject_inet " \
          "nfnetlink_queue tcp_diag udp_diag"
LIMITS = "raise the limit: sysctl user.max_user_namespaces, user.max_net_namespaces and user.max_mnt_namespaces"


class Cause:
    def __init__(self, step, error, advice, settings=(), limit="", calls=(), user=True):
        self.settings, self.limit, self.calls, self.user = dict(settings), limit, calls, user
        self.said = "%s: %s: %s" % (step, os.strerror(error), advice)

    def run(self, w, command):
        user = bed.user()
        calls = [[*call[:3], len("%d %d 1" % (user.pw_uid, user.pw_uid)) if call[3] == "map" else call[3], call[4]]
                 for call in self.calls]
        how = json.dumps([self.settings, self.limit, calls, user.pw_uid * self.user, user.pw_gid * self.user])
        if not self.user:
            command = ["/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
        return bed.run(bed.CLIENT, [PYTHON, "-c", HINDER, how, *command], w.env, 60, root=True)


CAUSES = {
    "user.max_user_namespaces": Cause("unshare", errno.ENOSPC, LIMITS, limit="max_user_namespaces"),
    "user.max_net_namespaces": Cause("unshare", errno.ENOSPC, LIMITS, limit="max_net_namespaces"),
    "user.max_mnt_namespaces": Cause("mount", errno.ENOSPC, LIMITS, limit="max_mnt_namespaces"),
    "kernel.unprivileged_userns_clone": Cause(
        "unshare", errno.EPERM, "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1",
        {"unprivileged_userns_clone": "0"}, calls=[("unshare", 0, ANY_BIT, NEWUSER, errno.EPERM)]),
    "AppArmor, without capabilities": Cause(
        "/proc/self/setgroups", errno.EACCES, PROFILE, APPARMOR,
        calls=[("openat", 2, EQUAL, os.O_WRONLY | os.O_CLOEXEC, errno.EACCES)]),
    "AppArmor, the map of users": Cause("/proc/self/uid_map", errno.EPERM, PROFILE, APPARMOR,
                                        calls=[("write", 2, EQUAL, "map", errno.EPERM)]),
    "AppArmor, RTM_NEWADDR": Cause("routes", errno.EPERM, PROFILE, APPARMOR,
                                   calls=[("sendto", 5, EQUAL, 12, errno.EPERM)]),
    "the seccomp profile of a container": Cause(
        "unshare", errno.EPERM, "a container or its seccomp profile forbids namespaces: run socksify outside of it",
        calls=[("unshare", 0, ANY_BIT, NEWUSER | NEWNET, errno.EPERM)]),
    "the AppArmor profile of a container": Cause(
        "mount", errno.EACCES, "a container or its security profile forbids mounts: run socksify outside of it",
        calls=[("mount", 0, GREATER, 0, errno.EACCES)]),
    "a root directory that is no mount point": Cause(
        "mount", errno.EINVAL, "the root directory is no mount point: mount --bind it on itself before chroot",
        calls=[("mount", 0, EQUAL, 0, errno.EINVAL)]),
    "root without capabilities": Cause(
        "/proc/self/uid_map", errno.EPERM, "root lacks CAP_SETFCAP: keep that capability, or run socksify as another user",
        user=False),
    "no nfnetlink": Cause("nftables", errno.EPROTONOSUPPORT, MODULES,
                          calls=[("socket", 2, EQUAL, 12, errno.EPROTONOSUPPORT)]),
    "no nf_tables": Cause("nftables", errno.EOPNOTSUPP, MODULES,
                          calls=[("sendto", 2, GREATER, 1000, errno.EOPNOTSUPP)]),
    "no nft_tproxy": Cause("nftables", errno.ENOENT, MODULES, calls=[("sendto", 2, GREATER, 1000, errno.ENOENT)]),
}


for NAME, CAUSE in CAUSES.items():
    @test("reach hindered: one line has the advice, and the program is not run: " + NAME, on=PLAIN)
    def _(w, cause=CAUSE):
        line = b"socksify: no namespace: %s\n" % cause.said.encode()
        with Wrong() as wrong:
            for options in ((), ("--strict",), ("--engine=namespace",), ("--no-fence",), ("-vv",)):
                result = cause.run(w, reaching.by_url(w, [BUSYBOX, "echo", "it runs"], *options))
                if result != (125, b"", line):
                    wrong.append((options, result))
            for command in ("%s echo it runs; echo $?", "(exec %s echo it runs); echo $?"):  # a covered parent goes on
                result = cause.run(w, reaching.by_url(w, ["sh", "-c", command % BUSYBOX]))
                if result != (0, b"125\n", line):
                    wrong.append((command, result))
            # What can be covered runs.
            wrong.expect("covered", cause.run(w, reaching.by_url(w, ["curl", "-sS", "http://both.example/"])),
                         b"it came through\n")

    @test("reach hindered: --check has a row: " + NAME, on=PLAIN)
    def _(w, cause=CAUSE):
        status, out, err = cause.run(w, [w.socksify, "--check", "--json", "-x", "socks5h://%s:%d" % (
            bed.PROXY4, s.DANTED), BUSYBOX])
        rows = {row["check"]: row for group in json.loads(out)["checks"] for row in group["rows"]}
        row = rows["namespace"]
        assert status == 1 and not err and row["finding"] == "no" and cause.said in row["detail"], (status, row, err)
        assert "NAMESPACES" in row["advice"] and rows["covered"]["finding"] == "fail", rows
