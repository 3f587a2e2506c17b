"""How a program finds the server if its name was not resolved before: with LD_PRELOAD alone, by the process that
connects."""

import bed
import servers as s
from world import PYTHON, test

NEAR = "proxy.near.example"  # in the client's hosts file, both families
CODE = """
import socket
for host in ('%s', '%s'):
    c = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
    r = c.connect_ex((host, 7))
    if r == 0: c.sendall(b'there'); r = c.recv(9)
    print(r, end=' ')""" % (bed.TARGET4, bed.TARGET6)


def attempt(w, address, port=s.DANTED):
    """Connects to both families. Returns the results and the log lines."""
    path = s.write(w.scratch + "/near.conf", 'server "near" { address = "%s" port = %d }\n'
                   'rule "all" { via = {"near"} }\n' % (address, port))
    status, out, err = w.preloaded(None, [PYTHON, "-c", CODE], SOCKS5_CONF=path)
    assert status == 0, (status, out, err)
    return out.decode(), err.decode()


@test("servers: a name of the hosts file is resolved")
def _(w):
    with open(bed.FILES[bed.CLIENT] + "/hosts", "a", encoding="ascii") as f:
        f.write("%s %s\n%s %s\n" % (bed.PROXY4, NEAR, bed.PROXY6, NEAR))
    for port in (s.DANTED, s.MICROSOCKS):
        out, err = attempt(w, NEAR, port)
        assert out == "b'there' b'there' " and not err, (out, err)


@test("servers: a server of the other address family is reached, or refused with one line")
def _(w):
    out, err = attempt(w, bed.PROXY4)
    assert out == "b'there' b'there' " and not err, (out, err)
    out, err = attempt(w, bed.PROXY6)
    assert out == "97 b'there' " and err.count("\n") == 1, (out, err)


@test("servers: with an unknown name connect() fails with EHOSTUNREACH and logs why")
def _(w):
    with bed.resolv_conf("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n"):
        out, err = attempt(w, "nobody.near.example")
    assert out == "113 113 " and err.count("cannot resolve \"nobody.near.example\"") == 2, (out, err)
