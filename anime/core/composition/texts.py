"""Prompts and negative prompts of style, characters and request, joined."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from anime.core.composition.sources import without_mentions
from anime.core.composition.state import ASKED, CHARACTER, STYLE, CompositionState
from anime.errors import InvalidRequest
from anime.schemas import MAX_PROMPT_CHARS


@dataclass(slots=True)
class _Said:
    """A text with its source. One of a higher rank counts where two contradict each other."""

    text: str
    source: str
    rank: int


def join_texts(state: CompositionState) -> None:
    """Join prompts and negative prompts; a phrase that is both stays where it counts."""
    if "prompt" not in state.template.inputs:
        return  # a caption: nobody draws it
    wanted = list(_prompts(state))
    avoided = list(_negatives(state))
    for prompt in wanted:
        for negative in avoided:
            _settle(state, prompt, negative)
    text = _joined(state, "prompt", wanted)
    if text != state.request.prompt:
        state.changes["prompt"] = text
    state.shown.update(state.cast)
    said = [each for each in avoided if each.text.strip()]
    if "negative_prompt" in state.template.inputs:
        text = _joined(state, "negative_prompt", said)
        if said and text != state.request.negative_prompt:
            state.changes["negative_prompt"] = text
        return
    state.warnings += [
        f"The negative prompt of {each.source} is left out: workflow {state.template.name} has"
        " no place for it."
        for each in said
        if each.rank != ASKED
    ]


def _prompts(state: CompositionState) -> Iterator[_Said]:
    if state.style.prompt_before:
        yield _Said(state.style.prompt_before, state.style_source, STYLE)
    for each in state.cast.values():
        pictures = " and ".join(state.pictures.get(each.slug, ()))
        called = f"{each.name} is {pictures}, " if pictures else ""
        yield _Said(f"{called}{each.prompt}", each.source, CHARACTER)
    asked = without_mentions(state.request.prompt, state.cast)
    yield _Said(asked, state.source_of("prompt"), ASKED)
    if state.style.prompt_after:
        yield _Said(state.style.prompt_after, state.style_source, STYLE)


def _negatives(state: CompositionState) -> Iterator[_Said]:
    if state.style.negative_prompt:
        yield _Said(state.style.negative_prompt, state.style_source, STYLE)
    for each in state.cast.values():
        if each.negative_prompt:
            yield _Said(each.negative_prompt, each.source, CHARACTER)
    if state.request.negative_prompt:
        yield _Said(state.request.negative_prompt, state.source_of("negative_prompt"), ASKED)


def _settle(state: CompositionState, prompt: _Said, negative: _Said) -> None:
    """Take what one wants and the other avoids out of the one that counts less."""
    if prompt.rank == negative.rank == ASKED:  # the request stays as it is
        return
    both = _phrases(prompt.text).keys() & _phrases(negative.text).keys()
    for phrase in sorted(both):
        loses, wins = (prompt, negative) if negative.rank > prompt.rank else (negative, prompt)
        words = _phrases(loses.text)
        text = words.pop(phrase)
        loses.text = ", ".join(words.values())
        state.conflicts.append(f"{text!r} of {loses.source} is left out: {wins.source} counts.")


def _joined(state: CompositionState, field: str, said: Sequence[_Said]) -> str:
    said = [each for each in said if each.text.strip()]
    for each in said:
        state.note(field, each.text, each.source)
    if not said:
        return ""
    if len(said) == 1:
        return said[0].text
    text = ", ".join(each.text.strip().strip(",").strip() for each in said)
    if len(text) > MAX_PROMPT_CHARS:
        raise InvalidRequest(
            f"{field} has {len(text):,} characters with style and characters.",
            f"{MAX_PROMPT_CHARS:,} are the most; shorten one of them.",
        )
    return text


def _phrases(text: str) -> dict[str, str]:
    """What stands between commas, by its letters in lower case.

    >>> _phrases("Red coat, , glasses")
    {'red coat': 'Red coat', 'glasses': 'glasses'}
    """
    parts = (part.strip() for part in text.split(","))
    return {part.casefold(): part for part in parts if part}
