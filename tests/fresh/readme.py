"""Access to README.md by headings."""

import re

import blocks

FILE = "README.md"


def section(heading):
    """The code blocks below a heading, up to the next heading."""
    text = blocks.read(FILE)
    starts = [(blocks.line_of(text, m.start()), m.group(1))
              for m in re.finditer(r"^#+ (.*)$", blocks.FENCE.sub(
                  lambda block: re.sub(r"[^\n]", ".", block.group()), text), re.M)]
    begin, end = next((line, following) for (line, title), (following, _) in
                      zip(starts, starts[1:] + [(text.count("\n") + 2, None)]) if title == heading)
    found = [b for b in blocks.of_markdown(FILE) if begin < b.line < end]
    assert found, "README.md has no code block below " + heading
    return found


def commands(heading):
    """The shell blocks below a heading."""
    return [block.text for block in section(heading) if block.language == "sh"]


def file(heading, name):
    return next(block.text for block in section(heading) if block.file == name)
