"""The two ways to install in README.md, each by an ordinary user with sudo, and the use of what was installed."""

import example_network
import readme

HOME = "/home/anna"
TOP = HOME + "/socksify"
FETCH = readme.file("The library", "fetch.c")
(LIBRARY,) = readme.commands("The library")


def prepared(machine, repository):
    here = machine("sudo")
    here.add_user("anna", sudo=True)
    here.put(repository, TOP, "anna")
    return here


def assert_fetches(here, text):
    """TEXT compiles and runs the program in README.md."""
    before = example_network.served(here)
    here.write(TOP + "/fetch.c", FETCH)
    here.must("chown anna: fetch.c", cwd=TOP)
    out = here.follows(text, TOP, "anna")
    assert example_network.PAGE in out, out
    assert "connected to example.org:80" in example_network.served(here)[len(before):]


def assert_covers(here):
    out = here.follows("socksify -x socks5h://proxy.example:1080 curl -sS https://example.org/", HOME,
                       "anna")
    assert out.strip() == example_network.PAGE, out
    assert "connected to example.org:443" in example_network.served(here)


def assert_reaches(here, folder):
    """A static program, which the preload object cannot cover, goes through the server in a network namespace of an
    ordinary user. FOLDER has the programs that make it."""
    for name in ("socks5-reach", "socks5-gateway"):
        assert here.must("stat -c '%%A %%U' %s/socksify/%s" % (folder, name)).split() == ["-rwxr-xr-x", "root"]
    before = example_network.served(here)
    out = here.follows("cc -static -D_GNU_SOURCE -o static tests/reach/programs/probe.c\n"
                       "socksify -x socks5h://proxy.example:1080 ./static tcp example.org 80", TOP, "anna")
    assert example_network.PAGE in out, out
    assert "connected to example.org:80" in example_network.served(here)[len(before):]


def assert_manuals(here):
    """man finds each page by its name, and its first line is checked."""
    here.must("apt-get install -q man-db", seconds=3600)
    for section, name in ((1, "socksify"), (1, "socks5-bridge"), (5, "socks5.conf"),
                          (3, "socks5client")):
        out = here.follows("man %s" % name, HOME, "anna")
        assert out.startswith("%s(%d)" % (name.upper() if name.upper() in out else name, section)), out


def test_without_packages(machine, repository):
    """The tests are not built, because their dependencies are missing. A program that uses the library runs. The
    installation by root leaves no files that hinder the user."""
    here = prepared(machine, repository)
    for text in readme.commands("Without packages"):
        here.follows(text, TOP, "anna")
    log = here.must("cat build/meson-logs/meson-log.txt", cwd=TOP)
    assert "no (missing: criterion, libevent)" in log, log[-3000:]
    status, out = here.types("meson setup other -Dtests=enabled", TOP, "anna")
    assert status != 0 and "criterion" in out, out
    assert_manuals(here)
    example_network.start(here)
    assert_covers(here)
    assert_reaches(here, "/usr/local/libexec")
    assert_fetches(here, "\n".join(LIBRARY.splitlines()[1:]))
    here.follows("touch tools/socksify.c\nmeson compile -C build\n"
                 "DESTDIR=%s/staged meson install -C build\nmeson setup --reconfigure build" % HOME,
                 TOP, "anna")
    assert not here.must("find build ! -user anna", cwd=TOP)


def test_packages(machine, repository):
    """The packages, including those of the library."""
    here = prepared(machine, repository)
    build, check = readme.commands("Packages")
    here.follows(build, TOP, "anna")
    here.follows(LIBRARY.splitlines()[0], TOP, "anna")
    assert_manuals(here)
    example_network.start(here)
    out = here.follows(check, TOP, "anna")
    assert example_network.PAGE in out, out
    assert_covers(here)
    assert_reaches(here, "/usr/libexec")
    assert_fetches(here, LIBRARY)
