"""What is known of ComfyUI's node classes, read from `node_rules.toml`."""

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache, cached_property, lru_cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, JsonValue


class NumberedLoras(BaseModel):
    """What a node that loads several LoRAs calls them, `{}` for the number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    strength: tuple[str, ...] = ()
    on: str | None = None
    chosen: str | None = None


class SizePreset(BaseModel):
    """How a node words the size that it gives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str
    others: Mapping[str, tuple[int, int]] = {}
    custom: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    swap: str | None = None
    scale: str | None = None
    multiple: int = 1


class Refiner(BaseModel):
    """How a sampler is told of the model that goes on with its work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: tuple[str, ...] = ()
    steps: str | None = None
    cfg: str | None = None
    denoise: str | None = None
    begins: str | None = None
    share: str | None = None
    ratio: str | None = None


class NodeRule(BaseModel):
    """What is known of some node classes; the file says what each field means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    inputs: Mapping[str, tuple[str, ...]] = {}
    pipe: tuple[str, ...] = ()
    switch: str | None = None
    on_true: str = ""
    on_false: str = ""
    branch: str = ""
    cases: str = ""
    otherwise: str = ""
    first_of: str | None = None
    merges: str | None = None
    text: tuple[str, ...] = ()
    line: str | None = None
    beyond: str | None = None
    rows: str | None = None
    constant: str | None = None
    schedule: str | None = None
    widget: str | None = None
    items: str | None = None
    shown: tuple[str, ...] = ()
    join: tuple[str, ...] = ()
    delimiter: str | None = None
    newline: bool | None = None
    skips_empty: bool = False
    replace: tuple[str, ...] = ()
    regex: str | None = None
    until_gone: bool = False
    entry: tuple[str, ...] = ()
    braces: tuple[str, ...] = ()
    tidy: str | None = None
    when: Mapping[str, tuple[str | bool | int, ...]] = {}
    instead: "NodeRule | None" = None
    trim: str | None = None
    comments: str | None = None
    cut: str | None = None
    filled: bool = False
    wildcards: bool = False
    negative_after: str | None = None
    opaque: bool = False
    silent: bool = False
    continues: str = ""
    inherits: str = ""
    choice: str | None = None
    presets: Mapping[str, Mapping[str, str]] = {}
    size: SizePreset | None = None
    refiner: Refiner | None = None
    renames: Mapping[str, str] = {}
    same: tuple[int, ...] = ()
    keeps: bool = False
    sigmas: str | None = None
    loras: NumberedLoras | None = None
    lora_tags: str | None = None
    regions: tuple[str, ...] = ()
    varies: frozenset[str] = frozenset()
    sampler: bool | None = None
    generator: bool | None = None
    saves: tuple[str, ...] | None = None

    @cached_property
    def is_source(self) -> bool:
        """Whether what it gives is its own, and not taken from one of its inputs."""
        return self.passes_own and not self.pipe

    @cached_property
    def is_bundling_maker(self) -> bool:
        """Whether it makes something itself, beside a pipe that it is given or hands on."""
        return bool(self.pipe and self.makes) and self.passes_own

    @cached_property
    def gives_text(self) -> bool:
        """Whether it gives a text that it holds or puts together."""
        return bool(self.text or self.join or self.replace or self.entry or self.braces)

    @cached_property
    def switches(self) -> tuple[str, ...]:
        """The inputs of which one chooses: former nodes may call it otherwise."""
        return tuple((self.switch or "").split("|"))

    @cached_property
    def passes_one(self) -> bool:
        """Whether it passes one of its inputs on as it is: a switch, a reroute."""
        return bool(self.switch) or self.first_of is not None

    @cached_property
    def passes_own(self) -> bool:
        """Whether it is neither a switch nor puts several inputs together."""
        return not self.passes_one and self.merges is None

    def fits(self, inputs: Mapping[str, JsonValue]) -> bool:
        """Whether the other inputs are such that the text is known; a former node may lack them."""
        return all(inputs.get(name, held[0]) in held for name, held in self.when.items())

    def known(self, inputs: Mapping[str, JsonValue]) -> "NodeRule | None":
        """What is known of a node with these inputs; None for nothing."""
        if not self.when or self.fits(inputs):  # most have none: a sweep asks this of every file
            return self
        return None if self.instead is None else self.instead.known(inputs)

    @cached_property
    def given_sigmas(self) -> "NodeRule":
        """What is known of a node that is given sigmas, which stand in for its own schedule."""
        return self.model_copy(update={"inputs": {"steps": (), "scheduler": (), **self.inputs}})

    def adds(self, role: str) -> bool:
        """Whether a node that hands on a pipe puts something of its own into it for a role."""
        if role == "refiner_model":
            return bool(self.pipe) and self.inputs.get(role) == ()
        if role in {"model", "lora_stack"}:
            is_own = bool(self.lora_tags or self.loras) or self.inputs.get(role) == ()
            return bool(self.pipe) and is_own
        return bool(self.pipe) and self.inputs.get(role) == () and f"{role}_text" in self.inputs

    @cached_property
    def makes(self) -> bool:
        """Whether it makes a file, whatever its inputs are called."""
        return bool(self.sampler or self.generator)

    def output(self, slot: object) -> str | None:
        """What the output with that number carries; None where it is not known."""
        return (
            self.outputs[slot] if isinstance(slot, int) and 0 <= slot < len(self.outputs) else None
        )


class _RuleFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    names: Mapping[str, tuple[str, ...]]
    constants: Mapping[str, str]
    schedules: Mapping[str, str]
    rules: tuple[NodeRule, ...]


_TEXT = files(__package__).joinpath("node_rules.toml").read_text(encoding="utf-8")
_FILE = _RuleFile.model_validate(tomllib.loads(_TEXT))
_NAMES = dict(_FILE.names)
_UNKNOWN = NodeRule()
_EXACT = {name: rule for rule in reversed(_FILE.rules) for name in rule.classes if "*" not in name}
_EXACT |= {name: NodeRule(classes=(name,), constant=of) for name, of in _FILE.constants.items()}
_EXACT |= {name: NodeRule(classes=(name,), schedule=of) for name, of in _FILE.schedules.items()}
_PATTERNS = [  # each with how a class that fits it begins, as to compile it takes long
    (each.partition("*")[0], each.replace("[", "[[]"), rule)  # a bracket stands for itself
    for rule in _FILE.rules
    for each in rule.classes
    if "*" in each
]


def _matching(class_type: str) -> NodeRule:
    for begin, pattern, rule in _PATTERNS:
        if class_type.startswith(begin) and fnmatchcase(class_type, pattern):
            return rule
    return _UNKNOWN


@lru_cache(maxsize=4096)
def rule_of(class_type: str) -> NodeRule:
    """The rule for a class: one that names it, else the first with a pattern for it."""
    return _EXACT.get(class_type) or _matching(class_type[:100])


@cache  # there are a few dozen roles
def names_of(role: str) -> tuple[str, ...]:
    """The inputs that a node may take something from, by what it is for."""
    return _NAMES.get(role) or (role,)
