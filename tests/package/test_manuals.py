"""The manuals: groff renders them without a warning, each program has one, and it tells of each option."""

import os
import re
import subprocess

import blocks
import deb
import test_completion
import test_deb
from world import test


@test("manuals: groff and man have nothing to warn of")
def _(_):
    for path in blocks.manuals():
        for command in (["groff", "-man", "-Tutf8", "-ww", "-z"], ["man", "--warnings=w", "-l"]):
            done = subprocess.run(command + [os.path.join(deb.TOP, path)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                                  env=dict(os.environ, MANWIDTH="100", LC_ALL="C.UTF-8",
                                           MANPAGER="cat"), check=False)
            assert done.returncode == 0 and not done.stderr, (path, command, done.stderr)


@test("manuals: every program has one, which tells of every option of its help")
def _(w):
    machine = test_deb.Machine.of(w)
    for program in machine.must("dpkg -L socksify | sed -n 's,^/usr/bin/,,p'").split():
        text = blocks.plain(blocks.read("docs/%s.1" % program))
        told = set(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", text))
        missing = test_completion.options_of(machine, program) - told
        assert not missing, (program, missing)
