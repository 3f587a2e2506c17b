"""Compares the functions that libc exports on this machine with tests/house/libc.symbols, where each
has a verdict. A function without one may send, connect, wait, execute or look names up past the
hooks: a person must decide."""

import collections
import os
import re
import subprocess

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libc.symbols")
# glibc's libraries that reach the network, and those that libc has absorbed since 2.34. The latter
# and libnsl are not in every installation.
LIBRARIES = ("libc.so.6", "libresolv.so.2", "libanl.so.1", "libdl.so.2", "libnsl.so.1",
             "libpthread.so.0", "librt.so.1", "libutil.so.1")
REQUIRED = LIBRARIES[:2]
# Exports of the preload object that are no functions of libc: liburing's and the object's mark.
NOT_LIBC = {"io_uring_queue_init", "io_uring_queue_init_params", "io_uring_setup", "socksify_covers"}
HEADING = re.compile(r"\[(hooked|(?:hooked|not hooked|not hooked yet|harmless): \S.*)\]")


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def verdicts():
    """({function: verdict}, what is wrong with the list)."""
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
    """The files of LIBRARIES that the loader takes for OF_OBJECT."""
    libc = re.search(r"^\s*libc\.so\.6 => (\S+)", output("ldd", of_object), re.M)
    if not libc:
        raise RuntimeError("ldd does not tell the libc of " + of_object)
    folder = os.path.dirname(os.path.realpath(libc[1]))
    paths = [os.path.join(folder, name) for name in LIBRARIES]
    return [p for p in paths if os.path.exists(p) or os.path.basename(p) in REQUIRED]


def functions(path):
    """The functions of a library for other packages' programs. GLIBC_PRIVATE is for glibc's own."""
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


def unjudged(of_object):
    """Functions of this machine's libc that have no verdict, and mistakes in the list."""
    of, wrong = verdicts()
    found = exported(of_object)
    if len(found) < 2000:
        wrong.append("only %d functions found in %s" % (len(found), " ".join(LIBRARIES)))
    return wrong + ["%s of %s has no verdict in libc.symbols" % (name, " ".join(where))
                    for name, where in sorted(found.items()) if name not in of]


def not_as_judged(of_object, hooks):
    """HOOKS, the exports of the preload object, and the verdict "hooked" are the same of this
    machine's libc."""
    of, _ = verdicts()
    judged = {name for name, verdict in of.items() if verdict and verdict.startswith("hooked")}
    hooks = set(hooks) - NOT_LIBC
    return (["%s is judged to be hooked and is not" % name
             for name in sorted(judged & set(exported(of_object)) - hooks)] +
            ["%s is hooked and not judged to be" % name for name in sorted(hooks - judged)])
