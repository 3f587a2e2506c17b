"""Wrong pointers, odd lengths, and addresses that mean another address: the results are the same with and without
socksify."""

import os

import bed
import servers as s
import test_udp
from world import PLAIN, PYTHON, right, test


@test("wrong pointers have the same results with and without socksify", on=PLAIN, slow=30)
def _(w):
    test_udp.targets(w)
    command = [w.app("bad_pointers"), bed.TARGET4, str(s.ECHO), str(s.REFUSED)]
    status, bare, err = bed.run(bed.PROXY, command, w.env, 300)
    assert status == 0, (status, bare, err)
    status, covered, err = w.via(s.DANTED, command, seconds=300)
    assert status == 0, (status, covered[-500:], err)
    bare, covered = (out.decode().splitlines() for out in (bare, covered))
    different = [pair for pair in zip(bare, covered) if pair[0] != pair[1]]
    assert len(bare) == len(covered) and not different, different
    assert not [line for line in covered if "killed" in line], covered


def loopback_led(w, code):
    """Runs CODE with a rule that sends loopback through a server. Returns the first data that the server received."""
    def serves(conversation):
        conversation.receive()
        conversation.say(bytes([5, 0]) + conversation.OK)
        conversation.echo()

    conf = s.write("%s/loopback-led.conf" % w.scratch, 'server "p" { address = "%s" port = %d pipeline = on }\n'
                   'rule "here" { to = {"127.0.0.0/8", "::1"} via = {"p"} }\n' % (bed.PROXY4, s.HOSTILE))
    os.chmod(conf, 0o644)
    w.hostile.play(serves)
    right(w.configured(conf, [PYTHON, "-c", code], w.env, 40), b"as asked")
    return w.hostile.received[0]


@test("connect() to the unspecified address goes to loopback, through a server if a rule says so")
def _(w):
    code = """
import socket
c = socket.socket(%s); c.connect((%r, 7))
assert c.getpeername()[0] == %r, c.getpeername()
c.sendall(b'x'); assert c.recv(9) == b'x'
print('as asked')"""
    here4, here6 = bytes([1, 127, 0, 0, 1]), bytes([4] + 15 * [0] + [1])
    for family, asked, peer, encoded in (("socket.AF_INET", "0.0.0.0", "127.0.0.1", here4),
                                      ("socket.AF_INET6", "::ffff:0.0.0.0", "::ffff:127.0.0.1", here4),
                                      ("socket.AF_INET6", "::", "::1", here6)):
        request = loopback_led(w, code % (family, asked, peer))
        assert request == b"\5\1\0\5\1\0" + encoded + b"\0\7", request


@test("no call needs more than 4 KiB of stack in addition to what it needs without socksify", on=PLAIN)
def _(w):
    test_udp.targets(w)
    command = [w.app("small_stacks"), bed.TARGET4, str(s.ECHO)]
    status, bare, err = bed.run(bed.PROXY, command, w.env, 100)
    assert status == 0, (status, err)
    status, covered, err = w.via(s.DANTED, command, seconds=100)
    assert status == 0, (status, err)
    needs = [dict(line.split() for line in out.decode().splitlines()) for out in (bare, covered)]
    more = {name: int(needs[1][name]) - int(needs[0][name]) for name in needs[0]}
    assert len(more) == 14 and not [name for name in more if more[name] > 4096], more
