"""How the server itself is reached, where nobody resolved it ahead: by bare LD_PRELOAD, in the program
that connects."""

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


def told(w, address, port=s.DANTED):
    """What connections of both families come to, and the lines about them."""
    path = s.write(w.scratch + "/near.conf", 'server "near" { address = "%s" port = %d }\n'
                   'rule "all" { via = {"near"} }\n' % (address, port))
    status, out, err = w.preloaded(None, [PYTHON, "-c", CODE], SOCKS5_CONF=path)
    assert status == 0, (status, out, err)
    return out.decode(), err.decode()


@test("servers: by a name of the hosts file")
def _(w):
    with open(bed.FILES[bed.CLIENT] + "/hosts", "a", encoding="ascii") as f:
        f.write("%s %s\n%s %s\n" % (bed.PROXY4, NEAR, bed.PROXY6, NEAR))
    for port in (s.DANTED, s.MICROSOCKS):
        out, err = told(w, NEAR, port)
        assert out == "b'there' b'there' " and not err, (out, err)


@test("servers: by an address of each family, and a socket of the other")
def _(w):
    out, err = told(w, bed.PROXY4)
    assert out == "b'there' b'there' " and not err, (out, err)
    out, err = told(w, bed.PROXY6)
    assert out == "97 b'there' " and err.count("\n") == 1, (out, err)


@test("servers: by a name nobody knows: EHOSTUNREACH, and why")
def _(w):
    with open(bed.FILES[bed.CLIENT] + "/resolv.conf", "r+", encoding="ascii") as f:
        before = f.read()
        f.seek(0)
        f.write("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
        f.truncate()
        f.flush()
        try:
            out, err = told(w, "nobody.near.example")
        finally:
            f.seek(0)
            f.write(before)
            f.truncate()
    assert out == "113 113 " and err.count("cannot resolve \"nobody.near.example\"") == 2, (out, err)
