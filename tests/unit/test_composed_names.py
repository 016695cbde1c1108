"""A name in two Unicode forms, as keyboards and as macOS write it, is one name."""

import hashlib
from unicodedata import normalize
from uuid import UUID, uuid4, uuid5

from anime.core.batches import BatchRequest, expand, jobs_of, possible_jobs_of
from anime.core.job_status import JobStatus
from anime.core.ownership import AssetOwner, Claims, Evidence, Known, KnownProject, owner_among
from anime.core.paths import safe_filename, slug_of, slugs_of
from anime.jobs.redis_entry import request_of
from anime.schemas import GenerationRequest

NAME = "ガラスの街"
COMPOSED, DECOMPOSED = normalize("NFC", NAME), normalize("NFD", NAME)
FORMER_SLUG = f"project-{hashlib.sha256(DECOMPOSED.encode()).hexdigest()[:8]}"
BATCHES = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def batch_of(name: str, **more: object) -> BatchRequest:
    return BatchRequest.model_validate({"name": name, "prompts": ["a fox"], **more})


def test_the_two_forms_differ_or_these_tests_show_nothing() -> None:
    assert COMPOSED != DECOMPOSED


def test_both_forms_have_one_slug_and_the_one_of_old_is_known_still() -> None:
    assert slug_of(COMPOSED) == slug_of(DECOMPOSED)
    assert slugs_of(COMPOSED) == slugs_of(DECOMPOSED) == (slug_of(COMPOSED), FORMER_SLUG)
    assert slugs_of("Neon City") == ("neon-city",)


def test_a_request_has_the_names_of_both_forms_in_one_and_leaves_those_of_the_server() -> None:
    told = {"prompt": "rain", "project": DECOMPOSED, "character": DECOMPOSED, "shot": DECOMPOSED}
    request = GenerationRequest.model_validate({**told, "model": DECOMPOSED})
    assert {request.project, request.character, request.shot} == {COMPOSED}
    assert request.model == DECOMPOSED  # as the server lists it


def test_an_entry_of_the_old_queue_is_of_the_same_project() -> None:
    assert request_of({"params": '{"prompt": "rain"}'}, DECOMPOSED).project == COMPOSED


def test_a_batch_has_the_same_jobs_under_both_forms() -> None:
    one = batch_of(COMPOSED, common={"project": COMPOSED})
    other = batch_of(DECOMPOSED, common={"project": DECOMPOSED})
    assert [child.key for child in expand(one)] == [child.key for child in expand(other)]
    assert one.name == other.name == COMPOSED


def test_a_batch_goes_on_with_the_jobs_it_had_when_its_name_was_taken_sign_by_sign() -> None:
    # As ids were made then: of the name and the fields as they were typed.
    home = uuid5(uuid5(BATCHES, "urn:anime:batch"), DECOMPOSED)
    former = uuid5(uuid5(home, '{"prompt": "a fox"}#0'), "try-1")
    for name in (COMPOSED, DECOMPOSED):
        children = expand(batch_of(name))
        assert former in possible_jobs_of(children)
        assert list(jobs_of(children, {former: JobStatus.COMPLETED})) == [former]
        assert list(jobs_of(children, {})) == [children[0].job_id(1)]


def test_a_former_job_that_failed_is_tried_again_under_its_own_next_try() -> None:
    [child] = expand(batch_of(COMPOSED))
    [first, second] = [uuid5(child.former_keys[0], f"try-{number}") for number in (1, 2)]
    assert list(jobs_of([child], {first: JobStatus.FAILED})) == [second]


def test_a_folder_that_macos_wrote_names_the_project_that_was_typed() -> None:
    typed = KnownProject(uuid4(), slug_of(COMPOSED), COMPOSED)
    known = Known.of([typed], [])
    for folder in (COMPOSED, DECOMPOSED):
        assert owner_among(Claims(f"{folder}/a.png"), known) == AssetOwner(
            None, typed.slug, Evidence.NAME
        )


def test_a_project_of_old_keeps_its_folder_under_both_forms() -> None:
    old = KnownProject(uuid4(), FORMER_SLUG, COMPOSED)
    for folder in (COMPOSED, DECOMPOSED):
        assert owner_among(Claims(f"{folder}/a.png"), Known.of([old], [])).slug == FORMER_SLUG


def test_a_file_comes_into_the_library_under_one_form() -> None:
    assert safe_filename(f"{DECOMPOSED}.png") == safe_filename(f"{COMPOSED}.png")
