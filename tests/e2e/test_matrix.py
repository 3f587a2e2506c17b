"""Real programs by servers. A cell passes only if the right octets came back and the trap recorded nothing. If the
server does not support what the program needs, stalls, or is down, it passes if the program got an error in bounded
time and the trap recorded nothing. The table is docs/MATRIX.md.

Each program runs through two of the working servers and one broken server, or through all servers with --full.
--full --write writes the table."""

import collections
import os
import re

import bed
import go_programs as go
import kerberos
import servers as s
import test_bind
import test_udp
import world
from world import AUTH, CURL, PAGE, PLAIN, PYTHON, SSH, URL4, URL6, test, words

PAGE_OF = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "MATRIX.md")
NAME = "http://both.example/"

ASYNCIO = """
import asyncio
async def one(i):
    r, w = await asyncio.open_connection('n%d.wild.example' % i, 7)
    w.write(b'%03d' % i)
    assert await r.readexactly(3) == b'%03d' % i
    w.close()
async def main():
    await asyncio.gather(*(one(i) for i in range(50)))
    print('fifty')
asyncio.run(main())"""

THREADS = """
import concurrent.futures, urllib.request
def get(i): return urllib.request.urlopen('http://n%d.wild.example/' % i, timeout=30).read()
with concurrent.futures.ThreadPoolExecutor(20) as pool:
    assert set(pool.map(get, range(40))) == {b'it came through\\n'}
print('forty')"""

EPOLL = """
import os, select, socket
n = 10 << 20
data = os.urandom(1 << 16)
c = socket.socket(); c.setblocking(False)
c.connect_ex((%r, 7))
ep = select.epoll(); ep.register(c, select.EPOLLIN | select.EPOLLOUT)
sent = got = 0
while got < n:
    for fd, events in ep.poll(30):
        if events & select.EPOLLOUT:
            try: sent += c.send(data[sent %% len(data):])
            except BlockingIOError: pass
        if events & select.EPOLLIN:
            piece = c.recv(1 << 17)
            assert piece, 'closed'
            at = got %% len(data)
            assert piece == (data * 4)[at:at + len(piece)]
            got += len(piece)
    more = sent < n and sent - got < len(data)  # as much as any server buffers
    ep.modify(c, select.EPOLLIN | select.EPOLLOUT * more)
print('echoed', got >= n)""" % bed.TARGET4

NODE = """const http = require('http'); let n = 0
for (let i = 0; i < 20; i++) http.get('http://n' + i + '.wild.example/', r => { r.resume()
r.on('end', () => { if (++n == 20) console.log('twenty') }) })"""

RUBY = """all = 20.times.map { |i| Thread.new { Net::HTTP.get("n#{i}.wild.example", '/') } }.map(&:value)
puts 'twenty' if all.uniq == ["it came through\n"]"""
FETCH = "fetch('%s').then(r => r.text()).then(t => console.log(t))" % NAME
URLLIB = "import urllib.request as u; print(u.urlopen('%s', timeout=20).read())" % NAME
PERL = """my $c = IO::Socket::INET->new(PeerAddr => 'both.example', PeerPort => 9) or die "$@\\n";
print scalar <$c>"""
TLS = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet -verify_quiet -ign_eof " \
      "-connect both.example:443"
SAME = " | cmp - SCRATCH/www/1m && echo the same"
TEN = "curl -sSZ -m 30 -o \"SCRATCH/ten-$$-#1\" '%s1m?[1-10]' && for i in 1 2 3 4 5 6 7 8 9 10; do " \
      "cmp SCRATCH/ten-$$-$i SCRATCH/www/1m || exit; done && echo all the same" % NAME
GIT_SSH = "GIT_SSH_COMMAND='%s' git ls-remote ssh://root@both.example/SCRATCH/www/repo.git" \
          % " ".join(SSH)
DIG = ["dig", "@" + bed.TARGET4, "-p", str(test_udp.DNS), "+tries=1", "+time=10", "+short",
       "name.example"]


def shell(command):
    return ["sh", "-c", command]


# A program: its title, its command, a part of its output, the command of SOCKS5 that it needs, and whether it gives up
# if the server is broken.
Program = collections.namedtuple("Program", "title command out takes ends", defaults=("connect", True))
PROGRAMS = (
    Program("curl, IPv4", CURL + [URL4], PAGE),
    Program("curl, IPv6", CURL + [URL6], PAGE),
    Program("curl, by name", CURL + [NAME], PAGE),
    Program("curl, HTTPS", CURL + ["-k", "https://both.example/"], PAGE),
    Program("curl, ten times 1 MB at once", shell(TEN), b"all the same"),
    Program("curl, FTP", CURL + ["ftp://both.example/index.html"], PAGE),
    Program("wget", ["wget", "-q", "-T", "20", "-t", "1", "-O", "-", NAME], PAGE),
    Program("aria2", shell("aria2c -q --max-tries=1 --allow-overwrite=true -d SCRATCH -o aria2-$$ %s1m && "
                           "cat SCRATCH/aria2-$$" % NAME + SAME), b"the same"),
    Program("git clone, HTTP", shell("git clone -q %srepo.git SCRATCH/clone-$$ && "
                                     "git -C SCRATCH/clone-$$ log --format=%%s" % NAME), b"first"),
    Program("git over ssh", shell(GIT_SSH), b"refs/heads/main"),
    Program("ssh runs a command", SSH + ["root@both.example", "echo", "over ssh"], b"over ssh"),
    Program("sftp", shell(" ".join(["sftp", "-q"] + SSH[1:3] + SSH[4:])
                          + " root@both.example:SCRATCH/www/1m SCRATCH/sftp-$$ >SCRATCH/sftp.out && "
                          "cat SCRATCH/sftp-$$" + SAME), b"the same"),
    Program("redis-cli", ["redis-cli", "-h", "both.example", "ping"], b"PONG"),
    Program("redis-benchmark", ["redis-benchmark", "-h", "both.example", "-n", "2000", "-c", "20",
                                "-q", "-t", "set"], b"requests per second", ends=False),
    Program("lftp", ["lftp", "-c", "set net:timeout 20; set net:max-retries 1; open both.example; "
                     "cat index.html"], PAGE),
    Program("ftp", shell("ftp -n -o - ftp://both.example/1m" + SAME), b"the same"),
    Program("openssl s_client", shell(TLS), PAGE),
    Program("bash /dev/tcp", ["bash", "-c", "exec 3<>/dev/tcp/both.example/9 && head -n 1 <&3"],
            s.BANNER_TEXT[:30]),
    Program("Perl", ["perl", "-MIO::Socket::INET", "-e", PERL], s.BANNER_TEXT[:30]),
    Program("Python, urllib", [PYTHON, "-c", URLLIB], PAGE),
    Program("Python, asyncio, fifty at once", [PYTHON, "-c", ASYNCIO], b"fifty"),
    Program("Python, twenty threads", [PYTHON, "-c", THREADS], b"forty"),
    Program("Python, epoll, 10 MB of echo", [PYTHON, "-c", EPOLL], b"echoed True"),
    Program("PHP", ["php", "-r", "echo file_get_contents('%s') ?: exit(1);" % NAME], PAGE),
    Program("Ruby, twenty threads", ["ruby", "-rnet/http", "-e", RUBY], b"twenty"),
    Program("node, twenty at once", ["node", "-e", NODE], b"twenty"),
    Program("node, fetch", ["node", "-e", FETCH], PAGE),
    Program("Java, keytool", ["keytool", "-printcert", "-rfc", "-sslserver", "both.example:443"],
            b"BEGIN CERTIFICATE"),
    Program("dig, TCP", DIG[:1] + ["+tcp"] + DIG[1:], b"192.0.2.77"),
    Program("dig, UDP", DIG, b"192.0.2.77", "udp"),
    Program("ntpdig, UDP", ["ntpdig", bed.TARGET4], b"s1 no-leap", "udp"),
    Program("Python, UDP of every size", [PYTHON, "-c", test_udp.EVERY_SIZE], b"all came back", "udp"),
    Program("ftp, active", test_bind.tnftp, None, "bind"),
    Program("lftp, active", test_bind.lftp, None, "bind"),
    # Programs in Go, in a namespace.
    Program("rclone copyurl", go.COPYURL, go.SAME),
    Program("rclone copy, WebDAV, eight at a time", go.COPY, go.SAME),
    Program("rclone, SFTP", go.SFTP, go.SAME),
    Program("rclone, FTP", go.FTP, go.SAME),
    Program("restic, REST server", go.REST, go.SAME, ends=False),
    Program("restic, over ssh", go.OVER_SSH, go.SAME, ends=False),
    Program("syncthing, TCP", go.syncthing("tcp"), go.SAME, ends=False),
    Program("syncthing, QUIC", go.syncthing("quic"), go.SAME, "udp", ends=False),
    Program("gh api", go.GH, go.SAME),
    Program("gron", go.GRON, go.SAME),
    Program("hugo, resources.GetRemote", go.HUGO, go.SAME),
)


class Server:
    """A column: how a program reaches the server, which commands it supports, and what is logged if it is broken."""

    def __init__(self, title, port, user="", can=("connect",), says=None):
        self.title, self.port, self.user, self.can, self.says = title, port, user, can, says

    def via(self, w, command):
        return w.via(self.port, command, self.user, seconds=60)


class Gssapi(Server):
    def via(self, w, command):
        return kerberos.via(w, command)


class Broken(Server):
    """A broken server. The log has the result. The timeout is two seconds."""

    def conf(self, w):
        path = "%s/broken-%d.conf" % (w.scratch, self.port)
        return s.write(path, 'server "a" { address = "%s" port = %d timeout = 2 }\nlog { level = info }\n'
                       'rule "all" { via = {"a"} }\n' % (bed.PROXY4, self.port))

    def via(self, w, command):
        return w.configured(self.conf(w), command, w.env, 60)


ALL = ("connect", "bind", "udp")
SERVERS = (
    Server("danted", s.DANTED, can=ALL),
    Server("danted, password", s.DANTED_AUTH, AUTH, ALL),
    Gssapi("danted, GSSAPI", kerberos.GSSAPI, can=ALL),
    Server("microsocks", s.MICROSOCKS),
    Server("ssh -D", s.SSH_D),
    Broken("a stalling one", s.HOSTILE, can=(), says=b"timed out"),
    Broken("a dead one", s.CLOSED, can=(), says=b"refused"),
)


class Through:
    """A World for programs that are functions, with one server for all ports."""

    def __init__(self, world, server):
        self.world, self.server = world, server

    def __getattr__(self, name):
        return getattr(self.world, name)

    def via(self, _port, command, _user=""):
        return self.server.via(self.world, command)


def passes(w, program, server):
    """Runs the program and returns the text of the cell. An assertion fails if the result is wrong."""
    able = program.takes in server.can
    test_udp.targets(w)
    go.targets(w)
    if not able:
        w.hostile.play(lambda conversation: conversation.receive() and conversation.hang())
    if not able and (callable(program.command) or not program.ends):
        return "–"
    if callable(program.command):
        program.command(Through(w, server), bed.TARGET4, None, "")
        return "ok"
    result = server.via(w, words(w, program.command))
    if able:
        world.right(result, program.out)
        return "ok"
    says = server.says or b"does not support UDP"
    assert result[0] != -1 and program.out not in result[1] and says in result[2], result
    assert result[0] != 0 or program.takes == "udp", result  # a program that uses UDP may just give up
    return "fails" if server.says else "refused"


HEAD = """# Real programs by servers

`pytest-3 tests/e2e/test_matrix.py --full --write` writes this page (as root, with Debian's packages). The tests
compare it with their results. A program runs as an ordinary user under `socksify`. Its target is reachable only
through the server, and a trap records every packet that leaves by another path. In every cell the trap recorded
nothing.

`ok`: the correct octets were received. `refused`: the server does not support what the program needs; the program
got an error, one message was logged, and nothing was sent. `fails`: the server accepts connections and never answers,
or it is down; the program got an error in time. `–`: not run.

"""



def table(cells):
    """CELLS: {(program's title, server's title): text}."""
    lines = ["| program | " + " | ".join(server.title for server in SERVERS) + " |",
             "| --- " * (len(SERVERS) + 1) + "|"]
    lines += ["| %s | %s |" % (program.title, " | ".join(cells[program.title, server.title]
                                                          for server in SERVERS))
              for program in PROGRAMS]
    return "\n".join(lines) + "\n"


def documented():
    """The cells of docs/MATRIX.md."""
    with open(PAGE_OF, encoding="utf-8") as f:
        rows = [[word.strip() for word in line.strip("|\n").split("|")] for line in f
                if line.startswith("|") and not re.match(r"\| ---", line)]
    return {(row[0], server): text for row in rows[1:] for server, text in zip(rows[0][1:], row[1:])}


def write(cells):
    s.write(PAGE_OF, HEAD + table(cells))


def sampled(row, column):
    """Whether the cell is one of those that run without --full."""
    able = [server for server in SERVERS if server.says is None]
    broken = [server for server in SERVERS if server.says]
    return SERVERS[column] in (able[row % len(able)], able[(row + 2) % len(able)], broken[row % len(broken)])


def cell(w, program, server):
    said = passes(w, program, server)
    w.record("cell", (program.title, server.title, said))
    assert said == documented().get((program.title, server.title)), "docs/MATRIX.md differs"


for ROW, PROGRAM in enumerate(PROGRAMS):
    for COLUMN, SERVER in enumerate(SERVERS):
        test("matrix: %s through %s" % (PROGRAM.title, SERVER.title), on=PLAIN, full=not sampled(ROW, COLUMN))(
            lambda w, p=PROGRAM, v=SERVER: cell(w, p, v))


@test("matrix: docs/MATRIX.md lists the same programs and servers", on=PLAIN)
def _(_w):
    assert set(documented()) == {(p.title, v.title) for p in PROGRAMS for v in SERVERS}
