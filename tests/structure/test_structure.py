#!/usr/bin/python3
"""The house's rules, checked: who includes whom, what the objects need and export."""

import argparse
import glob
import os
import re
import subprocess
import sys

import libc_symbols
import test_manuals_static

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
OBJECT, LIBRARY = "/preload/libsocksify.so", "/libsocks5client/libsocks5client.so.0"
# docs/HOUSE.md, "Who may include whom": what a room may include beside its own.
ROOMS = {"base": "", "core": "base", "gss": "base core", "policy": "base", "shm": "", "calls": "", "engine": "",
         "sock": "base core policy shm calls engine", "fd": "base core policy shm calls engine sock",
         "door": "base core policy shm calls engine sock fd",
         "api": "base core gss policy shm engine sock fd door include", "include": "",
         "preload": "base core policy shm calls engine sock fd door",
         "tools": "base core gss policy shm engine sock",
         "bridge": "base core gss policy shm engine sock"}
# The parts of a room that have a folder of their own.
FOLDERS = {"sock": ["libsocks5client/bind", "libsocks5client/negotiate", "libsocks5client/wait"]}
# The policy is one flat block, with all its limits beside it; the public header is the manual;
# the registry is one structure.
LONG = {"socks5client.h": 800, "socks.h": 300, "registry.h": 260, "engine.h": 260}
COLUMNS = 120
# What the core may call of libc: memory and text, nothing of the kernel.
PURE = {"memcpy", "memmove", "memset", "memcmp", "memchr", "strlen", "strnlen", "strcmp", "strncmp",
        "strchr", "strcasecmp", "strncasecmp", "explicit_bzero", "__explicit_bzero_chk", "__stack_chk_fail",
        "_GLOBAL_OFFSET_TABLE_", "__memcpy_chk", "__memmove_chk", "__memset_chk", "abort"}


def folder(room):
    where = {"preload": "preload", "tools": "tools", "bridge": "tools/bridge"}
    return os.path.join(TOP, where.get(room, "libsocks5client/" + room))


def text_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def sources(room, kind="[ch]"):
    below = "/**/*." if room == "include" else "/*."
    folders = [folder(room)] + [os.path.join(TOP, name) for name in FOLDERS.get(room, [])]
    return sorted(path for name in folders for path in glob.glob(name + below + kind, recursive=True))


def everything(kind):
    return [path for room in ROOMS for path in sources(room, kind)]


def includes():
    headers = {os.path.basename(h): room for room in ROOMS for h in sources(room, "h")}
    wrong = []
    for room, others in ROOMS.items():
        for path in sources(room) + sources(room, "def"):
            for name in re.findall(r'#\s*include\s+"([^"]+)"', text_of(path)):
                home = headers.get(os.path.basename(name), room)
                if home != room and home not in others.split():
                    wrong.append("%s/%s includes %s of %s" % (room, os.path.basename(path), name,
                                                              home))
    return wrong


def matrix_is_documented():
    text = text_of(TOP + "/docs/HOUSE.md")
    table = dict(re.findall(r"^\| (\w+) \| ([\w, ]+) \|$", text, re.M))
    return ["%s: %s" % (room, table.get(room)) for room, others in ROOMS.items()
            if room != "include" and set((table.get(room) or "").replace(",", "").split())
            != set(others.split()) | {room}]


def core_is_pure(build):
    text = output("nm", build + "/libsocks5client/libs5core.a")
    undefined = set(re.findall(r"^ +U (\S+)$", text, re.M))
    # base is headers and a few functions of its own; what the core defines or base has is ours.
    return sorted(n for n in undefined - PURE if not n.startswith("s5_"))


def lengths():
    wrong = []
    for path in everything("[ch]"):
        lines = text_of(path).split("\n")[:-1]
        name = os.path.basename(path)
        limit = 700 if name.endswith(".c") else LONG.get(name, 200)
        if len(lines) > limit:
            wrong.append("%s has %d lines" % (name, len(lines)))
        wrong += ["%s:%d has %d columns" % (name, at, len(line)) for at, line in enumerate(lines, 1) if len(line) > COLUMNS]
    return wrong


def calls_between_files():
    """File -> the files of the engine whose functions it calls: by its text, without comments and inclusions."""
    paths = [path for room in ("sock", "fd") for path in sources(room, "c")]
    bare = {os.path.basename(path): re.sub(r"/\*.*?\*/", "", text_of(path), flags=re.S) for path in paths}
    home = {}
    for name, text in bare.items():
        for function in re.findall(r"^(?!static\b)[a-z_][^;{}()=]*?\b(s5_\w+)\(", text, re.M):
            home.setdefault(function, name)
    return {name: {home[word] for word in re.findall(r"\b(s5_\w+)\(", text) if word in home} - {name}
            for name, text in bare.items()}


def no_cycles():
    """Each file of the engine can be understood after those that it calls. A listener and its next BIND are one."""
    calls = {name: set(others) for name, others in calls_between_files().items()}
    calls["listener.c"].discard("rebind.c")
    while True: # what calls nothing that is left goes
        done = {name for name, others in calls.items() if not others & set(calls)}
        if not done:
            break
        for name in done:
            del calls[name]
    while True: # and what nothing that is left calls
        called = set().union(*calls.values()) if calls else set()
        above = set(calls) - called
        if not above:
            break
        for name in above:
            del calls[name]
    return ["a cycle among " + " ".join(sorted(calls))] if calls else []


def functions():
    """A body begins and ends with a brace in the first column. The rows of a switch that is a table
    do not count."""
    wrong = []
    for path in everything("c"):
        begun = 0
        lines = text_of(path).split("\n")
        for at, line in enumerate(lines):
            if line == "{":
                begun = at
            elif line == "}" and begun:
                long = [x for x in lines[begun:at + 1]
                        if not re.match(r"\s+(case .*:|default:|return \".*\";)", x)]
                if len(long) > 60:
                    wrong.append("%s: %s: %d lines" % (os.path.basename(path),
                                                       lines[begun - 1].strip(), len(long)))
                begun = 0
    return wrong


def confuse_once():
    return [p for p in glob.glob(TOP + "/**/*.[ch]", recursive=True)
            if "confuse.h>" in open(p, errors="replace").read() and "/policy/config.c" not in p]


def gssapi_in_one_room():
    return [p for p in glob.glob(TOP + "/**/*.[ch]", recursive=True)
            if "<gssapi/" in open(p, errors="replace").read() and "/gss/" not in p
            and "/tests/unit/acceptor.h" not in p and "/tests/bench/" not in p]


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def needs_libc_alone(build):
    needed = re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d", build + OBJECT))
    return [n for n in needed if not n.startswith("libc.")]


def headers_alone():
    """Each public header compiles by itself in both languages, without a word of complaint."""
    wrong = []
    for path in sources("include"):
        name = os.path.relpath(path, folder("include"))
        for compiler, language, standard in (("gcc", "c", "c11"), ("g++", "c++", "c++17"),
                                             ("gcc", "c", "gnu11"), ("clang", "c", "c11"),
                                             ("clang++", "c++", "c++17")):
            done = subprocess.run(
                [compiler, "-std=" + standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                 "-fsyntax-only", "-I", folder("include"), "-x", language, "-"],
                input='#include "%s"\n#include "%s"\n' % (name, name), text=True, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode:
                wrong.append("%s as %s: %s" % (name, standard, done.stdout.strip()))
    return wrong


def manual_compiles():
    """The programs in socks5client(3), each of which begins with its name."""
    wrong = []
    pieces = re.findall(r"^\.EX\n(/\* (\w+\.c) \*/\n.*?)^\.EE$", text_of(TOP + "/docs/socks5client.3"),
                        re.M | re.S)
    for text, name in pieces:
        for escape, means in (("\\-", "-"), ("\\(aq", "'"), ("\\(ha", "^"), ("\\(ti", "~"),
                              ("\\&", ""), ("\\e", "\\")):
            text = text.replace(escape, means)
        flags = ["-include", "socks5client/socks.h"] if name == "client.c" else []
        done = subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I",
                               folder("include"), *flags, "-x", "c", "-"], input=text, text=True,
                              check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            wrong.append("%s: %s" % (name, done.stdout.strip()))
    return wrong + ([] if len(pieces) == 4 else ["%d programs" % len(pieces)])


def manual_names_all(build):
    """Every function of the library has its place in the manual: by itself, or as its like."""
    text = text_of(TOP + "/docs/socks5client.3")
    return [name for name in symbols(build + LIBRARY)
            if name.startswith("socks5_") and not re.search(r"\b%s\b" % name, text)]


def symbols(path):
    text = output("nm", "-D", "--defined-only", path)
    return sorted({line.split()[2].split("@")[0] for line in text.splitlines()})


def narrow(path):
    with open(path, "rb") as f:
        return f.read(5)[4] == 1  # ELFCLASS32


def reviewed(name, path):
    """The list NAME.symbols; on 32-bit machines with NAME32.symbols, what libc has there in two widths."""
    lists = [name, name + "32"] if narrow(path) else [name]
    return {word for each in lists
            for word in text_of("%s/tests/house/%s.symbols" % (TOP, each)).split()}


def exported(build):
    return sorted(set(symbols(build + OBJECT)) ^ reviewed("preload", build + OBJECT))


def library(build):
    return sorted(set(symbols(build + LIBRARY)) ^ reviewed("library", build + LIBRARY))


def update(build):
    """Of a 32-bit build: what it has more than others."""
    for what, name in ((OBJECT, "preload"), (LIBRARY, "library")):
        names = symbols(build + what)
        if narrow(build + what):
            names = sorted(set(names) - set(text_of("%s/tests/house/%s.symbols" % (TOP, name)).split()))
            name += "32"
        with open("%s/tests/house/%s.symbols" % (TOP, name), "w", encoding="ascii") as f:
            f.write("\n".join(names) + "\n")


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", default="build")
    options.add_argument("--update", action="store_true",
                         help="write the exported symbols down as reviewed")
    args = options.parse_args()
    build = args.build
    if args.update:
        update(build)
    passed = failed = 0
    for what, check in (("rooms include downwards alone", includes),
                        ("docs/HOUSE.md tells the same", matrix_is_documented),
                        ("the core calls no system function", lambda: core_is_pure(build)),
                        ("sources and headers are short, and so are their lines", lengths),
                        ("functions fit a screen", functions),
                        ("files of the engine call each other without a cycle", no_cycles),
                        ("one file names confuse.h", confuse_once),
                        ("one room names gssapi.h", gssapi_in_one_room),
                        ("the preload object needs libc alone", lambda: needs_libc_alone(build)),
                        ("it exports the reviewed list", lambda: exported(build)),
                        ("every function of libc has a verdict",
                         lambda: libc_symbols.unjudged(build + OBJECT)),
                        ("what is judged to be hooked is exported", lambda:
                         libc_symbols.not_as_judged(build + OBJECT, symbols(build + OBJECT))),
                        ("the library exports the reviewed list", lambda: library(build)),
                        ("public headers compile alone as C11 and C++17", headers_alone),
                        ("the programs in socks5client(3) compile", manual_compiles),
                        ("socks5client(3) names every function", lambda: manual_names_all(build)),
                        *test_manuals_static.checks(build)):
        wrong = check()
        print("%s - %s%s" % ("FAILED" if wrong else "ok", what, ": " + "; ".join(wrong)
                             if wrong else ""))
        passed, failed = passed + (not wrong), failed + bool(wrong)
    print("house: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
