"""Fresh machines: what debootstrap installs of a Debian release, and nothing else. The setup in README.md is executed
on them literally. Run as root; no build is needed:
pytest tests/fresh -n 2"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "package")]

import deb  # noqa: E402
import machine as machines  # noqa: E402

RELEASES = ("bookworm", "trixie")
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
                     "socksify-tests")
NETWORK = "ip link set lo up; ip address add 10.88.2.1/32 dev lo; ip address add 10.88.2.2/32 dev lo"


def pytest_configure(config):
    if not config.option.durations:
        config.option.durations, config.option.durations_min = 0, 1.0


def words(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                          timeout=7200).stdout.strip()


class Fresh(machines.Machine):
    """A machine of RELEASE with PACKAGES in addition to the minimal ones. apt uses packages that an earlier run
    downloaded, and assumes "yes" as the answer to its question."""

    def __init__(self, release, packages=()):
        arch = words("dpkg", "--print-architecture")
        lower = words(os.path.join(HERE, "..", "peer", "debian_root.sh"), release, arch, *packages)
        self.debs = os.path.join(CACHE, "debs")
        self.scratch = tempfile.mkdtemp(prefix="fresh.", dir=CACHE)
        self.offline = None
        subprocess.run(["cp", "-rl", self.debs, self.scratch + "/debs"], check=True)
        super().__init__(self.scratch + "/layer", lower,
                         [(self.scratch + "/debs", "/var/cache/apt/archives")])
        self.write("/etc/apt/apt.conf.d/99answers", 'APT::Get::Assume-Yes "true";\n')

    def close(self):
        super().close()
        if self.offline:
            self.offline.kill()
            self.offline.wait()
        for path in glob.glob(self.scratch + "/debs/*.deb"):
            if os.stat(path).st_nlink == 1:
                os.replace(path, os.path.join(self.debs, os.path.basename(path)))
        shutil.rmtree(self.scratch)

    def cut_off(self):
        """Replaces its network by one with two local addresses and no other host."""
        self.offline = subprocess.Popen(
            ["unshare", "--net", "sh", "-ec", NETWORK + "; echo up; exec sleep infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.offline.stdout.readline() == b"up\n"

    def enter(self):
        network = ["nsenter", "--net=/proc/%d/ns/net" % self.offline.pid] if self.offline else []
        return network + super().enter()

    def add_user(self, name, sudo):
        self.must("useradd --create-home --shell /bin/bash " + name)
        if sudo:
            self.write("/etc/sudoers.d/" + name, name + " ALL=(ALL) NOPASSWD: ALL\n", 0o440)

    def put(self, repository, to, owner="root"):
        """Makes a clone of REPOSITORY at TO that belongs to OWNER."""
        clone = self.scratch + "/clone"
        words("git", "clone", "--quiet", repository, clone)
        tar = subprocess.run(["tar", "-C", clone, "-c", "."], check=True, stdout=subprocess.PIPE)
        shutil.rmtree(clone)
        status, _, err = self.run(["sh", "-ec", 'mkdir -p "$1"; tar -C "$1" --no-same-owner -x; '
                                   'chown -R "$2:" "$1"', "sh", to, owner], data=tar.stdout)
        assert status == 0, err

    def types(self, text, cwd, user="root", seconds=3600):
        """Runs what a user types at a prompt: (exit status, all output)."""
        home = "/root" if user == "root" else "/home/" + user
        status, out, err = self.run(
            ["runuser", "-u", user, "--", "bash", "-e", "-o", "pipefail", "-c", "exec 2>&1\n" + text],
            env={"HOME": home, "USER": user, "LOGNAME": user}, cwd=cwd, seconds=seconds)
        return status, (out + err).decode(errors="replace")

    def follows(self, text, cwd, user="root"):
        """Runs what a user types at a prompt. It must succeed. Returns its output."""
        status, out = self.types(text, cwd, user)
        assert status == 0, "%s\nstatus %s\n%s" % (text, status, out[-6000:])
        return out


@pytest.fixture(params=RELEASES)
def release(request):
    return request.param


@pytest.fixture
def machine(release):
    """machine(PACKAGE...) makes a machine, which exists until the end of the test."""
    made = []

    def make(*packages):
        made.append(Fresh(release, packages))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    """A repository with one commit, the working tree."""
    path = str(tmp_path_factory.mktemp("repository"))
    deb.copy_sources(path)
    git = ["git", "-C", path, "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "all"]):
        words(*git, *command)
    return path
