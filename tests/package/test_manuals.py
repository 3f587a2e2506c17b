"""The manual pages as they are installed: groff and man render them without a warning, each program and each
function of the library has one, and all options are described. tests/structure/manuals.py checks the rest."""

import os
import re
import subprocess

import blocks
import deb
import test_completion
import test_deb
from world import test


@test("manuals: groff and man render the pages without a warning")
def _(_):
    for path in blocks.manuals():
        for command in (["groff", "-man", "-Tutf8", "-ww", "-z"], ["man", "--warnings=w", "-l"]):
            done = subprocess.run(command + [os.path.join(deb.TOP, path)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                                  env=dict(os.environ, MANWIDTH="100", LC_ALL="C.UTF-8",
                                           MANPAGER="cat"), check=False)
            assert done.returncode == 0 and not done.stderr, (path, command, done.stderr)


@test("manuals: every program has a page that describes every option of --help")
def _(w):
    machine = test_deb.Machine.of(w)
    for program in machine.must("dpkg -L socksify | sed -n 's,^/usr/bin/,,p'").split():
        text = blocks.plain(blocks.read("docs/%s.1" % program))
        described = set(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", text))
        missing = test_completion.options_of(machine, program) - described
        assert not missing, (program, missing)


@test("manuals: man finds the page of every function of the library")
def _(w):
    machine = test_deb.Machine.of(w)
    names = re.findall(r"^ +(socks5_\w+|SOCKS\w+);", blocks.read("libsocks5client/libsocks5client.map"), re.M)
    assert len(names) > 40, names
    machine.must("ls -d" + "".join(" /usr/share/man/man3/%s.3.gz" % name for name in names))
    shown = machine.must("man -w " + " ".join(names)).split()
    assert shown == ["/usr/share/man/man3/socks5client.3.gz"] * len(names), shown
