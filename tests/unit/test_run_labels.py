from anime.core.labels import label_of
from anime.schemas import GenerationRequest


def test_a_run_is_named_by_project_character_and_prompt() -> None:
    request = GenerationRequest(
        prompt="a girl on a rooftop at dusk, city lights, light rain, wide shot",
        project="neon-city",
        character="Mira",
        shot="s01-010",
    )
    label = label_of(request)
    assert label.name == "neon-city / Mira / a girl on a rooftop at dusk, city lights, light…"
    assert label.tags == {"project:neon-city", "character:Mira", "shot:s01-010", "image"}


def test_a_run_without_project_and_character_is_named_by_its_prompt() -> None:
    label = label_of(GenerationRequest(prompt="a cat"))
    assert label.name == "a cat"
    assert label.tags == {"image"}
