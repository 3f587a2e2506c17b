"""PHP with the extensions that Debian's PHP loads with RTLD_DEEPBIND (curl, sockets, pgsql, ldap),
in php-cli and in php-fpm, by name and by address. The targets are nginx, PostgreSQL and slapd in the
namespace of the target."""

import glob
import os
import pwd
import shutil
import socket
import struct
import subprocess
import time

import bed
import servers as s
from world import PLAIN, fine, test

POSTGRES, LDAP = 5432, 389
THROUGH = (("danted", s.DANTED), ("microsocks", s.MICROSOCKS))
HOSTS = ("both.example", bed.TARGET4, bed.TARGET6)

SLAPD_CONF = """
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_ldif
pidfile %(dir)s/slapd.pid
database ldif
directory %(dir)s/data
suffix "dc=example"
access to * by * read
"""

LDIF = """dn: dc=example
objectClass: organization
objectClass: dcObject
dc: example
o: it came through
"""


# --- the servers ---


def as_postgres():
    user = pwd.getpwnam("postgres")
    return ["setpriv", "--reuid=%d" % user.pw_uid, "--regid=%d" % user.pw_gid, "--clear-groups"]


def postgres(w):
    """Starts PostgreSQL once."""
    folder = w.scratch + "/postgres"
    if os.path.exists(folder):
        return
    programs = max(glob.glob("/usr/lib/postgresql/*/bin"))
    os.mkdir(folder)
    shutil.chown(folder, "postgres", "postgres")
    subprocess.run([*as_postgres(), programs + "/initdb", "-D", folder, "-A", "trust", "-N",
                    "--no-locale", "-E", "UTF8"], check=True, stdout=subprocess.DEVNULL, cwd="/",
                   timeout=60)
    with open(folder + "/pg_hba.conf", "w", encoding="ascii") as f:
        f.write("host all all all trust\n")
    bed.start(bed.TARGET, [*as_postgres(), programs + "/postgres", "-D", folder, "-F", "-k", "",
                           "-h", "*", "-p", str(POSTGRES)], cwd="/",
              stderr=open(folder + ".log", "w", encoding="utf-8"))
    bed.wait_port(bed.TARGET, bed.TARGET4, POSTGRES)
    deadline = time.monotonic() + 30
    ready = [programs + "/pg_isready", "-q", "-h", bed.TARGET4]
    while subprocess.run(bed.within(bed.TARGET, ready, True), check=False, timeout=30).returncode:
        assert time.monotonic() < deadline, "PostgreSQL does not start"
        time.sleep(0.1)


def slapd(w):
    """Starts slapd once, from a copy: AppArmor confines the program at Debian's path."""
    folder = w.scratch + "/slapd"
    if os.path.exists(folder):
        return
    os.makedirs(folder + "/data")
    program = shutil.copy("/usr/sbin/slapd", folder)
    with open(folder + "/slapd.conf", "w", encoding="ascii") as f:
        f.write(SLAPD_CONF % {"dir": folder})
    subprocess.run([program, "-T", "add", "-f", folder + "/slapd.conf"], input=LDIF, text=True,
                   check=True, timeout=30)
    bed.start(bed.TARGET, [program, "-d", "0", "-f", folder + "/slapd.conf", "-h",
                           "ldap://0.0.0.0 ldap://[::]"])
    bed.wait_port(bed.TARGET, bed.TARGET4, LDAP)


# --- the programs: each prints OK and nothing else ---

OK = b"it came through"

CURL = """$c = curl_init("http://$host/");
curl_setopt_array($c, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 20]);
echo trim(curl_exec($c) ?: curl_error($c));"""

# Twenty transfers at once, with curl's own threads for the names.
CURL_MULTI = """$m = curl_multi_init(); $all = [];
for ($i = 0; $i < 20; $i++) {
  $c = curl_init('http://' . str_replace('both.', "n$i.wild.", $host) . '/');
  curl_setopt_array($c, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 20]);
  curl_multi_add_handle($m, $all[] = $c);
}
do { curl_multi_exec($m, $running); curl_multi_select($m); } while ($running);
$pages = array_unique(array_map(fn($c) => curl_multi_getcontent($c) ?: curl_error($c), $all));
echo trim(implode($pages));"""

SOCKETS = """$plain = trim($host, '[]');
$one = socket_create(strpos($host, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, SOL_TCP);
socket_connect($one, $plain, 80) or die(socket_strerror(socket_last_error()));
$found = socket_addrinfo_lookup($plain, '80', ['ai_socktype' => SOCK_STREAM]);
$two = socket_addrinfo_connect($found[0]) ?: die('socket_addrinfo_connect');
foreach ([$one, $two] as $c) {
  socket_write($c, "GET / HTTP/1.0\\r\\n\\r\\n");
  for ($all = ''; strlen($part = socket_read($c, 4096)); $all .= $part);
  $pages[] = trim(explode("\\r\\n\\r\\n", $all)[1]);
}
echo implode(array_unique($pages));"""

PGSQL = """$plain = trim($host, '[]');
$c = pg_connect("host=$plain dbname=postgres user=postgres connect_timeout=20") or die('connect');
echo pg_fetch_result(pg_query_params($c, 'select $1::text', ['it came through']), 0);
$p = new PDO("pgsql:host=$plain;dbname=postgres;user=postgres");
if ($p->query('select 6 * 7')->fetchColumn() != 42) die('PDO');"""

LDAP_PHP = """$c = ldap_connect("ldap://$host");
ldap_set_option($c, LDAP_OPT_PROTOCOL_VERSION, 3);
ldap_set_option($c, LDAP_OPT_NETWORK_TIMEOUT, 20);
ldap_bind($c) or die(ldap_error($c));
echo ldap_get_entries($c, ldap_read($c, 'dc=example', '(objectClass=*)'))[0]['o'][0];"""

EXTENSIONS = {
    "curl": (CURL, ()), "curl, twenty at once": (CURL_MULTI, ()), "sockets": (SOCKETS, ()),
    "pgsql": (PGSQL, (postgres,)), "ldap": (LDAP_PHP, (slapd,)),
}


def bracketed(host):
    return "[%s]" % host if ":" in host else host


def php(w, code, host):
    """The command that runs CODE for HOST."""
    path = s.write("%s/%d.php" % (w.scratch, hash(code)), "<?php $host = $argv[1];\n" + code)
    return ["php", path, bracketed(host)]


def exactly(result):
    assert result == (0, OK, b""), result


def served(w, code, needs):
    for start in needs:
        start(w)
    exactly(bed.run(bed.PROXY, php(w, code, bed.TARGET4), w.env))
    for _, port in THROUGH:
        for host in HOSTS:
            exactly(w.via(port, php(w, code, host)))


for NAME, (CODE, NEEDS) in EXTENSIONS.items():
    test("php: %s by name and by address through danted and microsocks" % NAME, on=PLAIN, slow=2)(
        lambda w, code=CODE, needs=NEEDS: served(w, code, needs))


# --- php-fpm ---

FPM_CONF = """[global]
error_log = %(dir)s/fpm.log
daemonize = no
[www]
listen = %(dir)s/fpm-%(name)s
pm = static
pm.max_children = 2
catch_workers_output = yes
"""


def record(kind, content):
    """A record of FastCGI, of request 1."""
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def parameter(name, value):
    return struct.pack("!BB", len(name), len(value)) + name.encode() + value.encode()


def requested(path, script, host):
    """The output of SCRIPT from php-fpm, which listens at PATH."""
    parameters = b"".join(parameter(*pair) for pair in (
        ("SCRIPT_FILENAME", script), ("REQUEST_METHOD", "GET"), ("QUERY_STRING", "host=" + host)))
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(60)
        c.connect(path)
        c.sendall(record(1, struct.pack("!HB5x", 1, 0)) + record(4, parameters) + record(4, b"") +
                  record(5, b""))
        out = b""
        with c.makefile("rb") as f:
            while head := f.read(8):
                _, kind, _, length, padding = struct.unpack("!BBHHBx", head)
                content = f.read(length + padding)[:length]
                out += content if kind in (6, 7) else b""
                if kind == 3:
                    break
    return out.split(b"\r\n\r\n", 1)[-1]


def listens(path):
    """Whether a connection to PATH is accepted. The path exists before that."""
    with socket.socket(socket.AF_UNIX) as c:
        return c.connect_ex(path) == 0


def fpm(w, name, port):
    """Starts php-fpm and returns its process and the path of its socket."""
    path = w.scratch + "/fpm-" + name
    conf = s.write(path + ".conf", FPM_CONF % {"dir": w.scratch, "name": name})
    url = "socks5h://%s:%d" % (bed.PROXY4, port)
    process = bed.start(bed.CLIENT, [w.socksify, "-x", url, "--", "sh", "-c",
                                     'exec /usr/sbin/php-fpm[0-9]* -F -y "$0"', conf],
                        env=w.env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not listens(path):
        assert process.poll() is None and time.monotonic() < deadline, "php-fpm does not start"
        time.sleep(0.05)
    return process, path


@test("php: php-fpm serves every extension by name and by address through danted and microsocks",
      on=PLAIN, slow=4)
def _(w):
    postgres(w)
    slapd(w)
    for name, port in THROUGH:
        process, path = fpm(w, name, port)
        for extension, (code, _) in EXTENSIONS.items():
            script = s.write("%s/fpm-%d.php" % (w.scratch, hash(code)),
                             "<?php $host = $_GET['host'];\n" + code)
            for host in HOSTS:
                out = requested(path, script, bracketed(host))
                assert out == OK, (extension, host, out)
        bed.stop(process)
        assert not process.returncode, process.returncode


@test("php: a target that a rule denies cannot be reached by an extension", on=PLAIN)
def _(w):
    path = s.write(w.scratch + "/php.conf", 'server "p" { address = "%s" port = %d }\n'
                   'rule "no" { to = {"both.example", "%s"} via = {"deny"} }\n'
                   'rule "all" { via = {"p"} }\n' % (bed.PROXY4, s.DANTED, bed.TARGET4))
    for host in HOSTS[:2]:
        status, out, err = w.configured(path, php(w, CURL, host), w.env, 40)
        assert status == 0 and OK not in out and b"refused" in err, (status, out, err)
    fine(w.configured(path, php(w, CURL, bed.TARGET6), w.env, 40))
