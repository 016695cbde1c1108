"""Text that the editor changes on its way to the server: prompts and file names."""

import re
from collections.abc import Callable

from pydantic import JsonValue

_COMMENT_BEGIN = re.compile(r"/[*/]")
_LINE_END = re.compile(r"[\n\r\u2028\u2029]|$")
_ESCAPED = re.compile(r"\\([{}|])")
_PLACEHOLDER = re.compile(r"%([^%]+)%")
_FORBIDDEN = str.maketrans(dict.fromkeys('/?<>\\:*|"', "_"))


def without_comments(text: str) -> str:
    """The text without `/* … */` and `// … end of line`; of a URL only `https:` is left.

    >>> without_comments("a /* b */ cat // c")
    'a  cat '
    """
    kept: list[str] = []
    at = 0
    last_close = text.rfind("*/")  # so that a text of nothing but beginnings takes no time
    while begin := _COMMENT_BEGIN.search(text, at):
        is_block = begin[0] == "/*"
        if is_block and last_close < begin.end():  # it never ends, and is no comment
            kept.append(text[at : begin.start() + 1])
            at = begin.start() + 1
            continue
        kept.append(text[at : begin.start()])
        if is_block:
            at = text.index("*/", begin.end()) + 2
        else:
            line_end = _LINE_END.search(text, begin.end())
            at = line_end.start() if line_end else len(text)
    return "".join(kept) + text[at:]


def without_braces(text: str) -> str | None:
    r"""The text without braces that leave no choice; None if what becomes of it is not known.

    The editor puts one of `{a|b}` there at random, which nobody can say beforehand.

    >>> without_braces("{a} cat \\{b\\}"), without_braces("{a|b} cat"), without_braces("{a")
    ('a cat {b}', None, None)
    """
    plain = _ESCAPED.sub("", text)
    depth = 0
    for sign in re.findall(r"[{}|]", plain):
        depth += {"{": 1, "}": -1, "|": 0}[sign]
        if depth < 0 or (sign == "|" and depth):
            return None
    if depth:
        return None
    return re.sub(r"\\[{}|]|[{}]", lambda found: found[0][1:], text)


def replace_placeholders(text: str, value_of: Callable[[str, str], JsonValue]) -> str:
    """The text with the widget's value for each `%NODE.widget%`.

    `value_of(node, widget)` gives it; None leaves the placeholder as it is.

    >>> replace_placeholders("%Sampler.seed%_%x.y%", lambda node, _: {"Sampler": 7}.get(node))
    '7_%x.y%'
    """

    def replaced(found: re.Match[str]) -> str:
        node, dot, widget = found[1].partition(".")
        value = value_of(node, widget) if dot else None
        return found[0] if value is None else written(value).translate(_FORBIDDEN)

    return _PLACEHOLDER.sub(replaced, text)


def written(value: JsonValue) -> str:
    """A value as JavaScript writes it in a text.

    >>> written(8.0), written(True), written("a")
    ('8', 'true', 'a')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
