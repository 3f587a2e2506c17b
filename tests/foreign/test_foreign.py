"""The test suites of other projects, run without and with socksify. Each test has the same result, except for the
differences that differences.txt explains: with all connections direct, and with loopback through danted. In both modes
no test hangs that does not hang without socksify."""

import fnmatch
import os
import subprocess
import tempfile

import pytest

import bed
import servers
import suites

HERE = os.path.dirname(os.path.abspath(__file__))
NAMESPACE = bed.TAG + "f"
PORT = 1080
DANTED = """
logoutput: %(dir)s/danted.log
internal: 127.0.0.1 port = %(port)d
external: 127.0.0.1
external: ::1
external.rotation: route
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass { from: 0/0 to: 0/0 }
socks pass { from: 0/0 to: 0/0 }
"""
CONFIGURATION = """
server "danted" {
  address = "127.0.0.1"
  port = %d
}
%s
rule "rest" {
  via = {"direct"}
}
resolve = "local"
"""
# Only TCP: the suites expect that loopback loses no datagram, and a datagram that is sent right before its socket is
# closed may be lost, because the association ends with the socket.
LED = """
rule "listeners" {
  command = {"bind"}
  via = {"direct"}
}
rule "loopback" {
  to = {"127.0.0.0/8", "::1"}
  protocol = {"tcp"}
  via = {"danted"}
}
"""
MODES = {"direct": "", "led": LED}


class Place:
    """A separate host with nothing but loopback, and danted on it."""

    def __init__(self, builds):
        self.scratch = tempfile.mkdtemp(prefix="socksify-")
        bed.user_folder(self.scratch)
        bed.sh("ip netns add " + NAMESPACE)
        bed.sh("ip -n %s link set lo up" % NAMESPACE)
        conf = self.write("danted.conf", DANTED % {"dir": self.scratch, "port": PORT})
        bed.start(NAMESPACE, [servers.danted(), "-f", conf, "-p", self.scratch + "/danted.pid"])
        bed.wait_port(NAMESPACE, "127.0.0.1", PORT)
        for mode, rules in MODES.items():
            self.write(mode + ".conf", CONFIGURATION % (PORT, rules))
        self.socksify = builds + "/build/tools/socksify"

    def write(self, name, text):
        path = "%s/%s" % (self.scratch, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def show(self, name, folder):
        """Mounts FOLDER where the ordinary user can reach it, and returns that path."""
        at = "%s/%s" % (self.scratch, name)
        bed.user_folder(at)
        bed.sh("mount --bind '%s' '%s'" % (folder, at))
        return at

    def runner(self, mode):
        """A function that starts the commands of a suite, without socksify if MODE is None, and the working folder."""
        folder = "%s/%s" % (self.scratch, mode)
        if not os.path.isdir(folder):
            bed.user_folder(folder)
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8"}
        ahead = [self.socksify, "-c", "%s/%s.conf" % (self.scratch, mode), "--"] if mode else []

        def run(command, stdout=None):
            log = open("%s/log" % folder, "a")
            return subprocess.Popen(bed.within(NAMESPACE, ahead + command), env=env, cwd=folder,
                                    start_new_session=True, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=subprocess.STDOUT)
        return run, folder


@pytest.fixture(scope="session")
def place(request):
    yield Place(request.config.getoption("builds"))
    bed.stop_all()


def explained(suite, mode):
    """The patterns of tests that may differ."""
    with open(HERE + "/differences.txt", encoding="utf-8") as f:
        lines = [line.split(None, 3) for line in f if line.strip() and not line.startswith("#")]
    for line in lines:
        assert len(line) == 4, "no reason is given: %s" % line
    return [line[2] for line in lines if line[0] == suite and line[1] in (mode, "both")]


def differences(suite, mode, bare, covered):
    """The differences that differences.txt does not explain."""
    patterns = explained(suite, mode)
    different = {test: (bare.get(test), covered.get(test)) for test in sorted(set(bare) | set(covered))
                 if bare.get(test) != covered.get(test)}
    print("%s, %s: %d tests, %d differ" % (suite, mode, len(bare), len(different)))
    return ["%s, %s: without socksify %s, covered %s" % (test, mode, *pair) for test, pair in different.items()
            if "hangs" in pair or not any(fnmatch.fnmatch(test, p) for p in patterns)]


@pytest.mark.parametrize("suite", suites.ALL, ids=lambda suite: suite.name)
def test_same_results_as_without_socksify(place, suite):
    folder = suite.prepare()
    suite.folder = folder and place.show(suite.name, folder)
    bare = suite.results(*place.runner(None))
    assert sum(result == "passed" for result in bare.values()) > 20, bare
    unexplained = []
    for mode in MODES:
        unexplained += differences(suite.name, mode, bare, suite.results(*place.runner(mode)))
    assert not unexplained, "\n".join(unexplained)
