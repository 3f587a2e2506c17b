"""Compares the functions that libc exports on this machine with tests/structure/libc.symbols, which has a verdict for
each. A function without a verdict may send, connect, wait, execute or look up names without being intercepted: a
person must decide."""

import collections
import os
import re
import subprocess

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libc.symbols")
# glibc's libraries that use the network, and those that have been part of libc since 2.34. The latter and libnsl are
# not in every installation.
LIBRARIES = ("libc.so.6", "libresolv.so.2", "libanl.so.1", "libdl.so.2", "libnsl.so.1",
             "libpthread.so.0", "librt.so.1", "libutil.so.1")
REQUIRED = LIBRARIES[:2]
# Exports of the preload object that are not functions of libc: those of liburing and the object's own mark.
NOT_LIBC = {"io_uring_queue_init", "io_uring_queue_init_params", "io_uring_setup", "socksify_covers"}
HEADING = re.compile(r"\[(hooked|(?:hooked|not hooked|not hooked yet|fenced|harmless): \S.*)\]")


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def verdicts():
    """({function: verdict}, mistakes in the list)."""
    of, wrong, verdict = {}, [], None
    with open(LIST, encoding="ascii") as f:
        for at, line in enumerate(f, 1):
            line = line.strip()
            if line.startswith("["):
                heading = HEADING.fullmatch(line)
                verdict = heading[1] if heading else None
                if not heading:
                    wrong.append("line %d: not a verdict: %s" % (at, line))
            elif line and not line.startswith("#"):
                for name in line.split():
                    if name in of:
                        wrong.append("line %d: %s has two verdicts" % (at, name))
                    of[name] = verdict
    return of, wrong


def libraries(of_object):
    """The files of LIBRARIES that the loader uses for OF_OBJECT."""
    libc = re.search(r"^\s*libc\.so\.6 => (\S+)", output("ldd", of_object), re.M)
    if not libc:
        raise RuntimeError("ldd does not show the libc of " + of_object)
    folder = os.path.dirname(os.path.realpath(libc[1]))
    paths = [os.path.join(folder, name) for name in LIBRARIES]
    return [p for p in paths if os.path.exists(p) or os.path.basename(p) in REQUIRED]


def functions(path):
    """The public functions of a library. GLIBC_PRIVATE functions are for glibc itself."""
    text = output("nm", "-D", "--defined-only", "--with-symbol-versions", path)
    found = re.findall(r"^[0-9a-f]+ [TWi] ([^@\s]+)(?:@@?(\S+))?$", text, re.M)
    return {name for name, version in found
            if version != "GLIBC_PRIVATE" and not name.endswith("version_placeholder")}


def exported(of_object):
    """{function: libraries that export it}"""
    where = collections.defaultdict(list)
    for path in libraries(of_object):
        for name in functions(path):
            where[name].append(os.path.basename(path))
    return where


def without_verdict(of_object):
    """The functions of this machine's libc without a verdict, and mistakes in the list."""
    of, wrong = verdicts()
    found = exported(of_object)
    if len(found) < 2000:
        wrong.append("only %d functions found in %s" % (len(found), " ".join(LIBRARIES)))
    return wrong + ["%s of %s has no verdict in libc.symbols" % (name, " ".join(where))
                    for name, where in sorted(found.items()) if name not in of]


def hooks_that_differ(of_object, hooks):
    """The differences between HOOKS, the exports of the preload object, and the functions of this machine's libc with
    the verdict "hooked"."""
    of, _ = verdicts()
    judged = {name for name, verdict in of.items() if verdict and verdict.startswith("hooked")}
    hooks = set(hooks) - NOT_LIBC
    return (["%s has the verdict \"hooked\" and is not hooked" % name
             for name in sorted(judged & set(exported(of_object)) - hooks)] +
            ["%s is hooked and does not have the verdict \"hooked\"" % name for name in sorted(hooks - judged)])
