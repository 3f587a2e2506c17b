"""The hosts that the documentation names, proxy.example, example.org and others, and a separate machine that can reach
them. The blocks of the documentation run on it unchanged."""

import os
import socket
import subprocess
import threading

import bed
import deb
import kerberos
import nameserver
import root
import servers as s

nameserver.ZONE["udp.example.org"] = {nameserver.A: [bed.TARGET4]}  # the UDP echo server
LOGIN, GATEWAY, HOST_SSH, UDP = 1090, 1091, 2200, 2007
HOSTS = "127.0.0.1 localhost\n::1 localhost\n%s proxy.example gateway.example %s\n" % (
    bed.PROXY4, kerberos.NAME)
for _name in ("", "host.", "ftp."):
    nameserver.ZONE[_name + "example.org"] = {nameserver.A: [bed.TARGET4],
                                              nameserver.AAAA: [bed.TARGET6]}
SSH = """
Host gateway.example
    Port %d
Host host.example.org
    Port %d
Host *
    User root
    IdentityFile %s/user_key
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
"""
FETCH = """[Unit]
Description=%s
[Service]
Type=oneshot
ExecStart=/usr/bin/curl -sS -o /var/lib/%s.html https://example.org/
"""
TABLE = """server "corp" { address = "proxy.example" }
rule "all" { via = {"corp"} }
"""
# systemd does not run here. "restart" runs ExecStart of the unit and its drop-ins, with their environment.
SYSTEMCTL = r"""#!/usr/bin/python3
import glob, os, shlex, subprocess, sys
if sys.argv[1] == "daemon-reload":
    sys.exit(0)
assert sys.argv[1] == "restart", sys.argv
unit = "/etc/systemd/system/" + sys.argv[2]
subprocess.run(["systemd-analyze", "verify", unit], check=True)
commands, environment = [], {"PATH": "/usr/bin:/bin"}
for path in [unit] + sorted(glob.glob(unit + ".d/*.conf")):
    for line in open(path):
        key, _, value = line.strip().partition("=")
        if key == "ExecStart":
            commands = commands + [value] if value else []
        elif key == "Environment":
            environment.update(word.split("=", 1) for word in shlex.split(value))
for command in commands:
    subprocess.run(shlex.split(command), env=environment, check=True, timeout=50)
"""


def _echo():
    with bed.inside(bed.TARGET):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((bed.TARGET4, UDP))

    def answer():
        while True:
            udp.sendto(*udp.recvfrom(4096))
    threading.Thread(target=answer, daemon=True).start()


class Servers:
    """Servers in addition to those of the bed, started once per run."""
    made = None

    def __init__(self, w):
        self.kerberos = kerberos.Kerberos(w.scratch)
        bed.start(bed.PROXY, ["microsocks", "-i", "::", "-p", str(LOGIN), "-u", "alice", "-P",
                              "s@cret"], stderr=subprocess.DEVNULL)
        s.sshd(w.scratch, bed.PROXY, GATEWAY)
        _echo()
        for port in (LOGIN, GATEWAY):
            bed.wait_port(bed.PROXY, "127.0.0.1", port)

    @classmethod
    def of(cls, w):
        cls.made = cls.made or cls(w)
        return cls.made


class World(root.Root):
    """A machine whose user works in /desk/here."""

    def __init__(self, w, name):
        self.servers = Servers.of(w)
        super().__init__(w.scratch + "/" + name)
        self.env = dict(self.servers.kerberos.realm.client, USER="root", LOGNAME="root")
        self.write("/etc/hosts", HOSTS)
        self.write("/etc/resolv.conf", "nameserver 192.0.2.53\n")
        self.write("/etc/apt/sources.list", "")
        self.write("/etc/apt/apt.conf.d/99here", 'APT::Get::Assume-Yes "true";\n')
        self.write("/etc/ssh/ssh_config.d/here.conf", SSH % (GATEWAY, HOST_SSH, w.scratch))
        self.write("/etc/proxychains.conf", "strict_chain\n[ProxyList]\nsocks5 %s 1080\n" % bed.PROXY4)
        self.write("/usr/local/bin/sudo", '#!/bin/sh\nexec "$@"\n', 0o755)
        self.write("/usr/local/bin/systemctl", SYSTEMCTL, 0o755)
        for name in ("fetch", "report"):
            self.write("/etc/systemd/system/%s.service" % name, FETCH % (name, name))
        with open(w.scratch + "/tls.crt", encoding="ascii") as f:
            self.write("/usr/local/share/ca-certificates/here.crt", f.read())
        self.must("rm -rf /etc/apt/sources.list.d/* /root/.ssh /root/.gitconfig /root/.config; "
                  "mkdir -p /desk/here; update-ca-certificates >/dev/null 2>&1; "
                  "git config --system safe.directory '*'; cp -r %s/www/repo.git /srv/repo.git" % w.scratch)
        self.write("/desk/here/work.conf", TABLE)
        self.background(["/usr/sbin/sshd", "-D", "-e", "-p", str(HOST_SSH), "-f",
                         w.scratch + "/sshd.conf"], bed.TARGET)
        bed.wait_port(bed.TARGET, bed.TARGET4, HOST_SSH)

    def background(self, command, ns):
        bed.start(ns, self.enter() + command, stderr=subprocess.DEVNULL)

    def user(self, text, cwd="/desk/here", seconds=120):
        """Runs what a user types. It must succeed. Returns its standard output and standard error."""
        return self.must("exec 2>&1\n" + text, env=self.env, cwd=cwd, seconds=seconds)

    def home(self, path, cwd="/desk/here"):
        path = path.replace("~", "/root", 1) if path.startswith("~") else path
        return os.path.join(cwd, path)


def installed(w, name):
    """A machine with the Debian packages installed."""
    world = World(w, name)
    deb.install(world, w.scratch)
    return world
