"""Composition: what a request becomes with a project's style and the characters that it names."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from anime.comfyui.workflow_templates import load_template
from anime.core.catalogue import CatalogueLora
from anime.core.character_policies import CharacterPolicies, CharacterPolicy
from anime.core.composition.compose import compose
from anime.core.composition.record import Composition, recorded_request
from anime.core.composition.sources import (
    NO_SOURCES,
    DrawnCharacter,
    SourceProject,
    Sources,
    mentions,
)
from anime.core.references import Reference, ReferenceRole, places_for
from anime.core.shots import ShotFields
from anime.core.styles import ProjectStyle, StyleVersion
from anime.core.targets import PicturePlace
from anime.core.workflow_build import Template, build
from anime.errors import InvalidRequest
from anime.schemas import GenerationRequest, GenerationType, LoraChoice
from anime.settings import SHIPPED_WORKFLOWS

STYLE = ProjectStyle(
    workflow="txt2img",
    model="neon.safetensors",
    width=768,
    steps=30,
    prompt_before="anime screencap",
    prompt_after="film grain",
    negative_prompt="blurry, glasses",
)
FACE, BODY = (
    Reference(role, f".inputs/{letter * 64}.png", letter * 64)
    for role, letter in ((ReferenceRole.FACE, "a"), (ReferenceRole.BODY, "b"))
)
KEN_FACE = Reference(ReferenceRole.FACE, f".inputs/{'c' * 64}.png", "c" * 64)
MEI = DrawnCharacter(
    name="Mei",
    slug="mei",
    version=2,
    is_draft=False,
    prompt="silver hair, glasses",
    negative_prompt="hat",
    loras=(CatalogueLora(name="mei.safetensors", strength=0.8),),
    seed=7,
    references=(FACE, BODY),
)
KEN = DrawnCharacter(
    name="Ken Mori",
    slug="ken-mori",
    version=1,
    is_draft=True,
    prompt="short black hair",
    seed=8,
    references=(KEN_FACE,),
)


def template(name: str = "txt2img", **binding: Any) -> Template:
    found = load_template(name, SHIPPED_WORKFLOWS)
    return Template(name, found.graph, found.binding.model_copy(update=binding))


def sources(style: ProjectStyle | None = STYLE, *cast: DrawnCharacter) -> Sources:
    at = datetime(2026, 11, 28, tzinfo=UTC)
    version = (
        StyleVersion(version=3, style=style, notes="", created_at=at, created_by="ann")
        if style
        else None
    )
    own = {each.slug: each for each in cast or (MEI, KEN)}
    return Sources(projects={"neon-city": SourceProject("Neon City", "neon-city", version, own)})


def request(prompt: str = "a roof", **fields: Any) -> GenerationRequest:
    return GenerationRequest(prompt=prompt, project="Neon City", **fields)


def composed(
    asked: GenerationRequest, known: Sources | None = None, workflow: str = "txt2img", **more: Any
) -> Composition:
    return compose(asked, sources() if known is None else known, template(workflow), **more)


def test_the_style_fills_what_the_request_leaves_open_and_says_where_each_part_is_from() -> None:
    made = composed(request(steps=8))
    asked = made.request
    assert (asked.prompt, asked.negative_prompt) == (
        "anime screencap, a roof, film grain",
        "blurry, glasses",
    )
    assert (asked.model, asked.width, asked.height, asked.steps) == (
        "neon.safetensors",
        768,
        None,
        8,
    )
    assert [(each.text, each.source) for each in made.fragments if each.field == "prompt"] == [
        ("anime screencap", "style 3 of Neon City"),
        ("a roof", "request"),
        ("film grain", "style 3 of Neon City"),
    ]
    assert made.conflicts == ["steps: 8 of request counts, not 30 of style 3 of Neon City."]
    assert (made.style_version, made.character_versions) == (3, {})


def test_characters_are_named_in_fields_and_in_the_text() -> None:
    made = composed(request("@mei waves to @{Ken Mori}", character="Mei"), sources(None))
    assert made.request.prompt == ("silver hair, glasses, short black hair, Mei waves to Ken Mori")
    assert made.character_versions == {"Mei": 2, "Ken Mori": 1}
    assert composed(request("@mei"), sources(None)).request.first_character == "Mei"
    assert composed(
        request("both", characters=["Ken Mori", "mei"]), sources(None)
    ).request.prompt == ("short black hair, silver hair, glasses, both")
    assert any("draft" in warning for warning in made.warnings)
    assert list(mentions("write to a@b.c, @@x and @mei-lin.")) == ["mei-lin"]


def test_what_is_composed_of_much_can_be_read_again() -> None:
    crowd = [replace(KEN, name=f"K{n}", slug=f"k{n}", version=1) for n in range(30)]
    asked = request(" ".join(f"@k{n}" for n in range(30)))
    made = composed(asked, sources(None, *crowd))
    assert len(made.character_versions) == 30
    assert recorded_request(made.model_dump(mode="json"), asked) == made.request
    with pytest.raises(InvalidRequest, match=r"prompt has .* characters with style"):
        composed(request("x" * 9_995), sources(STYLE))


def test_an_unknown_character_is_only_a_name_and_that_is_said() -> None:
    asked = request("@nobody waves", character="Zed")
    made = composed(asked, sources(None))
    assert made.request == asked
    assert made.is_plain
    assert [warning.split(";")[0] for warning in made.warnings] == [
        "Nothing is known of how Zed looks",
        "Nothing is known of how nobody looks",
    ]


def test_what_one_wants_and_another_avoids_stays_where_it_counts() -> None:
    made = composed(request("Mei in a hat, @mei", negative_prompt="film grain"))
    assert made.request.prompt == "anime screencap, silver hair, glasses, Mei in a hat, Mei"
    assert made.request.negative_prompt == "blurry, hat, film grain"
    assert made.conflicts == [
        "'glasses' of style 3 of Neon City is left out: character Mei, version 2 counts.",
        "'film grain' of style 3 of Neon City is left out: request counts.",
    ]


def test_of_two_loras_of_one_name_that_of_the_request_counts() -> None:
    styled = STYLE.model_copy(update={"loras": [CatalogueLora(name="ink.safetensors")]})
    asked = request("@mei", loras=[LoraChoice(name="mei.safetensors", strength=0.3)])
    made = composed(asked, sources(styled))
    assert [(lora.name, lora.strength) for lora in made.request.loras] == [
        ("ink.safetensors", 1.0),
        ("mei.safetensors", 0.3),
    ]
    assert (
        "LoRA mei.safetensors: strength 0.3 of request counts, not 0.8 of character Mei, version 2."
        in made.conflicts
    )


def test_a_lora_of_another_architecture_is_refused_and_of_none_unchecked() -> None:
    mei = DrawnCharacter(
        "Mei", "mei", 1, False, "a girl", loras=(CatalogueLora(name="x", architecture="Flux"),)
    )
    known = sources(None, mei)
    with pytest.raises(InvalidRequest, match=r"is for Flux, workflow txt2img for SD-XL"):
        compose(request("@mei"), known, template(architecture="SD-XL"))
    assert compose(request("@mei"), known, template(architecture="FLUX")).warnings == []
    [warning] = compose(request("@mei"), known, template()).warnings
    assert "unchecked: workflow txt2img names no architecture" in warning


def test_a_lora_must_be_for_the_model_that_the_request_or_the_style_takes_instead() -> None:
    mei = DrawnCharacter(
        "Mei", "mei", 1, False, "a girl", loras=(CatalogueLora(name="x", architecture="sdxl"),)
    )
    known_models = {"flux.safetensors": "flux"}.get
    sdxl = template(architecture="sdxl")
    refused = r"is for sdxl, model flux\.safetensors for flux"
    asked = request("@mei", model="flux.safetensors")
    with pytest.raises(InvalidRequest, match=refused):
        compose(asked, sources(None, mei), sdxl, architecture_of=known_models)
    style = ProjectStyle(workflow="txt2img", model="flux.safetensors")
    with pytest.raises(InvalidRequest, match=refused):
        compose(request("@mei"), sources(style, mei), sdxl, architecture_of=known_models)
    own = request("@mei", model="ours.safetensors")
    made = compose(own, sources(None, mei), sdxl, architecture_of=known_models)
    assert made.warnings == []  # a checkpoint of nobody's binding is taken to be the workflow's


def test_a_character_that_another_ones_prompt_mentions_is_not_followed_and_that_is_said() -> None:
    twins = [
        DrawnCharacter("Mei", "mei", 1, False, "twin of @ken"),
        DrawnCharacter("Ken", "ken", 1, False, "twin of @mei"),
    ]
    made = compose(request("@mei"), sources(None, *twins), template())
    assert (made.character_versions, made.request.prompt) == ({"Mei": 1}, "twin of @ken, Mei")
    [warning] = made.warnings
    assert warning.startswith("@ken in the prompt of character Mei, version 1 stays as it is")


def test_references_go_to_the_places_of_the_workflow_in_turns_and_the_prompt_calls_them() -> None:
    made = composed(request("@mei and @ken-mori"), sources(None), "edit")
    assert made.request.inputs == {"references": [FACE.path, KEN_FACE.path, BODY.path]}
    assert made.request.prompt == (
        "Mei is Picture 1 and Picture 3, silver hair, glasses,"
        " Ken Mori is Picture 2, short black hair, Mei and Ken Mori"
    )
    graph = build(template("edit"), made.request, seed=1, filename_prefix="")
    pictures = [
        node["inputs"]["image"] for node in graph.values() if node["class_type"] == "LoadImage"
    ]
    assert pictures == [FACE.path, KEN_FACE.path, BODY.path]


def test_pictures_without_a_place_are_named_and_those_of_the_request_count() -> None:
    own = request("@mei", inputs={"references": ["a.png"]})
    made = composed(own, sources(None), "edit")
    assert made.request.inputs == own.inputs
    assert any(
        text.startswith("references: the request's pictures count") for text in made.conflicts
    )
    assert any("pictures of character Mei" in text for text in composed(request("@mei")).warnings)


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (["body", "face"], [BODY, KEN_FACE]),
        (["Face", "face", "face"], [FACE, KEN_FACE]),
        (["outfit", "face"], []),
        (["", "pose", "", ""], [FACE, KEN_FACE, BODY]),
    ],
)
def test_a_place_with_a_role_takes_a_picture_of_that_role(
    roles: list[str], expected: list[Reference]
) -> None:
    places = [PicturePlace(id=str(n), input="image", role=role) for n, role in enumerate(roles)]
    cast = [("mei", (FACE, BODY)), ("ken", (KEN_FACE,))]
    assert [reference for _, reference in places_for(cast, places)] == expected


def test_a_character_that_the_workflow_cannot_show_is_an_error_or_a_warning() -> None:
    whole = template()
    inputs = {name: bound for name, bound in whole.inputs.items() if name != "prompt"}
    blind = template(inputs=inputs, loras=(), needs_prompt=False)
    made = compose(request("@mei"), sources(None), blind)
    assert any("cannot show Mei" in warning for warning in made.warnings)
    strict = CharacterPolicies(unshown=CharacterPolicy.ERROR, draft=CharacterPolicy.ERROR)
    with pytest.raises(InvalidRequest, match="cannot show Mei"):
        compose(request("@mei"), sources(None), blind, policies=strict)
    with pytest.raises(InvalidRequest, match="No version of Ken Mori is canonical; 1 is"):
        compose(request("@ken-mori"), sources(None), whole, policies=strict)


def test_what_a_style_says_for_its_workflow_is_left_out_of_another_one() -> None:
    made = composed(request(type=GenerationType.VIDEO), workflow="animation")
    assert (made.request.model, made.request.steps, made.request.width) == (None, None, 768)
    assert "steps 30 of style 3 of Neon City is left out" in " ".join(made.warnings)


def test_the_style_names_the_workflow_by_type_and_the_frame_rate() -> None:
    style = ProjectStyle(workflow="sdxl", video_workflow="animation", frame_rate=12)
    known = sources(style)
    assert known.workflow_of(request()) == "sdxl"
    assert known.workflow_of(request(workflow="edit")) == "edit"
    video = request(type=GenerationType.VIDEO)
    assert known.workflow_of(video) == "animation"
    made = composed(video, known, "animation")
    assert (made.request.workflow, made.request.inputs) == (None, {"fps": 12})


def test_what_a_request_has_from_its_shot_says_so() -> None:
    shot = ShotFields(code="SC1", prompt="a roof", width=512)
    known = sources()
    project = replace(known.projects["neon-city"], shots={"sc1": shot})
    made = composed(request(width=640, shot="sc1"), Sources(projects={"neon-city": project}))
    told = {each.field: each.source for each in made.fragments if each.text in ("a roof", "640")}
    assert told == {"prompt": "shot sc1", "width": "request"}


def test_files_are_named_by_the_style() -> None:
    named = ProjectStyle(naming="{project} {shot}_{character}")
    asked = request("@mei", shot="sc1_c010", character="Mei/é")
    assert composed(asked, sources(named)).file_prefix == "Neon-City-sc1_c010_Mei-é_"
    assert composed(request(), sources(ProjectStyle(naming="{shot}"))).file_prefix == ""
    long = composed(request(shot="x" * 64), sources(ProjectStyle(naming="{shot}{shot}{shot}")))
    assert len(long.file_prefix) == 101
    for wrong in ("{seed}", "{shot!r}", "{shot:>9}", "{shot", "{}", "{shot.__class__}"):
        with pytest.raises(ValidationError):
            ProjectStyle(naming=wrong)


def test_seeds_follow_the_policy() -> None:
    def seed(policy: str | None, *, known: int | None = None, **fields: Any) -> int | None:
        given = ProjectStyle.model_validate({**STYLE.model_dump(), "seed_policy": policy})
        made = compose(
            request("@mei", seed=known, **fields), sources(given), template(), random_seed=99
        )
        return made.request.seed

    fixed = seed("shot", shot="SC1 a")
    assert fixed is not None
    assert fixed == seed("shot", shot="sc1 A") != seed("shot", shot="sc2")
    assert seed("take", shot="sc1") is None
    assert seed("random") == 99
    assert seed("random", known=5) == 5
    assert seed(None) == MEI.seed
    assert seed(None, shot="sc1") is None


def test_the_digest_is_of_what_the_picture_shows() -> None:
    def digest(asked: GenerationRequest, known: Sources, workflow: Template | None = None) -> str:
        return compose(asked, known, workflow or template()).digest

    first = digest(request("@mei", seed=1, shot="sc1"), sources())
    assert first == digest(request("@mei", seed=2, shot="sc2", priority=90), sources())
    others = {
        digest(request("@mei!"), sources()),
        digest(request("@mei"), sources(None)),
        digest(request("@mei"), sources(), template("sdxl")),
        digest(request("@mei", inputs={"a": 1}), sources()),
    }
    assert len(others | {first}) == 5


@given(
    st.builds(
        GenerationRequest,
        prompt=st.text(min_size=1).filter(lambda text: text.strip() and "\0" not in text),
        seed=st.none() | st.integers(0, 2**64 - 1),
        steps=st.none() | st.integers(1, 1000),
    )
)
def test_a_request_without_style_and_characters_stays_as_it_is(asked: GenerationRequest) -> None:
    made = compose(asked, NO_SOURCES, template())
    assert made.request == asked
    assert (made.fragments, made.conflicts, made.is_plain) == ([], [], True)


@given(
    prompt=st.lists(st.sampled_from(["a roof", "hat", "@mei", "glasses", "rain"]), min_size=1),
    negative=st.lists(st.sampled_from(["rain", "film grain", "silver hair"])),
    steps=st.none() | st.integers(1, 100),
    characters=st.lists(st.sampled_from(["Mei", "Ken Mori", "Zed"]), max_size=5),
)
def test_the_request_always_wins(
    prompt: list[str], negative: list[str], steps: int | None, characters: list[str]
) -> None:
    asked = request(
        ", ".join(prompt),
        negative_prompt=", ".join(negative) or None,
        steps=steps,
        characters=characters,
    )
    made = composed(asked)
    own = ", ".join(prompt).replace("@mei", "Mei")
    assert own in made.request.prompt
    assert made.request.steps == (steps or 30)
    avoided = (made.request.negative_prompt or "").split(", ")
    assert set(negative) <= set(avoided)
    assert not (set(avoided) - set(negative)) & set(made.request.prompt.split(", "))
    assert made == composed(asked)
    assert Composition.model_validate(made.model_dump(mode="json")) == made
    assert recorded_request(made.model_dump(mode="json"), asked) == made.request


def test_composing_takes_less_than_a_millisecond() -> None:
    asked, known, workflow = request("@mei and @ken-mori", shot="sc1"), sources(), template("edit")
    compose(asked, known, workflow)
    began = time.process_time()
    for _ in range(100):
        compose(asked, known, workflow)
    assert time.process_time() - began < 0.1
