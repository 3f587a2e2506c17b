"""Names and real programs: whatever resolver a program has, none of its queries bypasses the proxy."""

import contextlib

import bed
import nameserver
import test_hostile
import world
import servers as s
from hostile import OK
from world import CURL, PAGE, PYTHON, SSH, right, words

BOTH, ONLY4, ONLY6 = "both.example", "only4.example", "only6.example"
WILD = "any.thing.wild.example"


def test(title):
    return world.test("names: " + title)


for NAME in (BOTH, ONLY4, ONLY6, WILD, "BOTH.Example."):
    for LABEL, PORT in (("danted", s.DANTED), ("microsocks", s.MICROSOCKS), ("ssh -D", s.SSH_D)):
        test("curl gets http://%s/ by name through %s" % (NAME, LABEL))(
            lambda w, n=NAME, p=PORT: right(w.via(p, CURL + ["http://%s/" % n]), PAGE))

# --- real programs (test_matrix.py has more) ---


def through(title, command, out, port=s.DANTED, **more):
    test(title)(lambda w: right(w.via(port, words(w, command), **more), out))


through("ssh connects to an IPv6-only name from an IPv4 socket", SSH + ["-4", "root@only6.example", "echo",
                                                               "over ssh"], b"over ssh")
through("getent ahosts prints a fake address", ["getent", "ahosts", "both.example"], b"198.18.")
for LABEL in (b"198.18.", "bücher.example".encode()):  # its canonical name in the locale's encoding
    through("getent ahosts of a name that is not ASCII: %s" % LABEL.decode(),
            ["env", "LC_ALL=C.UTF-8", "getent", "ahosts", "bücher.example"], LABEL)
through("getent hosts prints a fake address", ["getent", "hosts", "both.example"], b"fdc4:8b1e:5053::")
through("getent ahosts uses the hosts file", ["getent", "ahosts", "only4.hosts.example"],
        bed.HOSTS4.encode())
through("a name in the hosts file gets a fake address for the family that the file lacks",
        ["getent", "ahostsv6", "only4.hosts.example"], b"fdc4:8b1e:5053::")
through("Python's asyncio resolves and connects fifty names at once", [PYTHON, "-c", """
import asyncio, socket
async def one(i):
    r, wr = await asyncio.open_connection('n%d.wild.example' % i, 7)
    wr.write(b'%d' % i); wr.write_eof()
    assert await r.read() == b'%d' % i
async def all():
    await asyncio.gather(*(one(i) for i in range(50)))
    print('fifty', socket.gethostbyname_ex('both.example')[0], socket.getfqdn('127.0.0.1'))
asyncio.run(all())"""], b"fifty both.example localhost")
through("asyncio's happy eyeballs do not wait for the second family", [PYTHON, "-c", """
import asyncio, time
async def main():
    begun = time.monotonic()
    for i in range(20):
        r, w = await asyncio.open_connection('both.example', 7, happy_eyeballs_delay=20)
        w.close()
    print('soon' if time.monotonic() - begun < 15 else 'late')
asyncio.run(main())"""], b"soon")

# --- programs with resolvers of their own ---

DNSPYTHON = """
import dns.resolver, dns.query, dns.message
r = dns.resolver.Resolver()
a = r.resolve('both.example', 'A')[0].to_text()
assert a.startswith('198.18.'), a
assert r.resolve('both.example', 'AAAA')[0].to_text().startswith('fdc4:8b1e:5053::')
assert r.resolve_address(a)[0].to_text() == 'both.example.'
assert r.resolve('mail.example', 'MX')[0].to_text() == '10 both.example.'
assert len(r.resolve('long.example', 'TXT')) == 8
q = dns.message.make_query('both.example', 'A')
for ask in (dns.query.udp, dns.query.tcp):
    assert ask(q, '%s', timeout=20).answer[0][0].to_text() == a
    assert ask(q, '127.0.0.1', timeout=20).answer[0][0].to_text() == a
    assert ask(q, '%s', timeout=20).answer[0][0].to_text() == a
print('all of it')""" % (bed.TARGET6, bed.TARGET4)
through("dnspython gets its answers", [PYTHON, "-c", DNSPYTHON], b"all of it")
through("node resolves names with c-ares and connects to the answers", ["node", "-e", """
const dns = require('dns').promises, net = require('net')
async function main() {
  const [a] = await dns.resolve4('both.example'), [b] = await dns.resolve6('both.example')
  const names = await dns.reverse(a), mx = await dns.resolveMx('mail.example')
  for (const host of [a, b]) await new Promise(done => net.connect(80, host, done).on('connect',
    function () { this.destroy() }))
  console.log(names[0], mx[0].exchange, (await dns.resolveTxt('long.example')).length)
  process.exit()
}
main()"""], b"both.example both.example 8")
through("a connection can reuse the descriptor number of a DNS client's socket", [PYTHON, "-c", """
import socket, struct
query = struct.pack('!HHHHHH', 7, 256, 1, 0, 0, 0) + b'\\4both\\7example\\0' + struct.pack('!HH', 1, 1)
for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM) * 3:
    ask = socket.socket(socket.AF_INET, kind)
    number = ask.fileno()
    ask.settimeout(20)
    ask.connect(('%s', 53))
    ask.send(query if kind == socket.SOCK_DGRAM else struct.pack('!H', len(query)) + query)
    answer = ask.recv(512)[-4:]
    ask.close()
    for echo in range(2):
        c = socket.create_connection((socket.inet_ntoa(answer), 7), 20)
        assert c.fileno() == number
        c.send(b'through')
        assert c.recv(99) == b'through'
        c.close()
print('all came back')""" % bed.TARGET4], b"all came back")
for WORDS, OUT in ((["both.example"], b"198.18."), (["+tcp", "both.example"], b"198.18."),
                   (["both.example", "AAAA"], b"fdc4:8b1e:5053::"),
                   (["mail.example", "MX"], b"10 both.example."),
                   (["+tcp", "mail.example", "TXT"], b"said by a server"),
                   (["long.example", "TXT"], b"x" * 250), (["localhost"], b"127.0.0.1"),
                   (["-x", "127.0.0.1"], b"localhost."), (["@::1", "both.example"], b"198.18."),
                   (["@" + bed.TARGET6, "both.example"], b"198.18.")):
    through("dig " + " ".join(WORDS), ["dig", "+short", "+time=20", "+tries=1"] + WORDS, OUT)
for WORDS, OUT in ((["only4.hosts.example"], bed.HOSTS4.encode()), (["only4.hosts.example", "MX"], b"NXDOMAIN"),
                   (["-x", "198.18.77.77"], b"NXDOMAIN"), (["@10.88.2.99", "mail.example", "MX"], b"SERVFAIL"),
                   (["x" * 63 + ".example", "A"], b"198.18."), (["-t", "A", "."], b"NXDOMAIN")):
    through("dig " + " ".join(WORDS), ["dig", "+time=20", "+tries=1"] + WORDS, OUT)
through("dig gets REFUSED from 127.0.0.1 if no name server is configured", ["dig", "@127.0.0.1", "mail.example", "MX"],
        b"REFUSED")


@test("dig sends many queries over one connection, and queries for addresses are answered locally")
def _(w):
    before = len(w.nameserver.asked)
    words = ["dig", "+short", "+tcp", "+keepopen"]
    for i in range(50):
        words += ["n%d.wild.example" % i, "A"]
    status, out, err = w.via(s.DANTED, words)
    assert status == 0 and len(set(out.split())) == 50, (out, err)
    assert len(w.nameserver.asked) == before


@test("an invalid query is not answered, and the next valid one is")
def _(w):
    code = """
import os, socket, struct
query = struct.pack('!HHHHHH', 7, 256, 1, 0, 0, 0) + b'\\4both\\7example\\0' + struct.pack('!HH', 1, 1)
for connect in (False, True):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(20)
    if connect:
        s.connect(('%s', 53))
        assert s.getpeername() == ('%s', 53)
        send = s.send
    else:
        send = lambda q: s.sendto(q, ('%s', 53))
    for bad in (b'', b'x', query[:20], b'\\xff' * 400):
        assert send(bad) == len(bad)
    assert send(query) == len(query)
    answer, source = s.recvfrom(512)
    assert answer[:2] == query[:2] and source == ('%s', 53), (answer, source)
    if connect: # by every other call
        for call in (lambda: s.sendmsg([query[:9], query[9:]]), lambda: os.write(s.fileno(), query),
                     lambda: os.writev(s.fileno(), [query[:5], query[5:]])):
            assert call() == len(query)
            assert s.recvmsg(512)[3] == ('%s', 53)
    if not connect: # two servers on one socket
        s.sendto(query, ('%s', 53)); s.sendto(b'\\0\\10' + query[2:], ('10.9.9.9', 53))
        assert [s.recvfrom(512)[1][0] for i in (1, 2)] == ['%s', '10.9.9.9']
t = socket.create_connection(('%s', 53)); t.settimeout(20)
for part in (b'\\0', bytes([len(query)]), query[:9]):
    t.sendall(part)
os.write(t.fileno(), query[9:])
assert t.recv(2) and t.recv(512)[:2] == query[:2]
t.sendall(b'\\0\\1x')
assert t.recv(1) == b''
print('as it should be')""" % ((bed.TARGET4,) * 8)
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"as it should be")


@test("a DNS client's socket is answered after exec")
def _(w):
    ask = """
import socket, struct, sys
query = struct.pack('!HHHHHH', 7, 256, 1, 0, 0, 0) + b'\\4both\\7example\\0' + struct.pack('!HH', 1, 1)
def ask(s, kind, stage):
    s.settimeout(20)
    assert kind == 'unconnected' or s.getpeername() == ('%s', 53), s.getpeername()
    if kind == 'stream':
        s.sendall(struct.pack('!H', len(query)) + query)
        n = struct.unpack('!H', s.recv(2, socket.MSG_WAITALL))[0]
        answer, source = s.recv(n, socket.MSG_WAITALL), ('%s', 53)
    elif kind == 'connected':
        s.send(query)
        answer, source = s.recvfrom(512)
    else:
        s.sendto(query, ('%s', 53))
        answer, source = s.recvfrom(512)
    assert answer[:2] == query[:2] and answer[2] & 0x80 and source == ('%s', 53), (answer, source)
    assert answer[-4:-2] == bytes([198, 18]), answer
    print(kind, stage, flush=True)
""" % ((bed.TARGET4,) * 4)
    first = ask + """
import os, subprocess
second = sys.argv[1]
for kind in 'connected', 'unconnected', 'stream':
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == 'stream' else socket.SOCK_DGRAM)
    if kind != 'unconnected': s.connect(('%s', 53))
    ask(s, kind, 'before')
    s.set_inheritable(True)
    command = [sys.executable, '-c', second, kind, str(s.fileno())]
    subprocess.run(command, pass_fds=[s.fileno()], check=True)
    ask(s, kind, 'beside')
    if os.fork() == 0: os.execv(command[0], command + ['the last'])
    assert os.wait()[1] == 0""" % bed.TARGET4
    second = ask + """
s = socket.socket(fileno=int(sys.argv[2]))
ask(s, sys.argv[1], 'after')
if sys.argv[1] == 'connected' and sys.argv[3:]: # and goes elsewhere
    s.connect(('127.0.0.1', 9)); assert s.getpeername() == ('127.0.0.1', 9)"""
    status, out, err = w.via(s.DANTED, [PYTHON, "-c", first, second])
    assert status == 0 and out.decode().split("\n") == [
        "%s %s" % (kind, stage) for kind in ("connected", "unconnected", "stream")
        for stage in ("before", "after", "beside", "after")] + [""], (status, out, err)


# --- rules ---

RULES = """
server "p" { address = "%s" port = %d }
rule "no" { to = {".denied.example"} via = {"deny"} }
rule "near" { to = {"only4.hosts.example", "direct.example"} via = {"direct"} }
rule "ssh is near" { to = {"ports.wild.example"} ports = {"22"} via = {"deny"} }
rule "rest" { via = {"p"} }
fake-ipv4 = "10.200.0.0/16"
fake-ipv6 = "fd99::/64"
""" % (bed.PROXY4, s.DANTED)


def ruled(w, command, more="", first=""):
    conf = w.scratch + "/names.conf"
    with open(conf, "w", encoding="ascii") as f:
        f.write(first + RULES + more)
    return w.configured(conf, command, w.env, 40)


@test("rules on names: a denied name is not resolved")
def _(w):
    for name in ("denied.example", "a.denied.example", "A.DENIED.example."):
        status, out, err = ruled(w, CURL + ["http://%s/" % name])
        assert status == 6 and b"refused: lookup of" in err and b"rule no" in err, (status, out, err)
    right(ruled(w, ["dig", "a.denied.example"]), b"REFUSED")
    status, out, err = ruled(w, ["env", "LC_ALL=C.UTF-8", "getent", "ahosts", "bücher.denied.example"])
    assert status == 2 and b'lookup of "xn--bcher-kva.denied.example" (rule no)' in err, (status, out, err)


@test("rules on names: the port is checked at connect(), and configured fake-address ranges are used")
def _(w):
    right(ruled(w, ["getent", "ahosts", "ports.wild.example"]), b"10.200.0.")
    right(ruled(w, ["getent", "ahosts", "ports.wild.example"]), b"fd99::1")
    right(ruled(w, CURL + ["http://ports.wild.example/"]), PAGE)
    status, _, err = ruled(w, CURL + ["http://ports.wild.example:22/"])
    assert status == 7 and b"refused: TCP to ports.wild.example:22" in err, (status, err)


@test("a single word is completed with \"search\", but not in a query to port 53")
def _(w):
    search = 'search = "wild.example"\n'
    code = """
import socket
at = socket.getaddrinfo('printer', 7, socket.AF_INET)[0][4]
entry = socket.gethostbyname_ex('printer')
assert at[0] == entry[2][0] == socket.gethostbyname('PRINTER.wild.example'), (at, entry)
assert socket.getnameinfo(at, 0) == ('printer.wild.example', 'echo')
c = socket.create_connection(('printer', 7)); c.sendall(b'x'); assert c.recv(9) == b'x'
print(entry[0])"""
    right(ruled(w, [PYTHON, "-c", code], search), b"printer.wild.example")
    right(ruled(w, CURL + ["http://printer/"], search), PAGE)
    right(ruled(w, ["sh", "-c", "dig +short -x `dig +short printer`"], search), b"printer.\n")
    status, _, err = ruled(w, CURL + ["http://printer/"], 'search = "denied.example"\n')
    assert status == 6 and b'lookup of "printer.denied.example" (rule no)' in err, (status, err)
    status, _, err = ruled(w, CURL + ["http://printer/"])
    assert status != 0, "the server resolved an unknown name"


@test("NO_PROXY accepts a name of the hosts file")
def _(w):
    env = dict(w.env, NO_PROXY="only4.hosts.example")
    status, out, err = bed.run(bed.CLIENT, ["/usr/bin/env", "NO_PROXY=only4.hosts.example", w.socksify,
                                            "-x", "socks5h://%s:%d" % (bed.PROXY4, s.DANTED), "--",
                                            "getent", "ahosts", "only4.hosts.example"], env, 20)
    assert status == 0 and bed.HOSTS4.encode() in out, (out, err)


_local = []


@contextlib.contextmanager
def local_names():
    """In the with-block a name server on the client's loopback is that of resolv.conf, as many machines have one."""
    if not _local:
        _local.append(nameserver.Nameserver(bed.CLIENT, ["127.0.0.1"]))
    with bed.resolv_conf("nameserver 127.0.0.1\n"):
        yield _local[0]


@test("with resolve = local libc sends the queries, and connections go to the resolved addresses")
def _(w):
    with local_names() as local:
        remote = len(w.nameserver.asked)
        for command, out in ((CURL + ["http://both.example/"], PAGE),
                             (["getent", "ahosts", "both.example"], bed.TARGET4.encode()),
                             (["dig", "+short", "both.example"], bed.TARGET4.encode())):
            asked = len(local.asked)
            right(ruled(w, command, 'resolve = local\n'), out)
            assert len(local.asked) > asked and len(w.nameserver.asked) == remote
            asked = len(local.asked)
            right(ruled(w, command), PAGE if out == PAGE else b"10.200.")  # resolved by the server
            assert len(local.asked) == asked
            remote = len(w.nameserver.asked)
        code = """
import socket
at = socket.getaddrinfo('here.example', 53, socket.AF_INET)[0][4]
print(at[0][:7], socket.create_connection(at).getpeername())"""  # a fake address until the port is known
        right(ruled(w, [PYTHON, "-c", code], first="""
rule "here" { to = {"here.example"} ports = {"53"} via = {"direct"} }"""), b"10.200. ('127.0.0.1', 53)")
        asked = len(local.asked)
        status, _, err = ruled(w, CURL + ["http://both.example/"], 'resolve = local\n'
                               'rule "x" { to = {"127.0.0.1"} via = {"deny"} }\n')
        assert status == 6 and b"refused: lookup" in err and len(local.asked) == asked, (status, err)


ASK = """
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
libc.__h_errno_location.restype = ctypes.POINTER(ctypes.c_int)
answer = ctypes.create_string_buffer(65536)
def query(name, kind, size=65536):
    n = libc.res_query(name, 1, kind, answer, size)
    return n if n >= 0 else {1: 'HOST_NOT_FOUND', 2: 'TRY_AGAIN', 3: 'NO_RECOVERY', 4: 'NO_DATA'}[
        libc.__h_errno_location()[0]]
A, PTR, MX, TXT, AAAA = 1, 12, 15, 16, 28
"""


@test("res_query() returns the reason why there is no answer")
def _(w):
    code = ASK + """
print(query(b'a.denied.example', A), query(b'a.denied.example', AAAA), query(b'unknown.example', MX),
      query(b'mail.example', AAAA) > 0, query(b'mail.example', PTR))
print(libc.res_send(b'short', 5, answer, 512), errno.errorcode[ctypes.get_errno()])"""
    right(ruled(w, [PYTHON, "-c", code]), b"NO_RECOVERY NO_RECOVERY HOST_NOT_FOUND True NO_DATA\n-1 ECONNREFUSED\n")
    code = ASK + "print(query(b'mail.example', MX))"
    right(w.via(s.CLOSED, [PYTHON, "-c", code]), b"TRY_AGAIN")


@test("an invalid or incomplete answer of the name server is TRY_AGAIN")
def _(w):
    def answers(made):
        def script(t):
            t.begin()
            t.c.say(OK)
            question = t.take(int.from_bytes(t.take(2), "big"))
            received.append(question)
            t.c.say(made(question))
        return script

    def framed(message, length=None):
        return (len(message) if length is None else length).to_bytes(2, "big") + message

    def reply(question):
        return nameserver.answer(question, 65535)

    code = ASK + "print(query(b'mail.example', TXT), query(b'mail.example', MX))"
    for made, out in ((lambda q: framed(reply(q)), b"59 58"), (lambda q: b"", None), (lambda q: b"\0", None),
                      (lambda q: framed(reply(q), 200), None), (lambda q: framed(reply(q)[:11]), None),
                      (lambda q: framed(q), None), (lambda q: framed(b"xx" + reply(q)[2:]), None)):
        received = []
        w.hostile.play(test_hostile.play(answers(made)))
        right(w.via(s.HOSTILE, [PYTHON, "-c", code]), out or b"TRY_AGAIN TRY_AGAIN")
        assert [q[12:25] for q in received] == [b"\4mail\7example"] * 2, received


@test("connect() to a name unknown to the server fails with the errno of its reply")
def _(w):
    code = "import socket; print(socket.socket().connect_ex(('unknown.example', 80)))"
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"113")


@test("without a configuration no name is resolved")
def _(w):
    status, out, err = w.preloaded(None, ["getent", "ahosts", "both.example"])
    assert status != 0 and not out and b"no configuration" in err, (status, out, err)


@test("queries over TCP work on a socket with IP_BIND_ADDRESS_NO_PORT")
def _(w):
    code = """
import socket, struct
q = bytes(2) + b'\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4both\\7example\\0\\0\\1\\0\\1'
for family, any in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
    s = socket.socket(family)
    s.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    s.bind((any, 0))
    s.connect(('%s' if family == socket.AF_INET else '::ffff:%s', 53))
    assert s.getsockopt(socket.IPPROTO_IP, 24) == 1
    s.sendall(struct.pack('>H', len(q)) + q)
    f = s.makefile('rb')
    answer = f.read(struct.unpack('>H', f.read(2))[0])
    print(socket.inet_ntoa(answer[-4:]))""" % (bed.TARGET4, bed.TARGET4)
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"198.18.0.1\n198.18.0.1\n")


@test("a fake address is valid in a child process with an empty environment")
def _(w):
    code = """
import socket, subprocess, sys
at = socket.getaddrinfo('both.example', 7, type=socket.SOCK_STREAM)[0][4][0]
child = "import socket,sys; s=socket.create_connection((sys.argv[1],7)); s.sendall(b'x'); print(s.recv(1))"
print(subprocess.run([sys.executable, '-c', child, at], env={}, stdout=subprocess.PIPE).stdout)"""
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"b'x'")


@test("rcmd and rexec are refused, because libc would connect directly")
def _(w):
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
host = ctypes.c_char_p(b'both.example')
for call, more in ((libc.rcmd, ()), (libc.rcmd_af, (2,)), (libc.rexec, ()), (libc.rexec_af, (2,))):
    ctypes.set_errno(0)
    print(call(ctypes.byref(host), 514 << 8, b'a', b'b', b'c', None, *more), ctypes.get_errno(), end=' ')"""
    right(w.via(s.DANTED, [PYTHON, "-c", code]), b"-1 95 -1 95 -1 95 -1 95")
