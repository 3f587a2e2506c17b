"""The completions of bash and zsh for socksify and socks5-bridge, as the packages install them."""

import re

import test_deb
from world import test

# Pairs: the words on the command line, of which the last is completed, and what bash must offer.
OFFERS = (
    (["socksify", "--ex"], ["--explain"]),
    (["socksify", "-x", "socks5h"], ["socks5h://"]),
    (["socksify", "-c", "work.co"], ["work.conf"]),
    (["socksify", "-x", "socks5h://a", "prlimi"], ["prlimit"]),
    (["socksify", "--", "prlimi"], ["prlimit"]),
    (["socks5-bridge", "--li"], ["--listen"]),
    (["socks5-bridge", "-c", "work.co"], ["work.conf"]),
)
BASH = """
. /usr/share/bash-completion/bash_completion
cd /desk/here
_completion_loader %(program)s || true
COMP_WORDS=(%(words)s) COMP_CWORD=%(last)d COMP_LINE='%(words)s' COMP_POINT=${#COMP_LINE}
compopt() { :; }
f=$(complete -p %(program)s | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
"$f" %(program)s "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" || true
printf '%%s\\n' "${COMPREPLY[@]}"
"""


def here(w):
    machine = test_deb.Machine.of(w)
    machine.write("/desk/here/work.conf", "")
    return machine


def options_of(machine, program):
    """The short and long options in the --help output of PROGRAM."""
    return set(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", re.sub(
        r"\n\n(?:Without|Exit).*", "", machine.must(program + " --help"), flags=re.S))) - {"-vv"}


@test("completion: bash offers options, files, URLs and commands")
def _(w):
    for words, offered in OFFERS:
        out = here(w).must(BASH % {"program": words[0], "words": " ".join(words),
                                   "last": len(words) - 1})
        assert set(offered) <= set(out.split()), (words, out)


@test("completion: both shells offer exactly the options of --help")
def _(w):
    for program in ("socksify", "socks5-bridge"):
        known = options_of(here(w), program)
        out = here(w).must(BASH % {"program": program, "words": program + " -", "last": 1})
        assert set(out.split()) - {"--"} == known, set(out.split()) ^ known
        text = here(w).must("cat /usr/share/zsh/vendor-completions/_" + program)
        zsh = set(re.findall(r"^ +'(?:\([^)]*\))?\*?(--?[\w-]+)\[", text, re.M))
        assert zsh == known, zsh ^ known


@test("completion: zsh accepts the completion files")
def _(w):
    here(w).must("for f in /usr/share/zsh/vendor-completions/_sock*; do zsh -n $f; done")
