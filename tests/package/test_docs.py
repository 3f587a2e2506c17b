"""Runs every block of code in the documentation unchanged, in the order of its text. A block in a language that
is not in KNOWN and without a file name is a failure, and so is a block that is not fenced."""

import os
import re

import blocks
import deb
import example_world
from world import test

# Text that a block must print: file, a piece of the block, text. Other blocks must only succeed.
PRINTED = (
    ("README.md", "tests/quickstart", "curl's connection went through the SOCKS5 server"),
    ("README.md", "socksify --check", "it came through"),
    ("README.md", "> ~/.config/socks5/corp.password", "it came through"),
    ("README.md", "export SOCKS5_SERVER", "it came through"),
    ("README.md", "./fetch", "it came through"),
    ("docs/RECIPES.md", "grep through", "it came through"),
    ("docs/RECIPES.md", "socksify node", "it came through\n\nb'it came through"),
    ("docs/RECIPES.md", "ssh -f -N -D", "it came through"),
    ("docs/RECIPES.md", "socks5-bridge --listen", "it came through"),
    ("docs/RECIPES.md", "echo over ssh", "over ssh"),
    ("docs/RECIPES.md", "by ProxyCommand", "by ProxyCommand"),
    ("docs/RECIPES.md", "udp.example.org", "said in a datagram"),
    ("docs/RECIPES.md", "fence.conf curl", "it came through"),
    ("docs/RECIPES.md", "--summary", "example.org:443"),
    ("docs/socksify.1", "export SOCKS5_SERVER", "it came through"),
)
# Files that exist after a block: file, a piece of the block, path.
MADE = (
    ("docs/RECIPES.md", "restart fetch.service", "/var/lib/fetch.html"),
    ("docs/RECIPES.md", "restart report.service", "/var/lib/report.html"),
    ("docs/RECIPES.md", "17 * * * *", "/var/lib/cron.html"),
    ("docs/RECIPES.md", "wget -q", "/desk/here/repo/.git"),
    ("docs/RECIPES.md", "socksify lftp", "/desk/here/1m"),
    ("docs/RECIPES.md", "scp", "/desk/here/hostname"),
    ("docs/RECIPES.md", "fetch ssh://", "/desk/here/project/.git/FETCH_HEAD"),
    ("README.md", "sudo meson install", "/usr/local/lib/*/socksify/libsocksify.so"),
)
# Commands after a block: what it installed beside the packages is removed.
AFTER = {"sudo meson install": "ninja -C build uninstall; ! test -e /usr/local/bin/socksify"}
# Files that hold a function: what its program must print, and the rest of that program.
DRIVEN = {
    "negotiate.c": ("it came through", """
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    static const char ask[] = "GET / HTTP/1.0\\r\\nHost: example.org\\r\\n\\r\\n";
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *to;
    struct socks5_session *s = socks5_session_new();
    char in[4096];
    if (!s || getaddrinfo("proxy.example", "1080", &hints, &to) != 0)
        return 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, to->ai_addr, to->ai_addrlen) < 0 || negotiate(s, fd, "example.org", 80) < 0)
        return 2;
    socks5_session_free(s);
    if (write(fd, ask, sizeof ask - 1) < 0)
        return 3;
    for (ssize_t n; (n = read(fd, in, sizeof in)) > 0;)
        fwrite(in, 1, (size_t)n, stdout);
    return 0;
}
"""),
    "datagrams.c": ("said in a datagram", """
#include <stdio.h>
int main(void)
{
    static const char said[] = "said in a datagram";
    char answer[64];
    ssize_t n = ask("socks5h://proxy.example:1080", "udp.example.org", 2007, said, sizeof said - 1,
                    answer, sizeof answer);
    return n < 0 || fwrite(answer, 1, (size_t)n, stdout) != (size_t)n;
}
"""),
}
# Not run: the first one runs this test, and a shorter form of the second one.
THESE = ("tests/all\n", "tests/bench/peers.py\n")
# Commands for a developer in a built tree. They are not run; a test checks that they exist.
LOOPS = "docs/CONTRIBUTING.md"


def run_sh(world, block, cwd):
    out = world.user(block.text, cwd, 300)
    for path, piece, text in PRINTED:
        if path == block.path and piece in block.text:
            assert text in out, "%s: no \"%s\" in\n%s" % (block, text, out)
    return out


def run_console(world, block, cwd):
    """Runs commands, some of which may fail, and compares their output."""
    for command, expected in blocks.commands(block.text):
        out = blocks.masked(world.user("{ %s\n} || true" % command, cwd))
        assert out.split() == blocks.masked(expected.replace("~", "/root")).split(), "%s: %s" % (block, out)


def run_crontab(world, block, cwd):
    """Runs the command of each line as cron does: with cron's environment, the table's variables and /bin/sh."""
    lines = [line for line in block.text.splitlines() if line and not line.startswith("#")]
    settings = " ".join("'%s'" % line for line in lines if re.match(r"\w+=", line))
    jobs = [line.split(None, 6) for line in lines if not re.match(r"\w+=", line)]
    assert jobs and all(job[5] == "root" for job in jobs), str(block)
    for job in jobs:
        world.write("/desk/job", job[6] + "\n")
        world.user("env -i HOME=/root LOGNAME=root SHELL=/bin/sh PATH=/usr/bin:/bin %s sh /desk/job"
                   % settings, cwd)


def run_conf(world, block, cwd):
    """Reads a configuration without a file name, completed with a server where it has none."""
    text = block.text
    if not re.search(r"^server ", text, re.M):
        text = example_world.TABLE.split("\n", maxsplit=1)[0] + "\n" + text
    world.write(cwd + "/some.conf", text)
    world.write(cwd + "/corp.password", "s@cret\n", 0o600)
    out = world.user("socksify -c some.conf --explain example.org:443 || test $? = 1", cwd)
    assert "verdict" in out, "%s: %s" % (block, out)


def run_c(world, block, cwd):
    """Compiles a program, or statements inside main()."""
    text = block.text
    if not re.search(r"\bmain\(", text):
        own = re.findall(r"^#include .*\n", text, re.M)
        text = ("#include <socks5client.h>\n#include <stdio.h>\n#include <unistd.h>\n%s"
                "int main(void)\n{\n%s\n}\n" % ("".join(own), re.sub(r"^#include .*\n", "", text, flags=re.M)))
    world.write(cwd + "/piece.c", text)
    world.user("cc -Wall -o piece piece.c $(pkg-config --cflags --libs socks5client)", cwd)


def show(_world, block, _cwd):
    """A picture. It must not have a command in it."""
    assert not re.search(r"^\$ |^ *socksify ", block.text, re.M), str(block)


KNOWN = {"sh": run_sh, "console": run_console, "text": show, "crontab": run_crontab, "conf": run_conf, "c": run_c}


def run_driven(world, block, cwd):
    expected, around = DRIVEN[block.file]
    world.write(cwd + "/driven.c", '#include "%s"\n%s' % (block.file, around))
    out = world.user("cc -Wall -Werror -o driven driven.c $(pkg-config --cflags --libs socks5client)\n"
                     "./driven", cwd)
    assert expected in out, "%s: %s" % (block, out)


def run_block(world, block, cwd):
    if block.file:
        world.write(world.home(block.file, cwd), block.text)
    if block.file in DRIVEN:
        run_driven(world, block, cwd)
    if block.language in KNOWN and (not block.file or block.language == "crontab"):
        KNOWN[block.language](world, block, cwd)
    for path, piece, made in MADE:
        if path == block.path and piece in block.text:
            world.user("ls -d " + made, cwd)
    for piece, then in AFTER.items():
        if piece in block.text:
            world.user(then, cwd)


def run_all(world, some, cwd="/desk/here"):
    for block in some:
        assert block.language in KNOWN or block.file, "unknown language: " + str(block)
        if block.text not in THESE:
            run_block(world, block, cwd)


@test("docs: every block of README.md works on a machine without socksify")
def _(w):
    found = blocks.of_markdown("README.md")
    begin = blocks.line_of(blocks.read("README.md"), blocks.read("README.md").index("\n## Quick start"))
    world = example_world.World(w, "stranger")
    try:
        deb.copy_sources(w.scratch + "/sources")
        world.must("cp -r %s/sources /desk/socksify" % w.scratch)
        world.must("dpkg --purge --force-depends libcriterion-dev")  # the tests are not built
        # The blocks before the quick start need what is installed later.
        run_all(world, [b for b in found if b.line > begin] + [b for b in found if b.line <= begin],
                "/desk/socksify")
    finally:
        world.close()


def in_order(w, name, some):
    world = example_world.installed(w, name)
    try:
        run_all(world, some)
    finally:
        world.close()


for PATH in blocks.markdown():
    if PATH not in ("README.md", LOOPS) and blocks.of_markdown(PATH):
        test("docs: every block of %s works" % PATH)(lambda w, path=PATH: in_order(
            w, os.path.basename(path), blocks.of_markdown(path)))


@test("docs: every example of the manuals works")
def _(w):
    some = [block for path in blocks.manuals() for block in blocks.of_manual(path)]
    assert len(some) >= 5, some
    in_order(w, "manuals", some)


@test("docs: the commands in " + LOOPS + " exist")
def _(_w):
    help_text = re.search(r"^# Groups that run when.*?^set -u", blocks.read("tests/all"), re.M | re.S).group()
    groups = re.findall(r"^#   (\w+) ", help_text, re.M)
    found = blocks.of_markdown(LOOPS)
    assert groups and found and all(b.language == "sh" for b in found), found
    for line in "".join(b.text for b in found).splitlines():
        words = line.split("#")[0].split()
        script = words[1] if words[0] in ("python3", "pytest-3") else words[0]
        if script.startswith("build/tests/unit/"):
            script = script[len("build/"):] + ".c"
        elif script.startswith("build/tests/fuzz/replay_"):
            script = script[len("build/"):].replace("replay_", "fuzz_") + ".c"
        if "/" in script:
            assert os.path.exists(os.path.join(deb.TOP, script)), line
        else:
            assert script in ("meson", "ninja"), line
        if script == "tests/all":
            named = words[1:words.index("--")] if "--" in words else words[1:]
            assert set(named) <= set(groups), line


@test("docs: all code blocks are fenced, and every expected output belongs to a block")
def _(w):
    for path in blocks.markdown():
        assert not blocks.unfenced(path), (path, blocks.unfenced(path))
    every = [b for p in blocks.markdown() for b in blocks.of_markdown(p)]
    every += [b for p in blocks.manuals() for b in blocks.of_manual(p)]
    for path, piece, _ in PRINTED + MADE:
        assert any(b.path == path and piece in b.text for b in every), (path, piece)
