"""What a request becomes with the style of its project and the characters that it names.

The style belongs to the project and the appearance to the character; the request wins over both.
Where two of them disagree, that is said.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json

from anime.core.bindings import InputKind
from anime.core.catalogue import CatalogueLora
from anime.core.character_policies import CharacterPolicies, CharacterPolicy
from anime.core.paths import slugs_of
from anime.core.references import Reference, places_for
from anime.core.shots import code_key
from anime.core.styles import SeedPolicy, StyleVersion
from anime.core.workflow_build import Template
from anime.errors import InvalidRequest
from anime.schemas import (
    MAX_LORAS,
    MAX_PROMPT_CHARS,
    GenerationRequest,
    LoraChoice,
)

# What makes no other picture: names, who waits for it, where and when it renders; and the seed, as
# each take of a shot has another one.
UNSEEN_FIELDS: Final = {
    *("project", "character", "characters", "shot", "seed"),
    *("priority", "webhook_url", "server", "required_vram_mb"),
}
REQUEST: Final = "request"
_MENTION = re.compile(r"(?<![\w@])@(?:\{([^{}@]{1,120})\}|(\w[\w-]{0,119}))")
_SIZE = ("width", "height")
_OF_ONE_WORKFLOW = (
    "model",
    "steps",
    "cfg",
    "sampler",
    "scheduler",
)  # what suits another is unknown
_REFERENCES = "references"
_FRAME_RATE = "fps"


@dataclass(frozen=True, slots=True)
class DrawnCharacter:
    """A character as a version of it says that it is drawn."""

    name: str
    slug: str
    version: int
    is_draft: bool
    prompt: str
    negative_prompt: str = ""
    loras: tuple[CatalogueLora, ...] = ()
    seed: int | None = None
    references: tuple[Reference, ...] = ()

    @property
    def source(self) -> str:
        """How a fragment names it."""
        return f"character {self.name}, version {self.version}"


@dataclass(frozen=True, slots=True)
class SourceProject:
    """A project with its style, if it has one, and its characters by slug."""

    name: str
    slug: str
    style: StyleVersion | None = None
    characters: Mapping[str, DrawnCharacter] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """How a fragment names its style."""
        return f"style {self.style.version if self.style else 0} of {self.name}"


@dataclass(frozen=True, slots=True)
class Sources:
    """What requests are composed from: projects by slug, and characters of no project by slug."""

    projects: Mapping[str, SourceProject] = field(default_factory=dict)
    characters: Mapping[str, DrawnCharacter] = field(default_factory=dict)

    def project_of(self, request: GenerationRequest) -> SourceProject | None:
        """The project of the request."""
        if request.project is None or not self.projects:
            return None
        found = (self.projects.get(slug) for slug in slugs_of(request.project))
        return next((each for each in found if each is not None), None)

    def workflow_of(self, request: GenerationRequest) -> str:
        """The workflow that renders the request."""
        project = self.project_of(request)
        if project is None or project.style is None:
            return request.workflow_name
        return project.style.style.workflow_of(request)

    def character(self, project: SourceProject | None, name: str) -> DrawnCharacter | None:
        """The character of that name: the project's own, or else one of no project."""
        slugs = slugs_of(name)
        for characters in (project.characters if project else {}, self.characters):
            for slug in slugs:
                if slug in characters:
                    return characters[slug]
        return None


NO_SOURCES: Final = Sources()
_LENIENT: Final = CharacterPolicies()


class Fragment(BaseModel):
    """A part of what is rendered, and where it comes from."""

    part: str = Field(description="Field of the request that it is in, such as prompt.")
    text: str
    source: str = Field(description="Such as `style 3 of Neon City`, or `request`.")


class Composition(BaseModel):
    """What is rendered for a request, and why."""

    request: GenerationRequest = Field(description="What is rendered.")
    fragments: list[Fragment] = Field(description="What it was composed from, in order.")
    conflicts: list[str] = Field(description="What two of them disagree on, and which one counts.")
    warnings: list[str] = Field(description="What is left out or not checked, and why.")
    style_version: int | None = Field(description="The version of the project's style.")
    character_versions: dict[str, int] = Field(description="Versions by name of the character.")
    workflow_sha256: str = Field(description="Hash of the workflow: graph and bindings.")
    reference_paths: dict[str, str] = Field(
        description="Pictures of characters in the library, each with its character."
    )
    digest: str = Field(description="Hash of all that decides what the picture shows, but seeds.")
    refused: str | None = Field(default=None, description="Why it cannot be rendered.")

    @property
    def is_plain(self) -> bool:
        """Whether the request stays as it was given."""
        return self.style_version is None and not self.character_versions

    @property
    def is_kept(self) -> bool:
        """Whether it is kept with the job: a take of a shot may be stale one day."""
        return not self.is_plain or self.request.shot is not None


def mentions(text: str) -> Iterator[str]:
    """The names that a text mentions, as it writes them.

    >>> list(mentions("@mei waves to @{Ken Mori}, not to a@b.c"))
    ['mei', 'Ken Mori']
    """
    if "@" in text:
        for found in _MENTION.finditer(text):
            yield found[1] or found[2]


def names_in(request: GenerationRequest) -> tuple[str, ...]:
    """The characters that a request names, in its fields and then in its prompt."""
    named = (request.character, *request.characters) if request.character else request.characters
    return (*named, *mentions(request.prompt))


def compose(
    request: GenerationRequest,
    sources: Sources,
    template: Template,
    *,
    policies: CharacterPolicies = _LENIENT,
    random_seed: int = 0,
) -> Composition:
    """What is rendered for the request.

    Args:
        request: As it was given.
        sources: The projects and characters that it may name.
        template: The workflow that `sources` choose for it.
        policies: What becomes of it if a character cannot be drawn as it should be.
        random_seed: The seed if the project's style wants a random one.

    Raises:
        InvalidRequest: a LoRA does not fit the workflow's model, a policy does not allow a
            character, or too much comes together.
    """
    project = sources.project_of(request)
    cast, missing = _cast(request, sources, project)
    if (project is None or project.style is None) and not cast:
        warnings = [
            f"Nothing is known of how {name} looks; the name is only kept." for name in missing
        ]
        return _composition(request, template, warnings=warnings)
    return _Composer(request, template, project, cast, missing).composition(policies, random_seed)


def refused(request: GenerationRequest, fault: InvalidRequest) -> Composition:
    """The composition of a request that cannot be rendered."""
    return Composition(
        request=request,
        fragments=[],
        conflicts=[],
        warnings=[],
        style_version=None,
        character_versions={},
        reference_paths={},
        workflow_sha256="",
        digest="",
        refused=str(fault),
    )


def recorded_request(
    record: Mapping[str, Any] | None,  # JSON of a composition
    request: GenerationRequest,
) -> GenerationRequest:
    """What is rendered for a request, by the composition that was recorded with its job.

    Raises:
        InvalidRequest: it was refused when it was composed, or cannot be read.
    """
    if record is None:
        return request
    if record.get("refused"):
        raise InvalidRequest(str(record["refused"]), "")
    try:
        return GenerationRequest.model_validate(record["request"])
    except (KeyError, ValidationError) as fault:
        raise InvalidRequest(
            f"What the request was composed to cannot be read: {fault}.", "Generate it anew."
        ) from fault


def digest_of(request: GenerationRequest, workflow_sha256: str) -> str:
    """The hash of what decides what a picture shows, seeds left aside."""
    seen = request.model_dump(mode="json", exclude=UNSEEN_FIELDS, exclude_defaults=True)
    inputs = seen.get("inputs") or {}
    told = sorted((name, value) for name, value in seen.items() if name != "inputs")
    return sha256(to_json([workflow_sha256, told, sorted(inputs.items())])).hexdigest()


def _composition(
    request: GenerationRequest,
    template: Template,
    *,
    warnings: Sequence[str] = (),
    **more: Any,  # fields of a composition, by name
) -> Composition:
    fields: dict[str, Any] = {
        "request": request,
        "fragments": [],
        "conflicts": [],
        "warnings": list(warnings),
        "style_version": None,
        "character_versions": {},
        "reference_paths": {},
        "workflow_sha256": template.sha256,
        "digest": digest_of(request, template.sha256),
        "refused": None,
    }
    return Composition.model_construct(**fields | more)


def _cast(
    request: GenerationRequest, sources: Sources, project: SourceProject | None
) -> tuple[dict[str, DrawnCharacter], list[str]]:
    """The characters of the request by slug, and the names of those of whom nothing is known."""
    cast: dict[str, DrawnCharacter] = {}
    missing: list[str] = []
    for name in names_in(request):
        found = sources.character(project, name)
        if found is not None:
            cast.setdefault(found.slug, found)
        elif name not in missing:
            missing.append(name)
    return cast, missing


@dataclass(slots=True)
class _Said:
    """A text with its source. One of a higher rank counts where two contradict each other."""

    text: str
    source: str
    rank: int  # 0 style, 1 character, 2 request


@dataclass(frozen=True, slots=True)
class _OfferedLora:
    """A LoRA with its source; of those of one name, one of the highest rank counts."""

    lora: LoraChoice
    source: str
    rank: int


class _Composer:
    """One composition in the making."""

    def __init__(
        self,
        request: GenerationRequest,
        template: Template,
        project: SourceProject | None,
        cast: Mapping[str, DrawnCharacter],
        missing: Sequence[str],
    ) -> None:
        self._request, self._template, self._project = request, template, project
        self._version = project.style if project else None
        self._style = self._version.style if self._version else None
        self._of_style = project.source if project else ""
        self._cast = cast
        self._changes: dict[str, Any] = {}  # values of any field
        self._fragments: list[Fragment] = []
        self._conflicts: list[str] = []
        self._warnings = [
            f"Nothing is known of how {name} looks; the name is only kept." for name in missing
        ]
        self._shown: set[str] = set()
        self._references: dict[str, str] = {}
        self._pictures: dict[str, list[str]] = {}  # how the prompt calls those of a character

    def composition(self, policies: CharacterPolicies, random_seed: int) -> Composition:
        self._judge_drafts(policies.draft)
        self._choose_workflow()
        self._take_values()
        self._take_loras()
        self._place_references()
        self._join_texts()
        self._choose_seed(random_seed)
        self._judge_unshown(policies.unshown)
        return _composition(
            self._request.model_copy(update=self._changes),
            self._template,
            warnings=self._warnings,
            fragments=self._fragments,
            conflicts=self._conflicts,
            style_version=self._version.version if self._version else None,
            character_versions={each.name: each.version for each in self._cast.values()},
            reference_paths=self._references,
        )

    def _note(self, part: str, text: object, source: str) -> None:
        self._fragments.append(Fragment.model_construct(part=part, text=str(text), source=source))

    def _choose_workflow(self) -> None:
        if self._request.workflow is not None:
            self._note("workflow", self._request.workflow, REQUEST)
        elif self._template.name != self._request.workflow_name:
            self._changes["workflow"] = self._template.name
            self._note("workflow", self._template.name, self._of_style)

    @property
    def _is_styles_workflow(self) -> bool:
        """Whether the style was made for this workflow, or for any."""
        return self._style is not None and self._style.workflow in (None, self._template.name)

    def _take_values(self) -> None:
        """Take the numbers and names of the style that the request leaves open."""
        for name in (*_SIZE, *_OF_ONE_WORKFLOW):
            asked = getattr(self._request, name)
            styled = getattr(self._style, name) if self._style else None
            if asked is not None:
                self._note(name, asked, REQUEST)
                if styled not in (None, asked):
                    self._conflicts.append(
                        f"{name}: the request's {asked} counts, not {styled} of {self._of_style}."
                    )
            elif styled is not None:
                self._take_styled(name, styled)
        rate = self._style.frame_rate if self._style else None
        if rate is not None:
            self._take_frame_rate(rate)

    def _take_styled(self, name: str, value: object) -> None:
        workflow = self._template.name
        if name in _OF_ONE_WORKFLOW and not self._is_styles_workflow:
            self._leave_out(name, value, f"is for another workflow than {workflow}")
        elif name not in self._template.inputs:
            self._leave_out(name, value, f"has no place in workflow {workflow}")
        else:
            self._changes[name] = value
            self._note(name, value, self._of_style)

    def _leave_out(self, name: str, value: object, why: str) -> None:
        self._warnings.append(f"{name} {value} of {self._of_style} is left out: it {why}.")

    def _take_frame_rate(self, rate: float) -> None:
        bound = self._template.inputs.get(_FRAME_RATE)
        if bound is None:
            return  # stills have none, and films that are made at one rate are left as they are
        asked = self._request.inputs.get(_FRAME_RATE)
        if asked is not None:
            if asked != rate:
                self._conflicts.append(
                    f"fps: the request's {asked} counts, not {rate:g} of {self._of_style}."
                )
            return
        is_whole = bound.kind is InputKind.INT
        self._set_input(_FRAME_RATE, round(rate) if is_whole else rate)
        self._note(_FRAME_RATE, f"{rate:g}", self._of_style)

    def _set_input(self, name: str, value: Any) -> None:  # JSON
        inputs = self._changes.get("inputs", self._request.inputs)
        self._changes["inputs"] = {**inputs, name: value}

    def _take_loras(self) -> None:
        """Chain the LoRAs of style, characters and request; of those of one name, one counts."""
        named: dict[str, list[_OfferedLora]] = {}
        for offered in self._offered_loras():
            named.setdefault(offered.lora.name, []).append(offered)
        loras = []
        for name, several in named.items():
            counts = max(several, key=lambda each: each.rank)
            self._conflicts += [
                f"LoRA {name}: strength {counts.lora.strength:g} of {counts.source} counts, not"
                f" {each.lora.strength:g} of {each.source}."
                for each in several
                if each.lora.strength != counts.lora.strength
            ]
            self._note("loras", f"{name} × {counts.lora.strength:g}", counts.source)
            loras.append(LoraChoice(name=name, strength=counts.lora.strength))
        if len(loras) > MAX_LORAS:
            raise InvalidRequest(
                f"Style, characters and request have {len(loras)} LoRAs together.",
                f"{MAX_LORAS} are the most; leave some out.",
            )
        if loras and loras != self._request.loras:
            self._changes["loras"] = loras

    def _offered_loras(self) -> Iterator[_OfferedLora]:
        """The LoRAs that the workflow takes: of the style, of characters, and of the request."""
        if self._style and self._style.loras and not self._is_styles_workflow:
            names = ", ".join(lora.name for lora in self._style.loras)
            self._leave_out("LoRA", names, f"is for another workflow than {self._template.name}")
        elif self._style:
            for lora in self._style.loras:
                if self._takes(lora, self._of_style):
                    yield _OfferedLora(lora, self._of_style, 0)
        for each in self._cast.values():
            for lora in each.loras:
                if self._takes(lora, each.source):
                    self._shown.add(each.slug)
                    yield _OfferedLora(lora, each.source, 1)
        yield from (_OfferedLora(lora, REQUEST, 2) for lora in self._request.loras)

    def _takes(self, lora: CatalogueLora, source: str) -> bool:
        """Whether the workflow takes that LoRA.

        Raises:
            InvalidRequest: the LoRA is for another architecture.
        """
        workflow, binding = self._template.name, self._template.binding
        if not binding.loras:
            self._warnings.append(
                f"LoRA {lora.name} of {source} is left out: workflow {workflow} takes none."
            )
            return False
        ours, theirs = binding.architecture, lora.architecture
        if ours is None or theirs is None:
            unknown = f"workflow {workflow}" if ours is None else "the LoRA"
            self._warnings.append(
                f"Whether LoRA {lora.name} of {source} fits is unchecked: {unknown} names no"
                " architecture."
            )
        elif _letters(ours) != _letters(theirs):
            raise InvalidRequest(
                f"LoRA {lora.name} of {source} is for {theirs}, workflow {workflow} for {ours}.",
                f"Take a LoRA for {ours}, or a workflow for {theirs}.",
            )
        return True

    def _place_references(self) -> None:
        """Give the pictures of the characters to the workflow's list of pictures."""
        having = [each for each in self._cast.values() if each.references]
        if not having:
            return
        name = self._picture_list()
        if name is None:
            self._warnings += [
                f"The pictures of {each.source} are left out: workflow {self._template.name}"
                " takes no references."
                for each in having
            ]
            return
        if name in self._request.inputs:
            who = " and ".join(each.source for each in having)
            self._conflicts.append(f"{name}: the request's pictures count, not those of {who}.")
            self._note(name, self._request.inputs[name], REQUEST)
            return
        bound = self._template.inputs[name]
        pictures = places_for(
            [(each.slug, each.references) for each in having], bound.places[: bound.most_pictures]
        )
        for place, (slug, reference) in zip(bound.places, pictures, strict=False):
            self._shown.add(slug)
            called = f" as {place.prompt_name}" if place.prompt_name else ""
            who = self._references[reference.path] = self._cast[slug].source
            self._note(name, f"{reference.role} {reference.path}{called}", who)
            if place.prompt_name:
                self._pictures.setdefault(slug, []).append(place.prompt_name)
        for each in having:
            placed = sum(slug == each.slug for slug, _ in pictures)
            if placed < len(each.references):
                self._warnings.append(
                    f"{len(each.references) - placed} of {len(each.references)} pictures of"
                    f" {each.source} are left out: workflow {self._template.name} has no place"
                    " for them."
                )
        if pictures:
            self._set_input(name, [reference.path for _, reference in pictures])

    def _picture_list(self) -> str | None:
        """The input that takes references; None if there is none."""
        inputs = self._template.inputs
        if _REFERENCES in inputs and inputs[_REFERENCES].kind is InputKind.IMAGES:
            return _REFERENCES
        name = self._template.picture_input
        return name if name is not None and inputs[name].kind is InputKind.IMAGES else None

    def _join_texts(self) -> None:
        """Join prompts and negative prompts; a phrase that is both stays where it counts."""
        if "prompt" not in self._template.inputs:
            return  # a caption: nobody draws it
        wanted = list(self._prompts())
        avoided = list(self._negatives())
        for prompt in wanted:
            for negative in avoided:
                self._settle(prompt, negative)
        text = self._joined("prompt", wanted)
        if text != self._request.prompt:
            self._changes["prompt"] = text
        self._shown.update(self._cast)
        said = [each for each in avoided if each.text.strip()]
        if "negative_prompt" in self._template.inputs:
            text = self._joined("negative_prompt", said)
            if said and text != self._request.negative_prompt:
                self._changes["negative_prompt"] = text
            return
        self._warnings += [
            f"The negative prompt of {each.source} is left out: workflow {self._template.name} has"
            " no place for it."
            for each in said
            if each.source != REQUEST
        ]

    def _prompts(self) -> Iterator[_Said]:
        if self._style and self._style.prompt_before:
            yield _Said(self._style.prompt_before, self._of_style, 0)
        for each in self._cast.values():
            pictures = " and ".join(self._pictures.get(each.slug, ()))
            called = f"{each.name} is {pictures}, " if pictures else ""
            yield _Said(f"{called}{each.prompt}", each.source, 1)
        yield _Said(self._without_mentions(), REQUEST, 2)
        if self._style and self._style.prompt_after:
            yield _Said(self._style.prompt_after, self._of_style, 0)

    def _negatives(self) -> Iterator[_Said]:
        if self._style and self._style.negative_prompt:
            yield _Said(self._style.negative_prompt, self._of_style, 0)
        for each in self._cast.values():
            if each.negative_prompt:
                yield _Said(each.negative_prompt, each.source, 1)
        if self._request.negative_prompt:
            yield _Said(self._request.negative_prompt, REQUEST, 2)

    def _without_mentions(self) -> str:
        """The request's prompt with the names of the characters that it mentions."""
        if not self._cast or "@" not in self._request.prompt:
            return self._request.prompt

        def name_for(found: re.Match[str]) -> str:
            slugs = slugs_of(found[1] or found[2])
            known = (self._cast[slug].name for slug in slugs if slug in self._cast)
            return next(known, found[0])

        return _MENTION.sub(name_for, self._request.prompt)

    def _settle(self, prompt: _Said, negative: _Said) -> None:
        """Take what one wants and the other avoids out of the one that counts less."""
        if prompt.rank == negative.rank == 2:  # the request stays as it is
            return
        both = _phrases(prompt.text).keys() & _phrases(negative.text).keys()
        for phrase in sorted(both):
            loses, wins = (prompt, negative) if negative.rank > prompt.rank else (negative, prompt)
            words = _phrases(loses.text)
            text = words.pop(phrase)
            loses.text = ", ".join(words.values())
            self._conflicts.append(f"{text!r} of {loses.source} is left out: {wins.source} counts.")

    def _joined(self, part: str, said: Sequence[_Said]) -> str:
        said = [each for each in said if each.text.strip()]
        for each in said:
            self._note(part, each.text, each.source)
        if not said:
            return ""
        if len(said) == 1:
            return said[0].text
        text = ", ".join(each.text.strip().strip(",").strip() for each in said)
        if len(text) > MAX_PROMPT_CHARS:
            raise InvalidRequest(
                f"{part} has {len(text):,} characters with style and characters.",
                f"{MAX_PROMPT_CHARS:,} are the most; shorten one of them.",
            )
        return text

    def _choose_seed(self, random_seed: int) -> None:
        if self._request.seed is not None:
            self._note("seed", self._request.seed, REQUEST)
            return
        policy = self._style.seed_policy if self._style else None
        seed, source = None, self._of_style
        if policy is SeedPolicy.SHOT and self._request.shot and self._project:
            seed = _seed_of_shot(self._project.slug, self._request.shot)
        elif policy is SeedPolicy.RANDOM:
            seed = random_seed
        elif policy is None and self._request.shot is None:  # takes of a shot are to differ
            seed, source = self._seed_of_cast()
        if seed is not None:
            self._changes["seed"] = seed
            self._note("seed", seed, source)

    def _seed_of_cast(self) -> tuple[int | None, str]:
        having = [each for each in self._cast.values() if each.seed is not None]
        if not having:
            return None, ""
        first = having[0]
        self._conflicts += [
            f"seed: {first.seed} of {first.source} counts, not {each.seed} of {each.source}."
            for each in having[1:]
            if each.seed != first.seed
        ]
        return first.seed, first.source

    def _judge_drafts(self, policy: CharacterPolicy) -> None:
        for each in self._cast.values():
            if each.is_draft:
                what = (
                    f"No version of {each.name} is canonical; {each.version} is the newest draft."
                )
                todo = "Make one canonical, or set ANIME_DRAFT_CHARACTERS=warning."
                self._object(policy, what, todo)

    def _judge_unshown(self, policy: CharacterPolicy) -> None:
        for slug, each in self._cast.items():
            if slug not in self._shown:
                what = f"Workflow {self._template.name} cannot show {each.name}: it takes no words"
                what += " of theirs, no LoRA and no picture."
                todo = "Take another workflow, or set ANIME_UNSHOWN_CHARACTERS=warning."
                self._object(policy, what, todo)

    def _object(self, policy: CharacterPolicy, what: str, todo: str) -> None:
        if policy is CharacterPolicy.ERROR:
            raise InvalidRequest(what, todo)
        self._warnings.append(what)


def _phrases(text: str) -> dict[str, str]:
    """What stands between commas, by its letters in lower case.

    >>> _phrases("Red coat, , glasses")
    {'red coat': 'Red coat', 'glasses': 'glasses'}
    """
    parts = (part.strip() for part in text.split(","))
    return {part.casefold(): part for part in parts if part}


def _letters(architecture: str) -> str:
    """The architecture's name without what people write differently.

    >>> _letters("SD-XL 1.0") == _letters("sdxl10")
    True
    """
    return "".join(filter(str.isalnum, architecture.casefold()))


def _seed_of_shot(project: str, shot: str) -> int:
    """The seed that all takes of the shot have."""
    digest = blake2b(f"{project}\0{code_key(shot)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
