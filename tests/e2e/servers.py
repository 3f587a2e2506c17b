"""The real servers: SOCKS servers in the proxy namespace, targets in the target namespace. All are Debian packages,
configured in a scratch directory."""

import os
import shutil
import socket
import subprocess
import sys
import threading

import bed

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peer"))
import hostile

DANTED, DANTED_AUTH, MICROSOCKS, MICROSOCKS_AUTH, SSH_D = 1080, 1081, 1082, 1083, 1084
HOSTILE = 1085
CLOSED, BLACK_HOLE = 1098, 1099
USER, PASSWORD = bed.TAG + "u", "pass:w@rd/1"
ECHO, BANNER, REFUSED, HTTP, REDIS, GIT, SSH = 7, 9, 11, 80, 6379, 9418, 22
FTP, HTTPS = 21, 443
BANNER_TEXT = b"220 said before anything was asked\r\n"

DANTED_CONF = """
logoutput: %(log)s
internal: %(p4)s port = %(port)d
internal: %(p6)s port = %(port)d
external: %(x4)s
external: %(x6)s
external.rotation: route
socksmethod: %(method)s
user.privileged: root
user.unprivileged: nobody
timeout.negotiate: 120
client pass { from: 0/0 to: 0/0 }
socks block { from: 0.0.0.0/0 to: 10.88.2.99/32 }
socks pass { from: 0/0 to: 0/0
  udp.portrange: 40000-49999 }
"""

NGINX_CONF = """
pid %(dir)s/nginx.pid; error_log %(dir)s/nginx.err; daemon off; worker_processes 1;
events { worker_connections 2048; }
http {
  access_log %(dir)s/nginx.log; client_body_temp_path %(dir)s/b; proxy_temp_path %(dir)s/p;
  fastcgi_temp_path %(dir)s/f; uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
  server { listen 80 backlog=4096; listen [::]:80 backlog=4096; root %(dir)s/www; }
  server { listen 443 ssl; listen [::]:443 ssl; root %(dir)s/www; ssl_certificate %(dir)s/tls.pem;
           ssl_certificate_key %(dir)s/tls.pem; }
}
"""

VSFTPD_CONF = """
background=NO
listen=NO
listen_ipv6=YES
listen_port=%(port)d
anonymous_enable=YES
no_anon_password=YES
anon_root=%(dir)s/www
secure_chroot_dir=%(dir)s/empty
connect_from_port_20=YES
seccomp_sandbox=NO
xferlog_enable=NO
"""

SSHD_CONF = """
HostKey %(dir)s/host_key
AuthorizedKeysFile %(dir)s/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


def _write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def write(path, text):
    """Writes a file that belongs to the ordinary user."""
    _write(path, text)
    os.chown(path, bed.user().pw_uid, bed.user().pw_gid)
    return path


# --- in the target namespace ---


class Target(threading.Thread):
    """Echo and banner services on both families. Records the addresses of connecting clients."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peers = []
        self.listeners = {}
        with bed.inside(bed.TARGET):
            for port in (ECHO, BANNER):
                for address in (bed.TARGET4, bed.TARGET6):
                    family = socket.AF_INET6 if ":" in address else socket.AF_INET
                    listener = socket.socket(family)
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listener.bind((address, port))
                    listener.listen(4096)
                    self.listeners[listener] = port
        for listener, port in self.listeners.items():
            threading.Thread(target=self._accept, args=(listener, port), daemon=True).start()

    def _accept(self, listener, port):
        while True:
            peer, address = listener.accept()
            self.peers.append((port, address))
            threading.Thread(target=self._serve, args=(peer, port), daemon=True).start()

    @staticmethod
    def _serve(peer, port):
        try:
            if port == BANNER:
                peer.sendall(BANNER_TEXT)
            while data := peer.recv(65536):
                peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        peer.close()


def targets(scratch):
    www = scratch + "/www"
    os.makedirs(www)
    os.chmod(scratch, 0o755)
    _write(www + "/index.html", "it came through\n")
    with open(www + "/1m", "wb") as f:
        f.write(os.urandom(1 << 20))
    with open(www + "/20m", "wb") as f:
        f.write(os.urandom(20 << 20))
    env = dict(os.environ, GIT_CONFIG_NOSYSTEM="1", HOME=scratch)
    repo = www + "/repo.git"
    for command in (["git", "init", "-q", "--bare", repo],
                    ["git", "init", "-q", "-b", "main", scratch + "/work"],
                    ["git", "-C", scratch + "/work", "-c", "user.name=t", "-c", "user.email=t@t",
                     "commit", "-q", "--allow-empty", "-m", "first"],
                    ["git", "-C", scratch + "/work", "push", "-q", repo, "main:main"],
                    ["git", "-C", repo, "symbolic-ref", "HEAD", "refs/heads/main"],
                    ["git", "-C", repo, "update-server-info"]):
        subprocess.run(command, check=True, env=env, timeout=30)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=both.example",
                    "-addext", "subjectAltName=DNS:both.example,DNS:example.org,IP:%s,IP:%s" % (bed.TARGET4, bed.TARGET6),
                    "-days", "2", "-keyout", scratch + "/tls.pem", "-out", scratch + "/tls.crt"], check=True, timeout=60, stderr=subprocess.DEVNULL)
    with open(scratch + "/tls.pem", "a") as key, open(scratch + "/tls.crt") as certificate:
        key.write(certificate.read())
    conf = _write(scratch + "/nginx.conf", NGINX_CONF % {"dir": scratch})
    bed.start(bed.TARGET, ["nginx", "-c", conf, "-e", scratch + "/nginx.err"])
    bed.start(bed.TARGET, ["redis-server", "--port", str(REDIS), "--bind", bed.TARGET4,
                           bed.TARGET6, "--save", "", "--dir", scratch, "--protected-mode", "no"],
              stdout=subprocess.DEVNULL)
    conf = _write(scratch + "/vsftpd.conf", VSFTPD_CONF % {"dir": scratch, "port": FTP})
    os.makedirs(scratch + "/empty")
    for folder in (www, scratch + "/empty"):
        os.chmod(folder, 0o755)  # vsftpd refuses folders that others can write to, which an open umask makes
    bed.start(bed.TARGET, ["vsftpd", conf], stderr=subprocess.DEVNULL)
    sshd(scratch, bed.TARGET, SSH)
    for port in (HTTP, HTTPS, REDIS, SSH, FTP):
        bed.wait_port(bed.TARGET, bed.TARGET4, port)
    return Target()


def sshd(scratch, ns, port):
    for key in ("host_key", "user_key"):
        if not os.path.exists(scratch + "/" + key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                            scratch + "/" + key], check=True, timeout=30)
    os.chown(scratch + "/user_key", bed.user().pw_uid, bed.user().pw_gid)
    os.makedirs("/run/sshd", exist_ok=True)
    conf = _write(scratch + "/sshd.conf", SSHD_CONF % {"dir": scratch})
    bed.start(ns, ["/usr/sbin/sshd", "-D", "-e", "-p", str(port), "-f", conf],
              stderr=open(scratch + "/sshd.log", "a"))


# --- in the proxy namespace ---


def dante():
    """The path of Dante's server with GSSAPI. The first call builds it, which takes minutes."""
    done = subprocess.run([HERE + "/../peer/dante.sh"], stdout=subprocess.PIPE, timeout=1500,
                          check=True, text=True)
    return done.stdout.strip()


def danted():
    """The path of Dante's server: Debian's package, or our build where Debian has none."""
    return shutil.which("danted") or dante()


def add_user():
    """Adds the user whose password danted checks; it uses the system's users."""
    subprocess.run(["useradd", "-M", "-s", "/usr/sbin/nologin", USER], check=True, timeout=30)
    # A hash that is quick to check: hundreds of programs log in at once.
    subprocess.run(["chpasswd", "-c", "SHA256", "-s", "1000"], input="%s:%s\n" % (USER, PASSWORD), text=True, check=True,
                   timeout=30)


def start_danted(scratch, port, method, ns=bed.PROXY):
    """In the namespace of the targets it is a server that only another one can reach."""
    inner, outer = (bed.PROXY4, bed.PROXY6), (bed.OUTER4, bed.OUTER6)
    if ns == bed.TARGET:
        inner = outer = (bed.TARGET4, bed.TARGET6)
    conf = _write("%s/danted-%d.conf" % (scratch, port), DANTED_CONF % {
        "log": "%s/danted-%d.log" % (scratch, port), "p4": inner[0], "p6": inner[1], "x4": outer[0], "x6": outer[1],
        "port": port, "method": method})
    bed.start(ns, [danted(), "-f", conf, "-p", "%s/danted-%d.pid" % (scratch, port)])


def danted_alone(scratch):
    """One SOCKS server, for measurements that need no other."""
    start_danted(scratch, DANTED, "none")
    bed.wait_port(bed.PROXY, bed.PROXY4, DANTED)


def socks(scratch):
    add_user()
    start_danted(scratch, DANTED, "none")
    start_danted(scratch, DANTED_AUTH, "username")
    bed.start(bed.PROXY, ["microsocks", "-i", "::", "-p", str(MICROSOCKS)],
              stderr=subprocess.DEVNULL)
    bed.start(bed.PROXY, ["microsocks", "-i", "::", "-p", str(MICROSOCKS_AUTH), "-u", USER, "-P",
                          PASSWORD], stderr=subprocess.DEVNULL)
    sshd(scratch, bed.PROXY, 2222)
    bed.wait_port(bed.PROXY, "127.0.0.1", 2222)
    bed.start(bed.PROXY, ["ssh", "-N", "-D", "%s:%d" % (bed.PROXY4, SSH_D), "-p", "2222", "-i",
                          scratch + "/user_key", "-o", "StrictHostKeyChecking=no", "-o",
                          "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-F", "none",
                          "-q", "root@127.0.0.1"])
    for port in (DANTED, DANTED_AUTH, MICROSOCKS, MICROSOCKS_AUTH, SSH_D):
        bed.wait_port(bed.PROXY, bed.PROXY4, port)
    return black_hole()


def black_hole():
    """A listener whose queue is full: connections to it are neither accepted nor refused."""
    with bed.inside(bed.PROXY):
        listener = socket.socket()
        listener.bind((bed.PROXY4, BLACK_HOLE))
        listener.listen(0)
        fill = []
        for _ in range(3):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((bed.PROXY4, BLACK_HOLE))
            fill.append(s)
    return listener, fill


def scripted():
    """The scripted server, at PROXY4 port HOSTILE."""
    with bed.inside(bed.PROXY):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((bed.PROXY4, HOSTILE))
        listener.listen(1024)
    return hostile.Hostile(listener)
