"""A batch: many generations asked for at once, and which of them is which job.

A job's id follows from the batch's name and from what the child asks for, not from its place in
the list: a batch that was extended or sorted and is run again renders only what is new.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Annotated, Any, Final, Literal, Self
from unicodedata import normalize
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from anime.core.job_status import JobStatus
from anime.schemas import GenerationRequest, GivenName, Name, Priority, PromptText, Seed

MAX_CHILDREN = 10_000
MAX_TRIES = 10
_FORMS: Final[tuple[Literal["NFC"], Literal["NFD"]]] = ("NFC", "NFD")  # of names, now and once
_BATCHES = uuid5(NAMESPACE_URL, "urn:anime:batch")
_OWN_FIELDS = {"prompt": "prompts", "seed": "seeds", "priority": "priority"}
_UNSEEN_FIELDS = {"priority", "webhook_url"}
_NAME_FIELDS = {"project", "character", "shot"}
_FREE_FIELDS = {
    *("prompt", "negative_prompt", "seed", "characters"),
    *_NAME_FIELDS,
    *_UNSEEN_FIELDS,
}
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
_GONE = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})


class BatchRequest(BaseModel):
    """Many generations: each prompt with each seed, and whole requests besides."""

    model_config = ConfigDict(extra="forbid")

    name: GivenName = Field(
        description="Name of the batch. Run again under the same name, it renders what is missing."
    )
    prompts: list[PromptText] = Field(
        default_factory=list, max_length=MAX_CHILDREN, description="What to draw, one each."
    )
    seeds: list[Seed] = Field(
        default_factory=list,
        max_length=MAX_CHILDREN,
        description="Each prompt is rendered with each of these seeds.",
    )
    takes: Annotated[int, Field(ge=1, le=MAX_CHILDREN)] = Field(
        default=1, description="Without seeds: how often each prompt is rendered."
    )
    requests: list[GenerationRequest] = Field(
        default_factory=list, max_length=MAX_CHILDREN, description="Whole requests, one each."
    )
    digests: list[_Digest] = Field(
        default_factory=list,
        max_length=MAX_CHILDREN,
        description="Of each whole request, a hash of what it is made from: with another one, it "
        "is rendered anew.",
    )
    common: dict[Name, JsonValue] = Field(
        default_factory=dict,
        max_length=64,
        description="Fields of a generation that all share, such as width, model or project.",
    )
    priority: Priority = Field(
        default=10, description="0 to 100; from 50 up its renders go before those of batches."
    )
    max_tries: Annotated[int, Field(ge=1, le=MAX_TRIES)] = Field(
        default=3, description="How often one that fails is rendered, over all runs of the batch."
    )

    @model_validator(mode="after")
    def _is_some_batch(self) -> Self:
        if not self.prompts and not self.requests:
            raise ValueError("has nothing to render; give prompts or requests")
        if self.seeds and self.takes > 1:
            raise ValueError("has both seeds and takes; takes are for prompts without seeds")
        if self.seeds and not self.prompts:
            raise ValueError("has seeds but no prompts they belong to")
        if self.digests and len(self.digests) != len(self.requests):
            raise ValueError("has digests, but not one for each request")
        asked = len(self.prompts) * max(len(self.seeds), self.takes) + len(self.requests)
        if asked > MAX_CHILDREN:
            raise ValueError(f"asks for {asked} generations; {MAX_CHILDREN} are the most")
        return self

    @model_validator(mode="after")
    def _has_common_fields_of_a_request(self) -> Self:
        for field, place in _OWN_FIELDS.items():
            if field in self.common:
                raise ValueError(f"has {field} among the common fields; say it under {place}")
        try:
            GenerationRequest.model_validate({"prompt": "any", **self.common})
        except ValidationError as fault:
            first = fault.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"has a common field {where}: {_reason(first)}") from None
        return self


@dataclass(frozen=True, slots=True)
class Child:
    """One generation of a batch. `number` counts from 1, in the batch's order."""

    number: int
    request: GenerationRequest
    max_tries: int
    key: UUID
    former_keys: tuple[UUID, ...] = ()  # of names in two Unicode forms, which were two once

    def job_id(self, attempt: int) -> UUID:
        """The id of the job that renders it at that try, counted from 1.

        A job that has failed is final, so a new try is a new job.
        """
        return uuid5(self.key, f"try-{attempt}")


def expand(batch: BatchRequest) -> tuple[Child, ...]:
    """The generations of the batch, all at once."""
    return tuple(each_child(batch))


def each_child(batch: BatchRequest) -> Iterator[Child]:
    """The generations of the batch: prompts in order, each with every seed, then the requests.

    >>> batch = BatchRequest(name="b", prompts=["a fox", "an owl"], seeds=[1, 2])
    >>> [(child.request.prompt, child.request.seed) for child in each_child(batch)]
    [('a fox', 1), ('a fox', 2), ('an owl', 1), ('an owl', 2)]
    """
    names = dict.fromkeys(normalize(form, batch.name) for form in _FORMS)
    homes = [uuid5(_BATCHES, name) for name in names]
    seen: Counter[str] = Counter()
    for number, (request, digest) in enumerate(_requests_of(batch), start=1):
        contents = _contents_of(request)
        content = f"{contents[0]}{digest}"
        which = f"{digest}#{seen[content]}"  # tells apart those that ask for the same
        key, *former_keys = (uuid5(home, f"{each}{which}") for home in homes for each in contents)
        seen[content] += 1
        yield Child(number, request, batch.max_tries, key, tuple(former_keys))


def jobs_of(children: Iterable[Child], known: Mapping[UUID, JobStatus]) -> dict[UUID, Child]:
    """The job that stands for each child, given the states of those that are written down."""
    found = (_as_known(child, known) for child in children)
    return {job_to_resume(child, known): child for child in found}


def possible_jobs_of(children: Iterable[Child]) -> list[UUID]:
    """The ids of all jobs that the children of a batch may have, at any try."""
    return [
        each.job_id(attempt)
        for child in children
        for each in (child, *_former(child))
        for attempt in range(1, child.max_tries + 1)
    ]


def kind_of(request: GenerationRequest) -> str:
    """What decides whether a server can render a request: all but its words, seed and names."""
    return request.model_dump_json(exclude=_FREE_FIELDS)


def job_to_resume(child: Child, known: Mapping[UUID, JobStatus]) -> UUID:
    """The job of the try that stands for the child now: under way, done, new, or the last.

    >>> [child] = expand(BatchRequest(name="b", prompts=["a fox"], max_tries=2))
    >>> first, second = possible_jobs_of([child])
    >>> job_to_resume(child, {}) == first
    True
    >>> job_to_resume(child, {first: JobStatus.FAILED}) == second
    True
    >>> job_to_resume(child, {first: JobStatus.FAILED, second: JobStatus.FAILED}) == second
    True
    """
    for attempt in range(1, child.max_tries):
        job_id = child.job_id(attempt)
        if known.get(job_id) not in _GONE:
            return job_id
    return child.job_id(child.max_tries)


def _requests_of(batch: BatchRequest) -> Iterator[tuple[GenerationRequest, str]]:
    """The requests, each with the digest of what it is made from, if that is given."""
    shared = {"priority": batch.priority, **batch.common}
    for prompt in batch.prompts:
        for seed in batch.seeds or repeat(None, batch.takes):
            yield GenerationRequest.model_validate({**shared, "prompt": prompt, "seed": seed}), ""
    for request, digest in zip(batch.requests, batch.digests or repeat(""), strict=False):
        own = request.model_dump(exclude_unset=True, exclude_none=True)
        inputs = {**_inputs_of(shared), **request.inputs}
        yield GenerationRequest.model_validate({**shared, **own, "inputs": inputs}), digest


def _inputs_of(fields: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    inputs = fields.get("inputs", {})
    return inputs if isinstance(inputs, dict) else {}


def _former(child: Child) -> Iterator[Child]:
    """The child under the keys that it had if its names were typed in the form NFD."""
    return (replace(child, key=key) for key in child.former_keys)


def _as_known(child: Child, known: Mapping[UUID, JobStatus]) -> Child:
    """The child under the key by which it has jobs, if it has any."""
    if not child.former_keys:
        return child
    tries = range(1, child.max_tries + 1)
    candidates = (child, *_former(child))
    has_jobs = (each for each in candidates if any(each.job_id(n) in known for n in tries))
    return next(has_jobs, child)


def _contents_of(request: GenerationRequest) -> list[str]:
    """What is to be seen, by the forms of its names.

    A field added later, another priority or webhook changes no id.
    """
    fields = request.model_dump(mode="json", exclude_defaults=True, exclude=_UNSEEN_FIELDS)
    names = fields.keys() & _NAME_FIELDS
    forms = _FORMS if names else _FORMS[:1]
    named = ({name: normalize(form, fields[name]) for name in names} for form in forms)
    return [*dict.fromkeys(json.dumps({**fields, **each}, sort_keys=True) for each in named)]


def _reason(error: Mapping[str, Any]) -> str:  # one of pydantic's
    return "it is not known" if error["type"] == "extra_forbidden" else str(error["msg"])


def summary_of(statuses: Sequence[JobStatus]) -> str:
    """How a batch ended, in words.

    >>> summary_of([JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.COMPLETED])
    '2 completed, 1 failed'
    """
    counted = Counter(statuses)
    return ", ".join(f"{counted[status]} {status}" for status in JobStatus if counted[status])
