"""Everyday programs that do more than connect: they use sandboxes, tracers, other users, a message
bus, a display. Each behaves as without socksify, and its connections go through the server."""

import os
import re
import shutil
import subprocess
import time

import bed
import servers as s
from world import CURL, PAGE, PLAIN, PYTHON, right, test

NAME = "http://both.example/"
FETCH = CURL + [NAME]
LINE = " ".join(FETCH)


def env_of(w, **more):
    return dict(w.env, LANG="C.UTF-8", TERM="xterm", **more)


def folder_of(w, name):
    """A folder of the ordinary user, for one test."""
    path = "%s/%s" % (w.scratch, name)
    bed.user_folder(path)
    os.chmod(path, 0o700)
    return path


def bare(w, command, seconds=60, **env):
    """Runs COMMAND where the target is reachable, without socksify."""
    return bed.run(bed.PROXY, command, env_of(w, **env), seconds)


def covered(w, command, seconds=60, **env):
    url = "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)
    return bed.run(bed.CLIENT, [w.socksify, "-x", url, "--", *command], env_of(w, **env), seconds)


def alike(w, command, out, seconds=60, **env):
    """COMMAND succeeds with the same output without and with socksify. OUT is a part of it."""
    expected, result = bare(w, command, seconds, **env), covered(w, command, seconds, **env)
    right(expected, out)
    assert result[:2] == expected[:2], (result, expected)


# --- tracers and debuggers ---


@test("everyday: strace shows the system calls of curl", on=PLAIN)
def _(w):
    trace = w.scratch + "/everyday.strace"
    right(covered(w, ["strace", "-f", "-o", trace, "-e", "trace=connect", *FETCH]), PAGE)
    with open(trace, encoding="utf-8", errors="replace") as f:
        assert re.search(r"htons\(%d\).*%s" % (s.DANTED, bed.PROXY4), f.read())
    alike(w, ["strace", "-f", "-qq", "-o", "/dev/null", *FETCH], PAGE)


@test("everyday: gdb runs curl to its end, and stops the threads of a program", on=PLAIN)
def _(w):
    gdb = ["gdb", "-q", "-nx", "-batch", "-ex", "set debuginfod enabled off"]
    result = covered(w, [*gdb, "-ex", "run", "--args", *FETCH])
    right(result, PAGE)
    assert b"exited normally" in result[1], result
    stopped = [*gdb, "-ex", "break main", "-ex", "run", "-ex", "info threads", "-ex", "continue",
               "--args", w.app("threads_200"), bed.TARGET4, str(s.ECHO)]
    result = covered(w, stopped, 120)
    right(result, b"Breakpoint 1, main")
    assert b"exited normally" in result[1], result


# --- sandboxes, terminals, other users ---


@test("everyday: bwrap runs curl in a sandbox that can see the preload object", on=PLAIN)
def _(w):
    for more in ([], ["--clearenv"], ["--unshare-pid", "--unshare-ipc", "--die-with-parent"]):
        command = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", *more]
        command += FETCH
        if bed.in_chroot():  # the kernel makes no user namespace there
            assert covered(w, command)[:2] == bare(w, command)[:2]
        else:
            alike(w, command, PAGE)


@test("everyday: tmux starts a server, and the shell in it runs curl", on=PLAIN)
def _(w):
    folder = folder_of(w, "tmux")
    script = """
    t() { tmux -f /dev/null -S "$0/$$" "$@"; }
    t new-session -d -x 200 -y 50 /bin/sh || exit
    t send-keys "%s && echo done with \\$?" Enter
    n=0
    until t capture-pane -p | grep -q "done with 0"; do
        n=$((n + 1)); [ $n -lt 200 ] || exit 9
        sleep 0.1
    done
    t capture-pane -p | grep -o "it came through"
    t kill-server""" % LINE
    alike(w, ["sh", "-c", script, folder], PAGE)


@test("everyday: sudo and su of root run curl as another user", on=PLAIN, root=True, in_chroot=False)
def _(w):
    for command in (["sudo", "-n", "-u", bed.USER, *FETCH], ["sudo", "-n", "-E", *FETCH],
                    ["sudo", "-n", "-i", "-u", bed.USER, "sh", "-c", LINE],
                    ["su", "-s", "/bin/sh", "-c", LINE, bed.USER], ["su", "-c", LINE],
                    ["runuser", "-u", bed.USER, "--", *FETCH]):
        alike(w, command, PAGE, HOME="/root" if "-i" in command else w.env["HOME"])
    alike(w, ["sudo", "-n", "-u", bed.USER, "id", "-u"], b"%d\n" % bed.user().pw_uid)


# --- D-Bus ---

SERVICE = """
import urllib.request
import dbus, dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

class Fetcher(dbus.service.Object):
    @dbus.service.method("example.Fetcher", in_signature="s", out_signature="s")
    def Fetch(self, url):
        return urllib.request.urlopen(url, timeout=20).read().decode().strip()

DBusGMainLoop(set_as_default=True)
name = dbus.service.BusName("example.Fetcher", dbus.SessionBus())
fetcher = Fetcher(name, "/example")
GLib.MainLoop().run()
"""
GDBUS = "gdbus call --session --dest %s --object-path %s --method %s"
FETCHER = GDBUS % ("example.Fetcher", "/example", "example.Fetcher.Fetch " + NAME)
BUS = "dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / " \
      "org.freedesktop.DBus.%s"


@test("everyday: a session bus starts, answers, and activates a service that fetches a page",
      on=PLAIN)
def _(w):
    data = folder_of(w, "bus")
    services = data + "/dbus-1/services"
    os.makedirs(services)
    script = s.write(data + "/service.py", SERVICE)
    s.write(services + "/example.Fetcher.service",
            "[D-BUS Service]\nName=example.Fetcher\nExec=%s %s\n" % (PYTHON, script))
    shutil.chown(data + "/dbus-1", bed.USER)
    lines = "; ".join((FETCHER, BUS % "GetNameOwner string:org.freedesktop.DBus",
                       BUS % "ListActivatableNames | tr -s ' ' '\n' | grep example", FETCHER))
    alike(w, ["dbus-run-session", "--", "sh", "-ec", lines], b"('it came through',)",
          XDG_DATA_HOME=data)


# --- apt ---

CONTROL = """Package: everyday
Version: 1
Architecture: all
Maintainer: a <a@example.org>
Description: a package
"""

APT_CONF = """
Dir::State "%(dir)s/state"; Dir::State::status "%(dir)s/status"; Dir::Cache "%(dir)s/cache";
Dir::Etc "%(dir)s/etc"; Dir::Log "%(dir)s/log"; Acquire::Languages "none";
Acquire::Retries "0"; Acquire::http::Timeout "20"; APT::Sandbox::User "_apt";
"""


def write(path, text):
    """Writes a file of root."""
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def repository(w):
    """A repository of one package, which nginx serves at both.example."""
    top = w.scratch + "/www/debian"
    os.makedirs(top + "/package/DEBIAN")
    os.chmod(top + "/package/DEBIAN", 0o755)
    write(top + "/package/DEBIAN/control", CONTROL)
    for command in ("dpkg-deb -b package everyday_1_all.deb", "dpkg-scanpackages -m . >Packages",
                    "chmod -R a+rX ."):
        subprocess.run(["sh", "-c", command], check=True, cwd=top, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return top + "/everyday_1_all.deb"


@test("everyday: apt-get of root updates and downloads through a server with a password", on=PLAIN,
      root=True)
def _(w):
    package, folder = repository(w), w.scratch + "/apt"
    for name in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d", "log",
                 "down"):
        os.makedirs("%s/%s" % (folder, name))
    os.chmod(folder + "/down", 0o777)
    write(folder + "/apt.conf", APT_CONF % {"dir": folder})
    write(folder + "/status", "")
    write(folder + "/etc/sources.list", "deb [trusted=yes] http://both.example/debian ./\n")
    write(folder + "/socks.conf", 'server "p" { address = "%s" port = %d\n'
          'username = "%s" password = "%s" }\n'
          'rule "all" { via = {"p"} }\n' % (bed.PROXY4, s.MICROSOCKS_AUTH, s.USER, s.PASSWORD))
    os.chmod(folder + "/socks.conf", 0o600)
    for action in ("update", "download everyday"):
        command = ["sh", "-ec", "cd $0/down; exec apt-get -c ../apt.conf -q " + action, folder]
        status, out, err = w.configured(folder + "/socks.conf", command, env_of(w), 60)
        assert status == 0 and not re.search(rb"^[WE]:", err, re.M), (status, out, err)
    with open(folder + "/down/everyday_1_all.deb", "rb") as got, open(package, "rb") as sent:
        assert got.read() == sent.read()


# --- displays; these programs are large ---


def wait_for(what, seconds=30):
    """Waits until WHAT() is true, and returns it."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
    return found


def line_of(path):
    """The line that a program writes into a file."""
    def text():
        with open(path, encoding="utf-8") as f:
            line = f.read()
        return line.endswith("\n") and line.strip()
    return wait_for(text)


# An X server that resets itself when its last client ends may lose a signal meanwhile.
XVFB = ["Xvfb", "-noreset", "-screen", "0", "640x480x24"]


def display(w, ns, *more):
    """Starts an X server in NS and returns its process and the number of its display."""
    number = "%s/display-%s" % (w.scratch, ns)
    with open(number, "w", encoding="ascii") as f:
        process = bed.start(ns, [*XVFB, "-displayfd", "1", *more], stdout=f,
                            stderr=subprocess.DEVNULL)
    return process, line_of(number)


# The clients run until they are ended.
X_CLIENTS = """
xdpyinfo | grep -E "dimensions|vendor string|number of extensions"
for client in xclock xeyes; do
    $client & n=0
    until xwininfo -root -tree | grep -q "\\"$client\\""; do
        n=$((n + 1)); [ $n -lt 100 ] || exit 9; sleep 0.1
    done
    echo $client has a window
    kill $!; wait $!
    echo $client ended with $?
done
"""
GTK = """
gtk3-demo-application & n=0
until %s | grep -q org.gtk.Demo2 && xwininfo -root -tree | grep -q gtk3-demo-application; do
    n=$((n + 1)); [ $n -lt 100 ] || exit 9; sleep 0.1
done
echo registered, and has a window
kill $!; wait $!
echo ended with $?
""" % (BUS % "ListNames")
# A daemon for accessibility, which the bus activates, may print a line.
SESSION = ["sh", "-c", "dbus-run-session -- sh -c '%s' | grep -v SpiRegistry" % GTK]


@test("everyday: X11 clients show windows, also one that registers with the session bus", on=PLAIN,
      full=True, slow=10)
def _(w):
    process, number = display(w, bed.CLIENT)
    env = {"DISPLAY": ":" + number, "HOME": w.scratch + "/home"}
    alike(w, ["sh", "-c", X_CLIENTS], b"xeyes has a window", **env)
    alike(w, SESSION, b"registered, and has a window", **env)
    bed.stop(process)


@test("everyday: an X server runs in the process tree of its clients", on=PLAIN, full=True, slow=5)
def _(w):
    script = "rm -f $0/number; %s -displayfd 3 3>$0/number 2>/dev/null & server=$!; " \
             "until [ -s $0/number ]; do sleep 0.1; done; export DISPLAY=:$(cat $0/number)\n" \
             "%s kill $server; wait $server; echo server ended with $?"
    script %= " ".join(XVFB), X_CLIENTS
    alike(w, ["sh", "-c", script, folder_of(w, "xserver")], b"server ended with 0")


@test("everyday: X11 clients use a display at the target by name, through danted", on=PLAIN,
      full=True, slow=3)
def _(w):
    process, number = display(w, bed.TARGET, "-listen", "tcp", "-ac")
    result = covered(w, ["sh", "-c", X_CLIENTS], DISPLAY="both.example:" + number)
    right(result, b"xeyes has a window")
    bed.stop(process)


@test("everyday: a Wayland compositor and its clients run", on=PLAIN, full=True, slow=10)
def _(w):
    script = """
    export XDG_RUNTIME_DIR=$0 WAYLAND_DISPLAY=everyday
    weston --backend=headless-backend.so --socket=everyday --idle-time=0 >$0/log 2>&1 &
    server=$!; n=0
    until [ -S $0/everyday ]; do
        n=$((n + 1)); [ $n -lt 100 ] || { cat $0/log; exit 9; }
        sleep 0.1
    done
    wayland-info | grep -o "interface: 'wl_[a-z]*'" | sort
    timeout 2 weston-simple-shm
    echo client ended with $?
    kill $server; wait $server
    echo server ended with $?"""
    alike(w, ["sh", "-c", script, folder_of(w, "wayland")], b"client ended with 124")


# --- browsers ---


def page(w, name):
    """Writes a page that nginx serves as NAME.html. Its script changes its text."""
    write("%s/www/%s.html" % (w.scratch, name), "<!doctype html><title>everyday</title><body>"
          "<img src=%s.png><script>document.body.append('it came ' + 'through')</script>" % name)
    return NAME + name + ".html"


def requests(w, name):
    """The paths that nginx was asked for, of those with NAME."""
    with open(w.scratch + "/nginx.log", encoding="utf-8") as f:
        return set(re.findall(r'"GET (/%s\.\w+) ' % name, f.read()))


def is_picture(path):
    with open(path, "rb") as f:
        return f.read(8) == b"\x89PNG\r\n\x1a\n" and os.path.getsize(path) > 500


@test("everyday: chromium with its sandbox shows a page", on=PLAIN, full=True, slow=20)
def _(w):
    home = folder_of(w, "chromium")
    command = ["chromium", "--headless", "--disable-gpu", "--no-first-run", "--window-size=400,300",
               "--user-data-dir=" + home]
    for name, more in (("chromium-dom", ["--dump-dom"]),
                       ("chromium-shot", ["--screenshot=%s/shot.png" % home])):
        status, out, err = covered(w, [*command, *more, page(w, name)], 120, HOME=home)
        assert status == 0 and (PAGE in out or is_picture(home + "/shot.png")), (status, out, err)
        assert requests(w, name) == {"/%s.html" % name, "/%s.png" % name}
    assert is_picture(home + "/shot.png")


@test("everyday: firefox shows a page", on=PLAIN, full=True, slow=20)
def _(w):
    home = folder_of(w, "firefox")
    command = ["firefox-esr", "--headless", "--no-remote", "--profile", home,
               "--window-size=400,300", "--screenshot", home + "/shot.png", page(w, "firefox")]
    status, out, err = covered(w, command, 120, HOME=home, XDG_RUNTIME_DIR=home)
    assert status == 0 and is_picture(home + "/shot.png"), (status, out, err)
    assert requests(w, "firefox") == {"/firefox.html", "/firefox.png"}
