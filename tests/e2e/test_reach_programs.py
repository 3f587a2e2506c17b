"""The namespace engine: programs that listen, browsers with their own sandbox, and containers in a namespace. Programs
that only connect are rows of test_matrix.py."""

import os
import socket

import bed
import go_programs as go
import reaching
import test_everyday
from reaching import BUSYBOX, Life, run
from test_reach_loopback import SOON
from world import CURL, PAGE, PLAIN, fine, test

TEXT = PAGE + b"\n"


@test("reach programs: rclone serves the host from a namespace what it fetches by the server", on=PLAIN)
def _(w):
    go.targets(w)
    with open(w.scratch + "/many/9", "rb") as f:
        wanted = f.read()
    for address in ("127.0.0.1", "[::1]"):
        for start in ([], ["sh", "-c", '"$@"; true', "sh"]):
            with bed.inside(bed.CLIENT), socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            with Life(w) as life:
                reaching.start(w, [*start, "rclone", "--config", "/dev/null", "serve", "http", "--addr", "%s:%d" % (
                    address, port), ":webdav,url='http://both.example:%d':" % go.WEBDAV], env=life.env)
                reaching.until(lambda: reaching.answers(address.strip("[]"), port), SOON)
                status, out, err = bed.run(bed.CLIENT, [*CURL, "http://%s:%d/9" % (address, port)], w.env)
                assert (status, out) == (0, wanted), (status, len(out), err)
                life.kill()


# --- browsers ---

for OPTIONS in ("--engine=namespace", "--strict"):
    @test("reach programs: chromium with its own sandbox shows a page, %s" % OPTIONS, on=PLAIN, full=True, slow=20)
    def _(w, options=OPTIONS):
        with Life(w) as life:
            home = test_everyday.folder_of(w, "chromium" + options)
            name = "reach-chromium" + options
            command = ["chromium", "--headless", "--disable-gpu", "--no-first-run", "--user-data-dir=" + home, "--dump-dom",
                       test_everyday.page(w, name)]
            status, out, err = run(w, command, options, seconds=90, env=dict(life.env, HOME=home))
            assert status == 0 and b"it came through" in out and b"andbox" not in err, (status, out, err)
            life.kill()
        assert test_everyday.requests(w, name) >= {"/%s.html" % name}

    @test("reach programs: firefox shows a page, %s" % OPTIONS, on=PLAIN, full=True, slow=20)
    def _(w, options=OPTIONS):
        with Life(w) as life:
            home = test_everyday.folder_of(w, "firefox" + options)
            name = "reach-firefox" + options
            command = ["firefox-esr", "--headless", "--no-remote", "--profile", home, "--window-size=400,300",
                       "--screenshot", home + "/shot.png", test_everyday.page(w, name)]
            status, out, err = run(w, command, options, seconds=90, env=dict(life.env, HOME=home))
            assert status == 0 and os.path.getsize(home + "/shot.png") > 1000, (status, out, err)
            life.kill()
        assert test_everyday.requests(w, name) >= {"/%s.html" % name}


# --- containers ---

# podman keeps its state in /run. What the test makes there, and the control groups, are in a mount namespace.
PODMAN = """
mount -t tmpfs none /run; mount --make-rshared /; mount -t cgroup2 none /sys/fs/cgroup
mkdir -p "$1/image/bin"; cp "$2" "$1/image/bin/busybox"; shift 2
exec "$@"
"""
FETCH = "for host in %s; do busybox wget -q -O - http://$host/ || exit; done" % " ".join(go.HOSTS)

for NAME, NETWORK in (("the host's network", "--network=host"), ("slirp4netns", "--network=slirp4netns")):
    for OPTIONS in ("--engine=auto", "--strict"):
        @test("reach programs: podman runs a container as root, with %s, %s" % (NAME, OPTIONS), on=PLAIN, root=True,
              full=True, in_chroot=False, slow=10)
        def _(w, network=NETWORK, options=OPTIONS):
            home = "%s/podman%s%s" % (w.scratch, network, options)
            podman = ["podman", "--root", home + "/root", "--runroot", "/run/box", "--storage-driver", "vfs",
                      "--cgroup-manager=cgroupfs", "--events-backend=file"]
            start = ["sh", "-c", PODMAN, "sh", home, BUSYBOX]
            with Life(w) as life:
                env = dict(life.env, HOME=home, XDG_RUNTIME_DIR=home)
                fine(bed.run(bed.CLIENT, [*start, "sh", "-c", 'tar -C "$0" -c . | "$@"', home + "/image", *podman, "import",
                                          "-", "box"], env))
                command = [*podman, "run", "--rm", "--cgroups=disabled", network, "box", "/bin/busybox", "sh", "-c",
                           FETCH]
                status, out, err = bed.run(bed.CLIENT, [*start, *reaching.by_url(w, command, options)], env)
                assert (status, out) == (0, 3 * TEXT), (status, out, err)
                life.kill()
