"""Prompts as people read them: in names of runs, captions, tables."""

_ELLIPSIS = "…"


def shorten(prompt: str, length: int = 48) -> str:
    """The prompt on one line, cut between words to `length` characters at most.

    >>> shorten("a girl on a rooftop at dusk", 16)
    'a girl on a…'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in prompt).split())
    if len(line) <= length:
        return line
    room = max(0, length - len(_ELLIPSIS))
    cut = line[:room]
    if line[room] != " " and " " in cut:
        cut = cut[: cut.rindex(" ")]
    return f"{cut.rstrip(' ,.;:-')}{_ELLIPSIS}"[: max(length, 0)]
