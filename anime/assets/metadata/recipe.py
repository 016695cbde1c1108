"""How a picture, film or sound was made, in one shape whoever made it."""

from collections.abc import Collection, Mapping
from itertools import takewhile
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from anime.core.foreign_json import storable_text
from anime.core.graphs import Graph
from anime.core.ids import MAX_SEED

Source = Literal[  # in the order in which they are believed
    "anime",
    "comfyui",
    "swarmui",
    "mflux",
    "wangp",
    "invokeai",
    "drawthings",
    "novelai",
    "ruinedfooocus",
    "easydiffusion",
    "fooocus",
    "tensorart",
    "civitai",
    "animagine",
    "sdscripts",
    "mochidiffusion",
    "midjourney",
    "automatic1111",
]
MAX_PROMPT_CHARS = 50_000
MAX_NAME_CHARS = 500
_MAX_ITEMS = 64  # LoRAs, models or samplers
_MAX_NUMBER = 1_000_000  # of steps or pixels
_LEAST_STRENGTH = -_MAX_NUMBER
T = TypeVar("T")


def _storable(limit: int) -> BeforeValidator:
    """As much of a text as is kept, without what PostgreSQL refuses."""
    return BeforeValidator(
        lambda text: storable_text(text)[:limit] if isinstance(text, str) else text
    )


def _sensible(least: float, most: float) -> BeforeValidator:
    """A number unless it is beyond all sense; a NaN is."""
    return BeforeValidator(
        lambda number: (
            number if isinstance(number, int | float) and least <= number <= most else None
        )
    )


_Text = Annotated[str | None, _storable(MAX_PROMPT_CHARS)]
_Name = Annotated[str | None, _storable(MAX_NAME_CHARS)]
_Whole = Annotated[int | None, _sensible(0, _MAX_NUMBER)]
_Number = Annotated[float | None, _sensible(0, _MAX_NUMBER)]
_Few = Annotated[tuple[T, ...], BeforeValidator(lambda items: tuple(items)[:_MAX_ITEMS])]


class LoraUse(BaseModel):
    """One LoRA, and how strongly it acts on the model."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, _storable(MAX_NAME_CHARS)]
    strength: Annotated[float | None, _sensible(_LEAST_STRENGTH, _MAX_NUMBER)] = None


class SamplerUse(BaseModel):
    """The settings of one sampler of a chain."""

    model_config = ConfigDict(frozen=True)

    node: Annotated[str, _storable(MAX_NAME_CHARS)]
    seed: str | None = None
    steps: _Whole = None
    cfg: _Number = None
    sampler: _Name = None
    scheduler: _Name = None
    denoise: _Number = None


class Sampling(BaseModel):
    """What one source says of how a file was made; None for what it does not say.

    The plain values are those of the sampler that ran first; `samplers`, `models` and `loras` are
    those of the whole chain, in the order in which they acted.
    """

    model_config = ConfigDict(frozen=True)

    prompt: _Text = None
    negative_prompt: _Text = None
    seed: Annotated[int | None, _sensible(0, MAX_SEED)] = None
    model: _Name = None
    model_hash: _Name = None
    loras: _Few[LoraUse] = ()
    sampler: _Name = None
    scheduler: _Name = None
    steps: _Whole = None
    cfg: _Number = None
    cfg_second: _Number = None
    guidance: _Number = None
    lyrics: _Text = None
    width: _Whole = None
    height: _Whole = None
    models: _Few[Annotated[str, _storable(MAX_NAME_CHARS)]] = ()
    samplers: _Few[SamplerUse] = ()
    varied: _Few[str] = ()

    def filled_by(self, other: "Sampling") -> "Sampling":
        """The same, and what it leaves open as the other one says; no cell's value of a grid."""
        one = self.of_grid(other.varied)
        gaps = {name for name, value in one if value is None or value == ()} - {*one.varied}
        return one.model_copy(update={name: value for name, value in other if name in gaps})

    def of_grid(self, varied: Collection[str]) -> "Sampling":
        """The same of a grid of pictures: without the settings that differ between its cells."""
        if not varied:
            return self
        nothing = {name: value for name, value in _NOTHING if name in varied}
        uses = [
            use.model_copy(update=dict.fromkeys(varied & use.__dict__.keys()))
            for use in self.samplers
        ]
        return self.model_copy(
            update={
                **nothing,
                "samplers": tuple(uses),
                "varied": tuple(dict.fromkeys((*self.varied, *sorted(varied)))),
            }
        )

    def refined_by(self, second: SamplerUse, *models: str | None) -> "Sampling":
        """The same and a second pass of sampling over it, with the further models that it took."""
        known = [name for name in (self.model, *models) if name and name.lower() != "none"]
        chain = tuple(dict.fromkeys(known))
        passes = (
            SamplerUse(
                node="base",
                seed=None if self.seed is None else str(self.seed),
                steps=self.steps,
                cfg=self.cfg,
                sampler=self.sampler,
                scheduler=self.scheduler,
            ),
            second,
        )
        says_more = any(value is not None for name, value in second if name != "node")
        return self.model_copy(
            update={
                "models": chain if len(chain) > 1 else self.models,
                "samplers": passes if says_more else self.samplers,
            }
        )

    def next_pass(self, changes: Mapping[str, JsonValue], models: tuple[str, ...]) -> "Sampling":
        """What the same says of a further pass, which these models make with other settings."""
        use = self.samplers[0].model_copy(update=dict(changes))
        said = {
            "seed": None if use.seed is None else int(use.seed),
            "steps": use.steps,
            "cfg": use.cfg,
            "model": models[0] if models else None,
        }
        return self.model_copy(update={**said, "samplers": (use,), "models": models})

    def beside(self, other: "Sampling") -> "Sampling":
        """What both say alike of one file that both have a part in, and the models of both."""
        return self.agreed_with(other).model_copy(
            update={
                "models": tuple(dict.fromkeys((*self.models, *other.models))),
                "samplers": (*self.samplers, *other.samplers),
            }
        )

    def agreed_with(self, other: "Sampling") -> "Sampling":
        """What both say alike; None for what they do not, and of lists how they begin."""
        differing = [name for name, value in self if value != getattr(other, name)]
        return self.model_copy(
            update={name: _common(getattr(self, name), getattr(other, name)) for name in differing}
        )


_NOTHING = Sampling()
VARIABLE = frozenset(
    {
        *("prompt", "negative_prompt", "seed", "model", "model_hash", "models", "loras"),
        *("sampler", "scheduler", "steps", "cfg", "guidance", "denoise"),
    }
)  # what may differ between the cells of a grid


def _common(one: object, other: object) -> object:
    """How two different lists begin alike; None for other values."""
    if not isinstance(one, tuple) or not isinstance(other, tuple):
        return None
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return tuple(item for item, _ in alike)


class Recipe(BaseModel):
    """How a file was made; None for what it does not say.

    The seed is decimal text, as it may exceed 2^53. `graph`, `editor_workflow`, `parameters` and
    `texts` are what the file holds, as it holds it.
    """

    model_config = ConfigDict(frozen=True)

    prompt: str | None = None
    negative_prompt: str | None = None
    seed: str | None = None
    model: str | None = None
    loras: tuple[LoraUse, ...] = ()
    sampler: str | None = None
    scheduler: str | None = None
    steps: int | None = None
    cfg: float | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    duration_seconds: float | None = None
    source: Source | None = None
    model_hash: str | None = None
    cfg_second: float | None = Field(
        default=None, description="The second scale of a guider that has two."
    )
    guidance: float | None = Field(
        default=None, description="What a distilled model is given in place of a scale."
    )
    lyrics: str | None = None
    models: tuple[str, ...] = ()
    samplers: tuple[SamplerUse, ...] = ()
    varied: tuple[str, ...] = Field(
        default=(), description="What differs between the cells of a grid, and is null."
    )
    graph: Graph | None = None
    editor_workflow: JsonValue = None
    parameters: str | None = None
    texts: dict[str, str] = Field(
        default_factory=dict, description="Further texts of the file that no reader understood."
    )
    verbatim: Mapping[str, str] = Field(
        default_factory=dict, exclude=True, description="JSON of fields, as the file holds it."
    )

    @staticmethod
    def of(said: Sampling, **held: Any) -> "Recipe":  # any of the fields
        """The recipe that a source's word amounts to, with what else the file holds."""
        seed = None if said.seed is None else str(said.seed)
        # All of it was checked where it was said; a sweep makes one for every file.
        return _BLANK.model_copy(update={**said.__dict__, "seed": seed, **held})

    def seen_in_file(
        self,
        *,
        width: int | None,
        height: int | None,
        frames: int | None,
        duration_seconds: float | None,
    ) -> "Recipe":
        """The same with the size and length the file really has, as it may be scaled or cut."""
        return self.model_copy(
            update={
                "width": self.width if width is None else width,
                "height": self.height if height is None else height,
                "frames": frames,
                "duration_seconds": duration_seconds,
            }
        )

    def metadata(self) -> dict[str, JsonValue]:
        """The fixed shape, all its keys, and beside it whatever else there is."""
        raw = {name: getattr(self, name) for name in _RAW if getattr(self, name) is not None}
        return self.model_dump(mode="json", exclude={*_RAW, *self.left_out}) | raw

    def metadata_text(self) -> str:
        """The same as JSON; a graph is not written anew if the file's own text will do."""
        fields = self.model_dump_json(exclude={*self.verbatim, *self.left_out})
        return (
            fields[:-1] + "".join(f',"{name}":{text}' for name, text in self.verbatim.items()) + "}"
        )

    @property
    def left_out(self) -> set[str]:
        """The fields beside the fixed shape of which nothing is known."""
        return {name for name in _BESIDE if not getattr(self, name)}


_BLANK = Recipe()
_RAW = ("graph", "editor_workflow")
_BESIDE = frozenset(
    {
        *("model_hash", "cfg_second", "guidance", "lyrics", "models", "samplers"),
        "varied",
        *("graph", "editor_workflow", "parameters", "texts"),
    }
)
