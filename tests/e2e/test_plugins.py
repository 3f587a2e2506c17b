"""Plug-ins: dlopen() with RTLD_DEEPBIND and dlmopen() load plug-ins that find the hooks. The
loader behaves as without socksify otherwise: it knows the caller and reports the same errors."""

import re

import bed
import servers as s
from world import ASAN, INSIDE, PLAIN, TSAN, right, test

HOWS = ("local", "global", "deep", "apart")


def opener(w):
    return w.build + "/tests/apps/plugins/plugin_opener.so"


def plugin(w):
    return w.build + "/tests/apps/plugins/plugin.so"


def banner(w, how, host):
    """A plug-in that is opened in the way HOW reads the banner of the target."""
    command = [w.app("load_plugin"), "open", how, plugin(w), host, str(s.BANNER)]
    right(w.via(s.DANTED, command), s.BANNER_TEXT)


def served(w, hows):
    for how in hows:
        for host in ("both.example", bed.TARGET4, bed.TARGET6):
            banner(w, how, host)


@test("plugins: a plug-in in a namespace of its own connects directly without socksify", on=PLAIN)
def _(w):
    command = [w.app("load_plugin"), "open", "apart", plugin(w), bed.TARGET4, str(s.BANNER)]
    right(bed.run(bed.PROXY, command, w.env), s.BANNER_TEXT)


@test("plugins: connect and look names up through danted, also with RTLD_DEEPBIND and dlmopen()",
      on=PLAIN)
def _(w):
    served(w, HOWS)


# A sanitizer's own dlopen() comes before that of the preload object and ends the program at
# RTLD_DEEPBIND. If the hooks are linked into the program, they come first.
@test("plugins: connect and look names up through danted, sanitized", on=ASAN)
def _(w):
    served(w, [how for how in HOWS if how != "deep"])


@test("plugins: connect and look names up through danted, with the hooks in the program",
      on=(INSIDE, TSAN))
def _(w):
    served(w, HOWS)


@test("plugins: RUNPATH and $ORIGIN of the caller, RTLD_NOLOAD, dladdr() and errors are as without",
      on=PLAIN)
def _(w):
    command = [w.app("load_plugin"), "facts", opener(w), plugin(w)]
    bare, covered = bed.run(bed.CLIENT, command, w.env), w.via(s.DANTED, command)
    assert bare == covered, (bare, covered)
    facts = dict(line.split(": ", 1) for line in bare[1].decode().splitlines())
    assert bare[0] == 0 and not bare[2], bare
    for how in ("by name", "by $ORIGIN"):
        assert facts[how + ", from the program"].startswith("error: "), facts
        assert facts[how + ", from the library"] == plugin(w), facts
    assert facts["its function"] == "plugin_read_banner of " + plugin(w), facts
    assert facts["new, global"] .startswith("error: invalid mode"), facts


def calls_of_often(w, before):
    """The system calls of a hundred times dlopen() and dlclose(), by name."""
    trace = w.scratch + "/trace-plugins"
    command = ["strace", "-o", trace, *before, w.app("load_plugin"), "often", plugin(w)]
    status, out, err = bed.run(bed.CLIENT, command, w.env)
    assert status == 0, (status, out, err)
    with open(trace, errors="replace") as f:
        text = f.read()
    return re.findall(r"^(\w+)\(", text.split('"READY\\n"', 1)[1].split("exit_group", 1)[0], re.M)


@test("plugins: dlopen() makes no additional system call", on=PLAIN)
def _(w):
    bare = calls_of_often(w, [])
    url = "socks5h://%s:%d" % (bed.PROXY4, s.DANTED)
    covered = calls_of_often(w, [w.socksify, "-x", url, "--"])
    assert bare.count("openat") == 100 and bare == covered, (bare[-20:], covered[-20:])
