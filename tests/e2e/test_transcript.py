"""The transcript in README.md, its first console block: the commands print what it shows.
pytest-3 tests/e2e/test_transcript.py --record
replaces it with the current output."""

import os

import bed
import blocks
import deb
import nameserver
from world import PLAIN, test

PAGE = "README.md"


def printed(w, command):
    env = dict(w.env, PATH="%s:%s" % (os.path.dirname(w.socksify), w.env["PATH"]),
               CURL_CA_BUNDLE=w.scratch + "/tls.crt")
    return bed.run(bed.CLIENT, ["sh", "-c", "exec 2>&1\n" + command], env)[1].decode()


@test("transcript: the commands of the first block of README.md print what it shows", on=PLAIN, in_chroot=False)
def _(w):
    with open(bed.FILES[bed.CLIENT] + "/hosts", "a", encoding="ascii") as f:
        f.write("%s proxy.example\n" % bed.PROXY4)
    nameserver.ZONE["example.org"] = {nameserver.A: [bed.TARGET4]}
    shown = next(block.text for block in blocks.of_markdown(PAGE) if block.language == "console")
    seen = "".join("$ %s\n%s" % (command, printed(w, command)) for command, _ in blocks.commands(shown))
    if blocks.masked(seen) == blocks.masked(shown):
        return
    assert w.recording, "the current output:\n" + seen
    text = blocks.read(PAGE).replace(shown, seen, 1)
    with open(os.path.join(deb.TOP, PAGE), "w", encoding="utf-8") as f:
        f.write(text)
