"""Compares the manual pages with the programs: options with --help, keys with the parser, examples, order of sections,
cross-references, alias pages. Needs a build, but no installation. test_structure.py runs these checks."""

import glob
import json
import os
import re
import subprocess
import tempfile

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PROGRAMS = ("socksify", "socks5-bridge")
HELP_COLUMNS = 79
# The conventional order of sections. None stands for all other sections.
ORDER = ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", None, "EXIT STATUS", "ERRORS", "ENVIRONMENT", "FILES",
         "VERSIONS", "EXAMPLES", "SECURITY", "LIMITS", "SEE ALSO")
REQUIRED = {"NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"}
# The sections of socks5.conf(5) that describe keys, and the text that turns a key's example into a configuration.
SERVER = 'server "corp" { address = "192.0.2.1" }\n'
OTHERS = SERVER.replace("corp", "near") + SERVER.replace("corp", "far")
KEYS = {"SERVERS": 'server "corp" { %s\n }', "RULES": SERVER + SERVER.replace("corp", "other") + 'rule "some" { %s\n }',
        "CHAINS": OTHERS + 'chain "deep" { %s\n }', "LOGGING": "log { %s }", "NAMES": "%s"}
# What a key's example needs in addition.
BESIDE = {"SERVERS": (("address", 'address = "192.0.2.1"'),), "RULES": (("via", 'via = "corp"'),),
          "CHAINS": (("servers", 'servers = {"near", "far"}'),)}
OTHER = 'via += {"other"}'
NEEDS = {("CHAINS", "length"): 'mode = "random"', ("RULES", "pick"): OTHER, ("RULES", "next-on"): OTHER, ("RULES", "timeout"): OTHER,
         "password": 'username = "alice"', "password-file": 'username = "alice"',
         "username": 'password = "s@cret"'}
ESCAPES = ((r"\-", "-"), (r"\(dq", '"'), (r"\(aq", "'"), (r"\&", ""), (r"\(ti", "~"), (r"\(ha", "^"), (r"\~", " "),
           (r"\c", ""), (r"\e", "\\"))


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def pages():
    """{"socksify(1)": its source}"""
    return {re.sub(r"\.(\d)$", r"(\1)", os.path.basename(path)): read(path)
            for path in sorted(glob.glob(TOP + "/docs/*.[1-9]"))}


def plain(text):
    """TEXT without font macros and escapes."""
    text = re.sub(r"^\.[BIR]+ (.*)$", lambda m: m.group(1).replace('"', ""), text, flags=re.M)
    text = re.sub(r"\\f(?:[BIRP]|\[\w*\])", "", text)
    for escape, means in ESCAPES:
        text = text.replace(escape, means)
    return text


def sections(source):
    """[(heading, text)]"""
    pieces = re.split(r"^\.SH (.*)\n", source, flags=re.M)
    return list(zip([h.strip('"') for h in pieces[1::2]], pieces[2::2]))


def section(name, source):
    return dict(sections(source)).get(name, "")


def entries(text):
    """[(tag, text)] of the .TP entries of a section. An entry within .RS and .RE belongs to the one around it."""
    found, depth, lines = [], 0, iter(text.split("\n"))
    for line in lines:
        depth += line.startswith(".RS") - line.startswith(".RE")
        if line == ".TP" and depth == 0:
            found.append((plain(next(lines)), []))
        elif found:
            found[-1][1].append(line)
    return [(tag, "\n".join(body)) for tag, body in found]


def example(body):
    """The example of an entry: its block, or what follows "Example:"."""
    block = re.search(r"^\.EX[^\n]*\n(.*?)^\.EE$", body, re.M | re.S)
    line = re.search(r"^Example:\n(.*)$", body, re.M)
    return plain(block.group(1)) if block else plain(line.group(1)) if line else None


def program_of(build, name):
    return next(path for path in glob.glob("%s/tools/**/%s" % (build, name), recursive=True) if os.path.isfile(path))


def help_of(program, build):
    """The output of PROGRAM --help, taken from the source if the program cannot run here."""
    try:
        return subprocess.run([program_of(build, program), "--help"], check=True, stdout=subprocess.PIPE, text=True,
                              timeout=60).stdout
    except (StopIteration, OSError, subprocess.SubprocessError):
        for path in glob.glob(TOP + "/tools/**/*.c", recursive=True):
            literal = re.search(r'^ *("Usage: %s .*?);$' % program, read(path), re.M | re.S)
            if literal:
                return "".join(json.loads(s) for s in re.findall(r'"(?:[^"\\]|\\.)*"', literal.group(1)))
        raise


def options_in(text):
    return set(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", text))


def help_options(program, build):
    """The options that have a line in --help."""
    return set().union(*(options_in(line[:line.find("  ", 6)] if "  " in line[6:] else line)
                         for line in help_of(program, build).split("\n") if re.match(r" {2,6}-", line)))


def page_options(program):
    return entries(section("OPTIONS", pages()[program + "(1)"]))


def options_of_help(build):
    """The options of --help, of the OPTIONS section and of the synopsis must be the same."""
    wrong = []
    for program in PROGRAMS:
        listed = help_options(program, build)
        described = set().union(*(options_in(tag) for tag, _ in page_options(program)))
        synopsis = options_in(plain(section("SYNOPSIS", pages()[program + "(1)"])))
        wrong += ["%s: %s is not an entry of the page" % (program, o) for o in sorted(listed - described)]
        wrong += ["%s: %s is not in --help" % (program, o) for o in sorted(described - listed)]
        wrong += ["%s: %s is not in the synopsis" % (program, o) for o in sorted(listed - synopsis)]
    return wrong


def help_width(build):
    return ["%s --help: %d columns: %s" % (program, len(line), line.strip()) for program in PROGRAMS
            for line in help_of(program, build).split("\n") if len(line) > HELP_COLUMNS]


def options_have_examples():
    """The entry of each option begins with a verb, and its example contains the option."""
    wrong = []
    for program in PROGRAMS:
        for tag, body in page_options(program):
            shown = example(body)
            if not options_in(tag) <= options_in(shown or ""):
                wrong.append("%s: %s has no example" % (program, tag))
            if not re.match(r"(?!A\b|An\b|The\b|What\b|Where\b|Which\b|For\b|With\b)[A-Z][a-z]+$",
                            (body.split() or [""])[0]):
                wrong.append("%s: %s does not begin with a verb" % (program, tag))
    return wrong


def page_keys():
    """[(section, key, text)] of socks5.conf(5). An entry may describe two keys."""
    source = pages()["socks5.conf(5)"]
    return [(name, key, body) for name in KEYS for tag, body in entries(section(name, source))
            for key in tag.split(", ")]


def keys_of_parser():
    text = next(text for path in glob.glob(TOP + "/libsocks5client/**/*.c", recursive=True)
                for text in [read(path)] if "confuse.h>" in text)
    known = set(re.findall(r'\b(?:STRING|LIST)\("([\w-]+)"\)', text)) | set(re.findall(r'\.name = "([\w-]+)"', text))
    described = {key for _, key, _ in page_keys()}
    return ["%s is not an entry of socks5.conf(5)" % key for key in sorted(known - described)] + \
        ["%s is not a key of the parser" % key for key in sorted(described - known)] + \
        ([] if len(known) > 20 else ["only %d keys found" % len(known)])


def keys_have_examples(build):
    """Each key has an example that the program of the build accepts."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("corp.password", "some.conf"):
            os.close(os.open(folder + "/" + name, os.O_CREAT | os.O_WRONLY, 0o600))
        with open(folder + "/corp.password", "w", encoding="ascii") as f:
            f.write("s@cret\n")
        for where, key, body in page_keys():
            shown = example(body)
            if not shown or not re.search(r"(^| )%s +\+?= " % key, shown):
                wrong.append("%s: %s has no example" % (where, key))
                continue
            beside = [text for other, text in BESIDE.get(where, ()) if not re.search(r"\b%s = " % other, shown)]
            beside += [NEEDS[k] for k in (key, (where, key)) if k in NEEDS]
            text = KEYS[where] % "\n".join(beside + [shown.replace("proxy.example", "192.0.2.1")])
            with open(folder + "/some.conf", "w", encoding="utf-8") as f:
                f.write(text)
            done = subprocess.run([program_of(build, "socksify"), "-c", folder + "/some.conf",
                                   "--explain", "192.0.2.2:443"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=60, check=False)
            if "verdict: " not in done.stdout:
                wrong.append("%s: %s: %s" % (where, key, done.stdout.strip()))
    return wrong


def headings():
    """.TH has the name, the section, the date of the newest release and the version."""
    version = re.search(r"version: '([^']+)'", read("meson.build")).group(1)
    stamp = re.search(r"^ -- .*>  \w+, (\d+ \w+ \d{4}) ", read("debian/changelog"), re.M).group(1).split()
    months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
    date = "%s-%02d-%02d" % (stamp[2], months.index(stamp[1]) + 1, int(stamp[0]))
    wrong = []
    for page, source in pages().items():
        name, number = re.match(r"(.*)\((\d)\)", page).groups()
        wanted = '.TH %s %s "%s" "socksify %s" ' % (name.upper(), number, date, version)
        if not source.startswith(wanted):
            wrong.append("%s: %s, not %s" % (page, source.split("\n", maxsplit=1)[0], wanted))
    if "\n## %s, %s\n" % (version, date) not in read("CHANGELOG.md"):
        wrong.append("CHANGELOG.md: no heading of %s, %s" % (version, date))
    return wrong


def order_of_sections():
    wrong = []
    for page, source in pages().items():
        names = [name for name, _ in sections(source)]
        places = [ORDER.index(name if name in ORDER else None) for name in names]
        if places != sorted(places):
            wrong.append("%s: %s" % (page, ", ".join(names)))
        wrong += ["%s has no %s" % (page, name) for name in sorted(REQUIRED - set(names))]
    return wrong


def references():
    """References in SEE ALSO within the project are mutual, and every page that is named anywhere exists."""
    every = pages()
    names = "|".join(re.escape(page.split("(")[0]) for page in every)
    also = {page: set(re.findall(r"[\w.-]+\(\d\)", re.sub(r" (?=\(\d\))", "", plain(section("SEE ALSO", source)))))
            for page, source in every.items()}
    wrong = ["%s names %s, which does not name it" % (page, other) for page in every
             for other in sorted(also[page]) if other in every and page not in also[other]]
    for page, source in every.items():
        named = re.findall(r"(?<![\w.-])((?:%s) ?\(\d\))" % names, plain(source))
        wrong += ["%s names %s, which does not exist" % (page, other)
                  for other in sorted({n.replace(" ", "") for n in named} - set(every))]
        wrong += ["%s is not named by %s" % (page, other) for other in every
                  if page != other and page not in also[other]]
    return wrong


def public_names():
    """The exports of the library, without the patterns for 32-bit machines."""
    return re.findall(r"^ +(\w+);", read("libsocks5client/libsocks5client.map"), re.M)


def aliases(build):
    """meson installs one page for each function, which shows socks5client(3), and no other pages in section 3."""
    with open(os.path.join(build, "meson-info/intro-installed.json"), encoding="utf-8") as f:
        installed = {os.path.basename(to) for to in json.load(f).values() if "/man3/" in to}
    wanted = {name + ".3" for name in public_names() if name.startswith(("socks5_", "SOCKS"))}
    wrong = ["%s is not installed" % name for name in sorted(wanted - installed)]
    wrong += ["%s is not a function of the library" % name for name in sorted(installed - wanted - {"socks5client.3"})]
    for name in sorted(wanted & installed):
        with open(os.path.join(build, "docs", name), encoding="ascii") as f:
            text = f.read()
        wrong += [] if text == ".so man3/socks5client.3\n" else ["%s: %r" % (name, text)]
    return wrong


def names_all_functions():
    source = plain(pages()["socks5client(3)"])
    return ["socks5client(3) does not name " + name for name in public_names()
            if not re.search(r"\b%s\b" % name, source)]


def prototypes():
    """The prototypes of the synopsis agree with the headers, and every function has one."""
    text = plain(section("SYNOPSIS", pages()["socks5client(3)"]).split(".fi\n")[0].replace(".nf\n", ""))
    done = subprocess.run(["gcc", "-Wall", "-Werror", "-fsyntax-only", "-I", TOP + "/libsocks5client/include",
                           "-x", "c", "-"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False)
    return ([done.stdout.strip()] if done.returncode else []) + \
        ["no prototype of " + name for name in public_names()
         if name.startswith("socks5_") and not re.search(r"\b%s\(" % name, text)]


def rendered():
    """groff renders the pages without a warning."""
    wrong = []
    for path in sorted(glob.glob(TOP + "/docs/*.[1-9]")):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        wrong += [done.stdout.strip()] if done.returncode or done.stdout else []
    return wrong


def checks(build):
    """[(title, check)]"""
    return [("groff renders the manual pages without a warning", rendered),
            ("manual pages have the date and version of the newest release", headings),
            ("manual pages have their sections in the conventional order", order_of_sections),
            ("manual pages refer to each other", references),
            ("the manual pages have an entry for exactly the options of --help", lambda: options_of_help(build)),
            ("--help fits %d columns" % HELP_COLUMNS, lambda: help_width(build)),
            ("every option entry begins with a verb and has an example", options_have_examples),
            ("socks5.conf(5) has an entry for exactly the keys of the parser", keys_of_parser),
            ("every key has an example that the program accepts", lambda: keys_have_examples(build)),
            ("every function of the library has a manual page", lambda: aliases(build)),
            ("the prototypes in socks5client(3) agree with the headers", prototypes),
            ("socks5client(3) names every function, including the drop-in functions", names_all_functions)]
