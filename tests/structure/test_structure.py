#!/usr/bin/python3
"""Checks the structure of the repository: layers, sizes, names, words, exported symbols, manual pages."""

import argparse
import glob
import os
import re
import subprocess
import sys

import libc_symbols
import manuals
import words

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
OBJECT, LIBRARY = "/preload/libsocksify.so", "/libsocks5client/libsocks5client.so.0"
# docs/ARCHITECTURE.md, "Layers": the layers whose headers a layer may include besides its own. Each names only layers
# above it in this table, so that no cycle can exist.
LAYERS = {
    "base": "",
    "proto": "base",
    "gss": "base proto",
    "policy": "base",
    "environment": "base policy",
    "url": "base policy environment",
    "config": "base policy environment url",
    "coverage": "base",
    "thread": "",
    "fence": "base policy thread",
    "cache": "base policy thread",
    "shm": "base proto policy thread cache",
    "reload": "base policy environment config shm",
    "registry": "base shm",
    "engine": "base proto policy config thread fence cache shm reload registry",
    "resolve": "base proto policy thread fence cache shm engine",
    "choice": "base policy cache shm engine resolve",
    "chain": "base proto policy cache shm engine",
    "negotiate": "base proto policy thread cache shm registry engine resolve choice chain",
    "fd": "base thread shm registry engine negotiate",
    "inflight": "base thread shm registry engine resolve negotiate fd",
    "client": "base proto policy negotiate",
    "names": "base policy thread fence engine resolve",
    "tcp": "base policy shm registry engine resolve choice negotiate fd inflight names",
    "dns": "base thread registry engine resolve negotiate fd inflight names tcp",
    "bind": "base proto thread shm registry engine resolve choice negotiate fd inflight",
    "udp": "base proto policy thread shm registry engine resolve choice negotiate fd inflight names dns",
    "datagram": "base proto engine fd inflight udp",
    "wait": "base registry engine negotiate fd inflight bind",
    "calls": "base thread shm registry engine resolve fd inflight names tcp dns bind udp datagram",
    "process": "base thread shm reload registry engine resolve negotiate fd inflight names bind",
    "hooks": "base thread fence registry engine fd bind wait calls process",
    "lookup": "base thread fence engine resolve names dns hooks",
    "include": "",
    "api": "base proto gss policy url config cache shm negotiate client hooks include",
    "preload": "base thread fence engine fd names process hooks",
    "exec": "base policy coverage thread fence shm engine fd hooks preload",
    "relay": "base proto",
    "bridge": "base proto gss policy config shm reload engine resolve client relay",
    "observe": "base policy engine",
    "netns": "base",
    "reach": "base coverage fence shm engine resolve netns tools",
    "packets": "base relay netns",
    "life": "base policy shm hooks relay observe netns",
    "gateway": "base policy shm engine resolve names udp hooks include relay observe netns packets life",
    "import": "base policy config tools",
    "check": "base proto gss policy config engine resolve client coverage fence tools",
    "companion": "base policy fence shm engine resolve observe",
    "tools": "base proto gss policy config coverage fence cache shm reload engine resolve check companion import bridge",
}
# The maximum number of lines of all files of a layer. Exceptions are explained in docs/ARCHITECTURE.md.
LAYER_LINES = 1850
# The lengths of headers that may be longer: the public headers are documentation, the others are one structure each.
LONG = {"socks5client.h": 800, "socks.h": 300, "registry.h": 260, "engine.h": 260, "policy.h": 290}
COLUMNS = 120
# The libc functions that proto may call: for memory and text, without system calls.
PURE = {"memcpy", "memmove", "memset", "memcmp", "memchr", "strlen", "strnlen", "strcmp", "strncmp",
        "strchr", "strcasecmp", "strncasecmp", "explicit_bzero", "__explicit_bzero_chk", "__stack_chk_fail",
        "_GLOBAL_OFFSET_TABLE_", "__memcpy_chk", "__memmove_chk", "__memset_chk", "abort"}


def folder(layer):
    where = {"preload": "preload", "tools": "tools", "bridge": "tools/bridge", "check": "tools/check", "relay": "tools/relay",
             "companion": "tools/companion", "observe": "tools/observe", "netns": "tools/netns", "packets": "tools/packets",
             "reach": "tools/reach", "life": "tools/life", "gateway": "tools/gateway", "exec": "preload/exec",
             "import": "tools/import"}
    return os.path.join(TOP, where.get(layer, "libsocks5client/" + layer))


def text_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def sources(layer, kind="[ch]"):
    below = "/**/*." if layer == "include" else "/*."
    return sorted(glob.glob(folder(layer) + below + kind, recursive=True))


def everything(kind):
    return [path for layer in LAYERS for path in sources(layer, kind)]


def without_comments(text):
    return re.sub(r"(?s)/\*.*?\*/", " ", text)


def includes():
    headers = {os.path.basename(h): layer for layer in LAYERS for h in sources(layer, "h")}
    wrong = []
    for layer, others in LAYERS.items():
        own = {os.path.basename(h) for h in sources(layer, "h")}
        for path in sources(layer) + sources(layer, "def"):
            for name in re.findall(r'#\s*include\s+"([^"]+)"', text_of(path)):
                home = layer if os.path.basename(name) in own else headers.get(os.path.basename(name), layer)
                if home != layer and home not in others.split():
                    wrong.append("%s/%s includes %s of %s" % (layer, os.path.basename(path), name, home))
    return wrong


def no_cycle_of_layers():
    """A layer includes only layers above it in the table. The tools are one program each and may include each other."""
    seen, wrong = set(), []
    for layer, others in LAYERS.items():
        seen.add(layer)
        if layer not in ("tools", "import", "check", "reach"):
            wrong += ["%s: %s" % (layer, other) for other in others.split() if other not in seen]
    return wrong


def matrix_is_documented():
    text = text_of(TOP + "/docs/ARCHITECTURE.md")
    table = dict(re.findall(r"^\| `(\w+)` \| ([\w, -]+) \|$", text, re.M))
    return ["%s: %s" % (layer, table.get(layer)) for layer, others in LAYERS.items()
            if layer != "include" and set((table.get(layer) or "").replace(",", "").split()) - {"-"}
            != set(others.split())]


def layers_are_small():
    wrong = []
    for layer in LAYERS:
        lines = sum(text_of(path).count("\n") for path in sources(layer))
        if layer not in ("tools", "bridge") and lines > LAYER_LINES:
            wrong.append("%s has %d lines" % (layer, lines))
    return wrong


def without_attributes(text):
    return re.sub(r"__attribute__\s*\(\(.*?\)\)", "", text, flags=re.S)


def definitions(text):
    """(name, whether it is static) of each function of TEXT, whose body begins with a brace in the first column."""
    text = without_comments(text)
    for start in re.finditer(r"^\{$", text, re.M):
        declarator = without_attributes(re.split(r"[;}]|^#.*$", text[:start.start()], flags=re.M)[-1])
        name = re.search(r"(\w+)\s*\(", declarator)
        if name:
            yield name.group(1), bool(re.search(r"\bstatic\b", declarator))


def defined_in():
    """Function -> the file that defines it, of functions that are not static."""
    home = {}
    for path in everything("c"):
        for name, static in definitions(text_of(path)):
            if not static:
                home.setdefault(name, set()).add(path)
    return home


def headers_declare_their_own():
    """A header declares only functions of the source file with the same name."""
    home, wrong = defined_in(), []
    for path in everything("h"):
        if "/include/" in path:
            continue
        text = without_comments(text_of(path))
        while True: # remove text in braces
            shorter = re.sub(r"\{[^{}]*\}", ";", text)
            if shorter == text:
                break
            text = shorter
        for statement in re.split(r"[;{}]|^#.*(?:\\\n.*)*$", text, flags=re.M):
            statement = without_attributes(statement)
            name = re.match(r"\s*(?!typedef\b|static\b)[\w\s*]*[\s*](\w+)\(", statement)
            files = home.get(name.group(1), set()) if name else set()
            stems = {os.path.basename(f)[:-2] for f in files}
            if stems and os.path.basename(path)[:-2] not in stems:
                wrong.append("%s declares %s of %s.c" % (os.path.basename(path), name.group(1), ", ".join(stems)))
    return wrong


def static_functions_say_what_they_do():
    """The names of static functions have a verb and an object: a single word in a backtrace explains nothing."""
    return ["%s: %s()" % (os.path.basename(path), name) for path in everything("[ch]")
            for name, static in definitions(text_of(path))
            if static and re.fullmatch(r"(?!if$|ret$)[a-z0-9]+", name)]


def proto_is_pure(build):
    text = output("nm", build + "/libsocks5client/libs5proto.a")
    undefined = set(re.findall(r"^ +U (\S+)$", text, re.M))
    # Functions of the protocol layer itself and of base are allowed.
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


# The layers of the engine. The table of kinds (calls/kinds.c) is data: lower layers call its functions through it.
ENGINE = [layer for layer in LAYERS if layer not in ("include", "hooks", "api", "preload", "bridge", "import", "check",
                                                     "tools", "gss", "coverage", "client")]


def calls_between_files():
    """{file: files of the engine whose functions it calls}, by the text without comments."""
    paths = [path for layer in ENGINE for path in sources(layer, "c")]
    bare = {os.path.basename(path): re.sub(r"/\*.*?\*/", "", text_of(path), flags=re.S) for path in paths}
    home = {}
    for name, text in bare.items():
        for function in re.findall(r"^(?!static\b)[a-z_][^;{}()=]*?\b(s5_\w+)\(", text, re.M):
            home.setdefault(function, name)
    return {name: {home[word] for word in re.findall(r"\b(s5_\w+)\(", text) if word in home} - {name}
            for name, text in bare.items()}


def no_cycles():
    """The files of the engine do not call each other in cycles, so that they can be read one after another. A listener
    and its next BIND request are one subject in two files."""
    calls = {name: set(others) for name, others in calls_between_files().items()}
    calls["listener.c"].discard("next_bind.c")
    while True: # remove files that call no remaining file
        done = {name for name, others in calls.items() if not others & set(calls)}
        if not done:
            break
        for name in done:
            del calls[name]
    while True: # remove files that no remaining file calls
        called = set().union(*calls.values()) if calls else set()
        uncalled = set(calls) - called
        if not uncalled:
            break
        for name in uncalled:
            del calls[name]
    return ["a cycle among " + " ".join(sorted(calls))] if calls else []


def functions():
    """No function has more than 60 lines. A body begins and ends with a brace in the first column. The rows of a switch
    that is a table do not count."""
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


def suppressions_name_functions():
    """A function of tests/e2e/tsan.supp that was renamed would suppress nothing."""
    names = re.findall(r"^race:(\w+)$", text_of(TOP + "/tests/e2e/tsan.supp"), re.M)
    code = "".join(without_comments(text_of(path)) for path in everything("c"))
    return [name for name in names if not re.search(r"^[a-z].*\b%s\(" % name, code, re.M)]


def confuse_once():
    return [p for p in glob.glob(TOP + "/**/*.[ch]", recursive=True)
            if "confuse.h>" in open(p, errors="replace").read() and "/config/config.c" not in p]


def gssapi_in_one_layer():
    return [p for p in glob.glob(TOP + "/**/*.[ch]", recursive=True)
            if "<gssapi/" in open(p, errors="replace").read() and "/gss/" not in p
            and "/tests/unit/acceptor.h" not in p and "/tests/bench/" not in p]


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def needs_libc_alone(build):
    needed = re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d", build + OBJECT))
    return [n for n in needed if not n.startswith("libc.")]


def headers_alone():
    """Each public header compiles by itself in C and C++ without a warning."""
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
    """The programs in socks5client(3) compile. Each begins with a comment that has its name."""
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
    """The functions of the library that the manual does not name."""
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
    """The list NAME.symbols. On 32-bit machines NAME32.symbols is added: what libc has there in two widths."""
    lists = [name, name + "32"] if narrow(path) else [name]
    return {word for each in lists
            for word in text_of("%s/tests/structure/%s.symbols" % (TOP, each)).split()}


def exported(build):
    return sorted(set(symbols(build + OBJECT)) ^ reviewed("preload", build + OBJECT))


def library(build):
    return sorted(set(symbols(build + LIBRARY)) ^ reviewed("library", build + LIBRARY))


def update(build):
    """Writes the lists. For a 32-bit build it writes only the additional symbols."""
    for what, name in ((OBJECT, "preload"), (LIBRARY, "library")):
        names = symbols(build + what)
        if narrow(build + what):
            names = sorted(set(names) - set(text_of("%s/tests/structure/%s.symbols" % (TOP, name)).split()))
            name += "32"
        with open("%s/tests/structure/%s.symbols" % (TOP, name), "w", encoding="ascii") as f:
            f.write("\n".join(names) + "\n")


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--build", default="build")
    options.add_argument("--update", action="store_true",
                         help="write the exported symbols to the reviewed lists")
    args = options.parse_args()
    build = args.build
    if args.update:
        update(build)
    passed = failed = 0
    for what, check in (("a layer includes only the layers of its row", includes),
                        ("layers do not include each other in cycles", no_cycle_of_layers),
                        ("docs/ARCHITECTURE.md has the same table of layers", matrix_is_documented),
                        ("no layer has more than %d lines" % LAYER_LINES, layers_are_small),
                        ("a header declares only functions of its own source file", headers_declare_their_own),
                        ("static functions have names of two words", static_functions_say_what_they_do),
                        ("invented words are not used", words.wrong),
                        ("the protocol layer calls no system function", lambda: proto_is_pure(build)),
                        ("sources, headers and their lines are not too long", lengths),
                        ("functions have at most 60 lines", functions),
                        ("functions of ThreadSanitizer's suppressions exist", suppressions_name_functions),
                        ("files of the engine do not call each other in cycles", no_cycles),
                        ("only one file includes confuse.h", confuse_once),
                        ("only the layer gss includes gssapi.h", gssapi_in_one_layer),
                        ("the preload object needs only libc", lambda: needs_libc_alone(build)),
                        ("the preload object exports the reviewed list", lambda: exported(build)),
                        ("every function of libc has a verdict",
                         lambda: libc_symbols.without_verdict(build + OBJECT)),
                        ("the functions with the verdict \"hooked\" are exported", lambda:
                         libc_symbols.hooks_that_differ(build + OBJECT, symbols(build + OBJECT))),
                        ("the library exports the reviewed list", lambda: library(build)),
                        ("public headers compile by themselves as C11 and C++17", headers_alone),
                        ("the programs in socks5client(3) compile", manual_compiles),
                        ("socks5client(3) names every function", lambda: manual_names_all(build)),
                        *manuals.checks(build)):
        wrong = check()
        print("%s - %s%s" % ("FAILED" if wrong else "ok", what, ": " + "; ".join(wrong)
                             if wrong else ""))
        passed, failed = passed + (not wrong), failed + bool(wrong)
    print("structure: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
