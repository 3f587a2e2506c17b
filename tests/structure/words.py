"""Words that this project once invented, or used for something else than the field does: docs/ARCHITECTURE.md, "Names"."""

import os
import re
import subprocess

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CODE = ("libsocks5client", "preload", "tools", "tests/unit", "tests/apps", "tests/fuzz", "tests/bench", "docs/examples")
# Parts of identifiers in C, and what to use.
PARTS = {
    "flight": "negotiation; in_flight and inflight are the state", "flights": "negotiations", "flying": "in_flight",
    "turn": "step", "standing": "server_cache", "standings": "server_cache", "standin": "fake",
    "summon": "bind_request", "bell": "wakeup_fd", "mailbox": "fd_channel", "mirror": "epoll_shadow",
    "hidden": "internal", "asker": "dns_client", "askers": "dns_clients", "loose": "unconnected",
    "dissolve": "disconnect", "ledger": "log_events, stats", "doubt": "needs_check", "doubted": "needs_check",
    "borrow": "override", "borrowed": "override", "knocked": "event_pending", "patience": "timeout",
    "nap": "poll_interval", "bereave": "orphan", "adopt": "import", "adopted": "imported",
    "settle": "complete", "settled": "completed", "outcome": "result",
    "house": "layer", "door": "hook",
}
# Whole identifiers.
WHOLE = {"stay": "export_cancel", "quiet": "silent", "tree": "shm", "inside": "in_engine", "called": "last_peer"}
# Two parts together.
PAIRS = {
    "give_back": "release, restore", "gives_back": "release, restore", "hand_over": "export", "take_off": "inflight_add",
    "stand_in": "fake address", "stand_ins": "fake addresses", "let_go": "release",
}
# In prose: comments, texts, documents, titles of tests.
PROSE = (
    (r"(?<!in )(?<!in-)(?<!in_)\bflights?\b(?! schedule)", "negotiation, round trip"), (r"\bflying\b", "in flight"),
    (r"\bstand-ins?\b", "fake address"), (r"\bstands? in for\b", "fake address"), (r"\bsummon\w*", "BIND request"),
    (r"\bbells?\b", "wakeup descriptor"), (r"\bmailbox\w*", "descriptor channel"), (r"\baskers?\b", "DNS client"),
    (r"\bdissolv\w*", "disconnect"), (r"\bledgers?\b", "log events, statistics"), (r"\bbereave\w*", "orphan"),
    (r"\banew\b", "again"), (r"\bwhoever\b", "the process, thread or program that"), (r"\bnobody's\b", "free, unused"),
    (r"\bmemory file\b", "shared memory"), (r"\bthe house\b", "layers"), (r"\blets? go\b", "releases"),
)
SUFFIXES = (".c", ".h", ".def", ".md", ".py", ".sh", ".1", ".3", ".5", ".build", ".example", ".txt", ".in", ".bash")
ELSEWHERE = ("tests/structure/words.py", "tests/fuzz/corpus/", "CHANGELOG.md")


def files():
    listed = subprocess.run(["git", "-C", TOP, "ls-files"], stdout=subprocess.PIPE, text=True, check=False).stdout.split("\n")
    if len(listed) < 2: # not a checkout
        listed = [os.path.relpath(os.path.join(folder, name), TOP) for folder, _, names in os.walk(TOP) for name in names]
        listed = [name for name in listed if not name.startswith("build")]
    return [name for name in listed if name.endswith(SUFFIXES) and not name.startswith(ELSEWHERE)
            and os.path.isfile(os.path.join(TOP, name))]


def read(name):
    with open(os.path.join(TOP, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def identifiers(text):
    text = re.sub(r'(?s)/\*.*?\*/|"(?:\\.|[^"\\\n])*"|#\s*include[^\n]*', " ", text)
    return set(re.findall(r"\b[A-Za-z_]\w*\b", text))


def wrong_parts(name):
    found = []
    for word in identifiers(read(name)):
        bare = re.sub(r"in_?flight", "", word.lower())
        parts = bare.strip("_").split("_")
        found += ["%s: %s (%s)" % (name, word, PARTS[part]) for part in parts if part in PARTS]
        found += ["%s: %s (%s)" % (name, word, WHOLE[word]) for word in {word} & set(WHOLE)]
        pairs = {"_".join(pair) for pair in zip(parts, parts[1:])}
        found += ["%s: %s (%s)" % (name, word, PAIRS[pair]) for pair in pairs & set(PAIRS)]
    return found


def prose_of(name):
    text = read(name)
    if name.endswith((".c", ".h", ".def")):
        return " ".join(re.findall(r'(?s)/\*.*?\*/|"(?:\\.|[^"\\\n])*"', text))
    return text


def wrong():
    found = []
    for name in files():
        if name.startswith(CODE) and name.endswith((".c", ".h", ".def")):
            found += wrong_parts(name)
        text = re.sub(r"\s*\n[ *#.\\]*", " ", prose_of(name))
        for pattern, better in PROSE:
            found += ["%s: \"%s\" (%s)" % (name, hit.group(), better) for hit in re.finditer(pattern, text, re.I)]
    return sorted(set(found))


if __name__ == "__main__":
    print("\n".join(wrong()))
