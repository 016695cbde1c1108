"""Prompts as people read them: in names of runs, captions, tables."""

_RUN_NAME_PROMPT_CHARS = 48
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


def run_name(project: str | None, character: str | None, prompt: str) -> str:
    """What a run is called: project, character and the beginning of the prompt.

    >>> run_name("neon-city", "Mira", "a girl on a rooftop")
    'neon-city / Mira / a girl on a rooftop'
    """
    parts = (project or "", character or "", shorten(prompt, _RUN_NAME_PROMPT_CHARS))
    return " / ".join(filter(None, (shorten(part, _RUN_NAME_PROMPT_CHARS) for part in parts)))
