import json
from pathlib import Path
from typing import Any

import pytest

from anime.comfyui import protocol, requests
from anime.comfyui.failures import failure_of
from anime.comfyui.models import ExecutionFailure, HistoryEntry, OutputFile
from anime.comfyui.protocol import Reply
from anime.core.job_status import FailureKind
from anime.core.prompt_state import Finished
from anime.errors import (
    ComfyUIError,
    ComfyUIUnreachable,
    GpuFault,
    InvalidRequest,
    InvalidWorkflow,
    NodeFailed,
    NotFound,
    OutOfVram,
    PromptRejected,
)

SAMPLES = Path(__file__).parent / "samples" / "comfyui"
PROMPT_ID = "6f1c2a34-0000-5000-8000-000000000001"
URL = "http://studio:8188"
JSON = "application/json; charset=utf-8"
GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {}, "_meta": {"title": "Draw"}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {}, "_meta": {"title": "Model"}},
}


def sample(name: str, status: int = 200) -> Reply:
    return Reply(status, JSON, (SAMPLES / f"{name}.json").read_bytes(), URL, "GET /sample")


def text(status: int, body: str = "") -> Reply:
    return Reply(status, "text/plain; charset=utf-8", body.encode(), URL, "POST /prompt")


def answer(content: Any) -> Reply:  # any JSON
    return Reply(200, JSON, json.dumps(content).encode(), URL, "GET /made-up")


def rejected(reply: Reply) -> PromptRejected:
    with pytest.raises(PromptRejected) as caught:
        protocol.decode_submit(reply, graph=GRAPH)
    return caught.value


def test_an_accepted_prompt_is_a_submission() -> None:
    submission = protocol.decode_submit(sample("submitted"))
    assert (submission.prompt_id, submission.number) == (PROMPT_ID, 3)


def test_extra_png_info_travels_in_the_request() -> None:
    request = requests.submit_request(
        GRAPH, prompt_id=PROMPT_ID, client_id="c", extra_pnginfo={"anime": {"seed": 2**64 - 1}}
    )
    assert json.loads(request.body or b"")["extra_data"] == {
        "extra_pnginfo": {"anime": {"seed": 18446744073709551615}}
    }


@pytest.mark.parametrize("value", [float("nan"), b"bytes"])
def test_a_graph_that_json_cannot_hold_is_an_invalid_workflow(value: object) -> None:
    graph = {"1": {"class_type": "X", "inputs": {"a": value}}}
    with pytest.raises(InvalidWorkflow, match="cannot be written as JSON"):
        requests.submit_request(graph, prompt_id=PROMPT_ID, client_id="c")


def test_a_rejection_names_node_input_value_and_the_nearest_choice() -> None:
    error = rejected(sample("rejected_checkpoint", 400))
    assert error.problems == (
        (
            "“Model” (CheckpointLoaderSimple, node 4): ckpt_name is 'animeXL.safetensors', "
            "which ComfyUI does not have; nearest: 'anime-xl.safetensors'"
        ),
    )
    assert URL in str(error)


def test_a_rejection_without_the_list_still_names_the_value() -> None:
    assert rejected(sample("rejected_long_list", 400)).problems == (
        "“Draw” (KSampler, node 3): sampler_name is 'oiler', which ComfyUI does not have",
    )


def test_every_kind_of_fault_becomes_one_readable_line() -> None:
    assert rejected(sample("rejected_values", 400)).problems == (
        "“Draw” (KSampler, node 3): seed is -1, below its minimum of 0",
        (
            "“Draw” (KSampler, node 3): scheduler is 'karas', which ComfyUI does not have; "
            "nearest: 'karras'"
        ),
        "EmptyImage (node 1): color is missing",
        "EmptyImage (node 1): width is 'abc', which is no INT",
        (
            "LoadImage (node 10): Custom validation failed for node: "
            "image - Invalid image file: nope.png"
        ),
        (
            "SaveImage (node 2): Return type mismatch between linked nodes: "
            "images, received_type(LATENT) mismatch input_type(IMAGE)"
        ),
        "SaveImage (node 2): a link or input cannot be followed ('7')",
    )


def test_a_cycle_is_guessed_from_what_the_server_does_not_say() -> None:
    assert "in a circle" in rejected(sample("rejected_cycle", 400)).problems[0]


def test_a_body_too_large_is_a_rejection() -> None:
    error = rejected(text(413, "Maximum request body size 104857600 exceeded."))
    assert "104857600" in error.what


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_without_a_server_behind_it_is_unreachable(status: int) -> None:
    with pytest.raises(ComfyUIUnreachable, match=str(status)):
        protocol.decode_submit(text(status))


def test_a_refused_client_is_told_about_the_address() -> None:
    with pytest.raises(ComfyUIError, match="ANIME_COMFYUI_URL") as caught:
        protocol.decode_submit(text(403))
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"[]", b'{"prompt_id": 3}', b"\xff", b"[" * 100_000]
)
def test_an_answer_that_is_not_comfyuis_is_an_error_that_says_so(body: bytes) -> None:
    with pytest.raises(ComfyUIError, match="something that ComfyUI does not say"):
        protocol.decode_submit(Reply(200, "text/html", body, URL))


@pytest.mark.parametrize("status", [302, 404, 405])
def test_a_server_that_is_no_comfyui_is_an_error_naming_url_and_route(status: int) -> None:
    with pytest.raises(ComfyUIError, match=f"{URL} answered GET /sample with {status}"):
        protocol.decode_queue(sample("queue", status))


def test_a_bare_nan_in_the_queue_sorts_last() -> None:
    body = b'{"queue_running": [], "queue_pending": [[NaN, "x", {}], [5, "y", {}]]}'
    queue = protocol.decode_queue(Reply(200, JSON, body))
    assert [prompt.prompt_id for prompt in queue.pending] == ["y", "x"]


def test_a_queue_of_another_shape_is_a_typed_error() -> None:
    with pytest.raises(ComfyUIError):
        protocol.decode_queue(answer({"queue_pending": [["no number"]]}))


def test_a_history_entry_has_files_graph_and_times() -> None:
    entry = protocol.decode_history(sample("history_success"), PROMPT_ID)
    assert entry is not None
    assert entry.succeeded
    assert entry.graph["2"]["class_type"] == "SaveImage"
    assert (entry.started_ms, entry.ended_ms) == (1000, 4500)
    assert entry.saved == (
        OutputFile(filename="frame_00001_.png", subfolder="jobs/1", type="output", node_id="2"),
    )


def test_f25_outputs_of_every_shape_are_read_and_the_rest_passed_over() -> None:
    entry = protocol.decode_history(sample("history_odd_outputs"), PROMPT_ID)
    assert entry is not None
    found = [(file.filename, file.key, file.animated, file.type) for file in entry.outputs]
    assert found == [
        ("ComfyUI_temp_abcde_00001_.png", "images", False, "temp"),
        ("loop_00001_.mp4", "images", True, "output"),
        ("walk_00001.mp4", "gifs", True, "output"),
        ("rain_00001_.flac", "audio", False, "output"),
    ]
    assert [file.type == "temp" for file in entry.outputs] == [True, False, False, False]
    assert len(entry.saved) == 3


def test_a_file_of_a_node_that_another_made_while_it_ran_is_of_the_node_it_is_shown_as() -> None:
    def saved(name: str) -> dict[str, Any]:
        return {"images": [{"filename": name, "subfolder": "jobs/1", "type": "output"}]}

    def about(shown: object) -> dict[str, Any]:
        return {"display_node": shown, "parent_node": "3", "real_node_id": "3"}

    item = {
        "prompt": [1, PROMPT_ID, {"2": {}, "3": {}}, {}, []],
        "outputs": {
            "2": saved("a_1.png"),
            "3.0.0.S0": saved("a_2.png"),
            "3.0.0.S1": {"text": ["x"]},
            "4.0": saved("a_3.png"),
            "5.0": saved("a_4.png"),
        },
        "meta": {"3.0.0.S0": about("2"), "3.0.0.S1": about("2"), "4.0": about(None), "5.0": 7},
    }
    entry = protocol.decode_history(answer({PROMPT_ID: item}), PROMPT_ID)
    assert entry is not None
    found = {file.filename: file.node_id for file in entry.saved}
    assert found == {"a_1.png": "2", "a_2.png": "2", "a_3.png": "4.0", "a_4.png": "5.0"}
    assert entry.unkept == ("text of node 2",)


def test_a_history_entry_without_a_status_counts_as_success() -> None:
    entry = protocol.decode_history(sample("history_odd_outputs"), PROMPT_ID)
    assert entry is not None
    assert entry.succeeded
    assert entry.ended_ms is None


def test_a_failed_node_is_named_as_the_artist_knows_it() -> None:
    entry = protocol.decode_history(sample("history_error"), PROMPT_ID)
    assert entry is not None
    graph = {"4": {"class_type": "SaveImage", "_meta": {"title": "Keep"}}}
    error = failure_of(entry, graph)
    assert isinstance(error, NodeFailed)
    assert error.node == "“Keep” (SaveImage, node 4)"
    assert "ERROR: Saving image outside the output folder is not allowed." in error.what
    assert "full_output_folder" not in str(error)


def test_running_out_of_memory_is_told_apart_from_other_failures() -> None:
    entry = protocol.decode_history(sample("history_out_of_memory"), PROMPT_ID)
    assert entry is not None
    assert isinstance(failure_of(entry), OutOfVram)


@pytest.mark.parametrize(
    ("message", "is_fault"),
    [
        ("CUDA error: an illegal memory access was encountered", True),
        ("CUDA error: device-side assert triggered", True),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", True),
        ("HIP error: unspecified launch failure", True),
        ("CUDA error: no kernel image is available for execution on the device", False),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_f21_a_gpu_fault_is_told_apart_from_a_failed_node(message: str, is_fault: bool) -> None:
    failure = ExecutionFailure(exception_type="RuntimeError", message=message)
    entry = HistoryEntry(prompt_id=PROMPT_ID, succeeded=False, failure=failure)
    assert isinstance(failure_of(entry), GpuFault) is is_fault


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 70368744177664 bytes.",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 3732480000 bytes.",
        "Could not allocate tensor with 7 bytes. There is not enough GPU video memory available!",
    ],
)
def test_a_gpu_or_machine_that_is_out_of_memory_has_no_fault(message: str) -> None:
    failure = ExecutionFailure(exception_type="RuntimeError", message=message)
    entry = HistoryEntry(prompt_id=PROMPT_ID, succeeded=False, failure=failure)
    assert isinstance(failure_of(entry), OutOfVram)


def test_what_a_node_says_can_be_stored_whatever_is_in_it() -> None:
    raised = {"node_id": "4", "exception_message": "bad\0 name \udcff 🦊", "exception_type": "E"}
    status = {"status_str": "error", "messages": [["execution_error", raised]]}
    item = {"prompt": [], "outputs": {"4": {"te\0xt": ["x"]}}, "status": status}
    entry = protocol.decode_history(answer({PROMPT_ID: item}), PROMPT_ID)
    assert entry is not None
    assert "bad\ufffd name \ufffd 🦊" in failure_of(entry).what
    assert entry.unkept == ("te\ufffdxt of node 4",)


def test_files_that_are_to_come_count_as_choices_of_lists_only() -> None:
    info = protocol.decode_object_info(sample("object_info_ksampler"), "KSampler")
    assert info is not None
    more = info.with_choices({"mine.png"})
    assert more.inputs["scheduler"].choices == ("normal", "karras", "mine.png")
    assert more.inputs["seed"] == info.inputs["seed"]


def test_a_failure_without_a_message_is_still_a_failure() -> None:
    item = {"status": {"status_str": "error", "completed": False, "messages": []}}
    entry = protocol.decode_history(answer({PROMPT_ID: item}), PROMPT_ID)
    assert entry is not None
    assert isinstance(failure_of(entry), NodeFailed)


def test_both_spellings_of_a_choice_are_read() -> None:
    info = protocol.decode_object_info(sample("object_info_ksampler"), "KSampler")
    assert info is not None
    assert info.inputs["sampler_name"].choices == ("euler", "heun")
    assert info.inputs["scheduler"].choices == ("normal", "karras")
    assert {info.inputs[name].kind for name in ("sampler_name", "scheduler")} == {"COMBO"}


def test_limits_of_numbers_are_exact_up_to_the_largest_seed() -> None:
    info = protocol.decode_object_info(sample("object_info_ksampler"), "KSampler")
    assert info is not None
    assert info.required["seed"].max == 2**64 - 1
    assert isinstance(info.required["seed"].max, int)
    assert info.required["cfg"].default == 8.0
    assert info.optional["note"].kind == "STRING"


def test_an_unknown_class_has_no_info() -> None:
    assert protocol.decode_object_info(answer({}), "NoSuchNode") is None


def test_system_stats_of_a_cpu_server_are_read() -> None:
    stats = protocol.decode_system_stats(sample("system_stats"))
    assert (stats.comfyui_version, stats.devices[0].type) == ("0.3.64", "cpu")
    assert stats.devices[0].index is None
    assert stats.devices[0].vram_free == stats.ram_free


def test_a_job_that_is_nested_too_deeply_is_one_that_the_server_does_not_tell() -> None:
    assert protocol.decode_job(Reply(200, JSON, b"[" * 100_000, URL), PROMPT_ID) is None


def test_an_upload_answers_with_the_name_to_use() -> None:
    reply = answer({"name": "pose (1).png", "subfolder": "jobs/1", "type": "input"})
    assert protocol.decode_upload(reply) == "jobs/1/pose (1).png"


def test_an_upload_it_does_not_take_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest, match="plain file name"):
        protocol.decode_upload(text(400))


def test_a_file_that_is_gone_is_not_found() -> None:
    with pytest.raises(NotFound, match=r"frame_00001_\.png") as caught:
        protocol.require_file(text(404), "frame_00001_.png")
    assert caught.value.kind is FailureKind.STORAGE


def test_a_whole_path_that_a_node_lists_is_not_found_and_no_wrong_address() -> None:
    with pytest.raises(NotFound, match=r"does not hand out /srv/a\.png") as caught:
        protocol.require_file(text(400), "/srv/a.png")
    assert "output folder" in caught.value.todo


def test_dynamic_inputs_have_no_choices_but_options_and_items() -> None:
    item = {"required": {"image": ["IMAGE", {}]}}
    codec = ["COMBO", {"options": ["h264"], "multiselect": True}]
    groups = {
        "required": {
            "format": [
                "COMFY_DYNAMICCOMBO_V3",
                {"options": [{"key": "mp4", "inputs": {"optional": {"codec": codec}}}]},
            ],
            "images": [
                "COMFY_AUTOGROW_V3",
                {"template": {"input": item, "prefix": "image", "min": 1, "max": 10**9}},
            ],
        },
        "optional": {
            "odd": ["COMFY_AUTOGROW_V3", {"template": None}],
            "limit": ["INT", {"min": ""}],
        },
    }
    info = protocol.decode_object_info(answer({"Save": {"input": groups}}), "Save")
    assert info is not None
    chosen, images = info.required["format"], info.required["images"]
    assert (chosen.choices, chosen.options[0].key) == ((), "mp4")
    assert chosen.options[0].optional["codec"].multiselect
    assert images.items is not None
    assert (len(images.items.names), images.items.names[1], images.items.min) == (100, "image1", 1)
    assert images.items.item.kind == "IMAGE"
    assert info.optional["odd"].items is None
    assert info.optional["limit"].min is None


def test_a_server_without_replacements_of_classes_replaces_none() -> None:
    assert protocol.decode_node_replacements(text(404, "404: Not Found")) == {}
    renamed = {"Old": [{"new_node_id": "New"}, {"new_node_id": "Newer"}], "Odd": []}
    assert protocol.decode_node_replacements(answer(renamed)) == {"Old": "New"}


def test_a_refusal_by_the_server_is_short_whatever_it_repeats() -> None:
    long = "x" * 50_000
    config = ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": long, "inputs": {}}]}]
    extra = {"input_name": long, "received_value": long, "input_config": config}
    faults = [
        {"type": "value_not_in_list", "extra_info": extra},
        {"type": "value_not_in_list", "extra_info": extra | {"input_config": [[long]]}},
        {"type": "value_smaller_than_min", "extra_info": extra},
        {"type": "new", "message": long, "details": long},
    ]
    errors = {str(number): {"errors": faults, "class_type": long} for number in range(100)}
    refused = rejected(
        Reply(400, JSON, json.dumps({"node_errors": errors}).encode(), URL, "POST /prompt")
    )
    assert len(str(refused)) < 3000
    assert "… and more. Correct the workflow" in str(refused)
    assert max(map(len, refused.problems)) < 1000


def outputs_of(*nodes: Any) -> Any:  # any JSON
    item = {"outputs": {str(at): output for at, output in enumerate(nodes)}}
    entry = protocol.decode_history(answer({PROMPT_ID: item}), PROMPT_ID)
    assert entry is not None
    return entry


def listed(name: str, kind: str = "output") -> dict[str, str]:
    return {"filename": name, "subfolder": "jobs/1", "type": kind}


@pytest.mark.parametrize("key", ["3d", "files", "audio", "gifs", "images", "video", "model_file"])
def test_a_file_is_read_under_whatever_key_its_node_lists_it(key: str) -> None:
    entry = outputs_of({key: [listed("mesh_00001_.glb")]})
    [file] = entry.saved
    assert (file.filename, file.subfolder, file.key) == ("mesh_00001_.glb", "jobs/1", key)
    assert entry.unkept == ()


def test_a_file_that_is_listed_twice_is_one_file() -> None:
    entry = outputs_of({"images": [listed("a.mp4")], "gifs": [listed("a.mp4"), listed("b.mp4")]})
    assert [(file.filename, file.key) for file in entry.saved] == [
        ("a.mp4", "images"),
        ("b.mp4", "gifs"),
    ]


def test_a_file_that_stands_alone_instead_of_in_a_list_is_read() -> None:
    assert [file.filename for file in outputs_of({"video": listed("a.mp4")}).saved] == ["a.mp4"]


def test_a_file_is_found_however_deep_a_node_lists_it() -> None:
    entry = outputs_of({"result": {"meshes": [{"preview": listed("a.glb")}], "n": 1}})
    assert [(file.filename, file.key) for file in entry.saved] == [("a.glb", "result")]
    assert entry.unkept == ()


def mesh_of(class_type: str, path: str, model: Any) -> HistoryEntry:
    """The entry of a node of ComfyUI 0.33 that lists a path in place of a file.

    GET /api/jobs/{id} makes a file of it, for which /view has no answer, and omits null.
    """
    graph = {"9": {"class_type": class_type, "inputs": {"model_3d": model}}}
    item = {"prompt": [1, PROMPT_ID, graph, {}], "outputs": {"9": {"result": [path, None, []]}}}
    entry = protocol.decode_history(answer({PROMPT_ID: item}), PROMPT_ID)
    made = {"filename": path, "type": "output", "subfolder": "", "mediaType": "3d"}
    outputs = {"9": {"result": [made, []]}}
    job = {"status": "completed", "workflow": {"prompt": graph}, "outputs": outputs}
    found = protocol.decode_job(answer(job), PROMPT_ID)
    assert isinstance(found, Finished)
    assert entry is not None
    assert (entry.outputs, entry.unkept) == (found.entry.outputs, found.entry.unkept)
    return entry


@pytest.mark.parametrize("name", ["x_00001.glb", "日本_00001.PLY", "x_00001.ksplat"])
@pytest.mark.parametrize("folder", ["jobs/1", "", "a/b c", "jobs\\1"])
def test_a_mesh_that_is_listed_as_a_path_is_a_file(folder: str, name: str) -> None:
    entry = mesh_of("Save3DAdvanced", f"{folder}/{name}" if folder else name, ["1", 0])
    [file] = entry.saved
    assert (file.subfolder, file.filename, file.node_id) == (folder, name, "9")
    assert entry.unkept == ()


@pytest.mark.parametrize(
    "name", ["preview3d_{}.glb", "preview3d_advanced_{}.glb", "preview_splat_{}.spz"]
)
def test_a_mesh_that_is_only_shown_is_not_kept(name: str) -> None:
    entry = mesh_of("Preview3DAdvanced", name.format("0f" * 16), ["1", 0])
    assert entry.saved == ()
    assert entry.unkept == ("result of node 9 (temporary)",)


@pytest.mark.parametrize(
    "path",
    ["/a/b.glb", "C:/b.glb", "../b.glb", "a/../b.glb", "\\\\a/b.glb", "b.txt", "glb"],
)
def test_a_path_that_is_no_mesh_in_the_output_folder_is_not_kept(path: str) -> None:
    entry = mesh_of("Preview3D", path, ["1", 0])
    assert (entry.saved, entry.unkept) == ((), ("result of node 9",))


def test_a_text_that_ends_as_a_mesh_does_is_no_file() -> None:
    made = {"filename": "chair.glb", "type": "output", "subfolder": "", "mediaType": "3d"}
    job = {"status": "completed", "outputs": {"9": {"text": [made]}}}
    found = protocol.decode_job(answer(job), PROMPT_ID)
    assert isinstance(found, Finished)
    assert (found.entry.saved, found.entry.unkept) == ((), ("text of node 9",))


def test_a_mesh_that_a_person_has_named_is_not_made_by_the_node() -> None:
    assert mesh_of("Preview3D", "chair.glb", "chair.glb").saved == ()


@pytest.mark.parametrize(
    ("subfolder", "name", "expected"),
    [
        ("", "/comfy/output/jobs/1/a.jpg", "jobs/1/a.jpg"),
        ("", "C:\\comfy\\output\\jobs\\1\\a.jpg", "jobs/1/a.jpg"),
        ("/comfy/output/jobs/1", "a.jpg", "jobs/1/a.jpg"),
        ("jobs/1", "/comfy/output/output/a.jpg", "a.jpg"),
        ("", "/disk/renders/a.jpg", "a.jpg"),
        ("", "jobs/1/a.jpg", "jobs/1/a.jpg"),
        ("jobs\\1", "a.jpg", "jobs/1/a.jpg"),
        ("", "a\\b.jpg", "a\\b.jpg"),
    ],
)
def test_a_whole_path_is_one_below_the_output_folder(
    subfolder: str, name: str, expected: str
) -> None:
    item = {"filename": name, "subfolder": subfolder, "type": "output"}
    [file] = outputs_of({"images": [item]}).saved
    assert (str(file.path), "/" in file.filename) == (expected, False)


def test_only_what_is_called_output_is_one() -> None:
    entry = outputs_of({"images": [listed("a.png", "input"), listed("b.png", "temp")]})
    assert entry.saved == ()
    assert entry.unkept == ("images of node 0 (input)", "images of node 0 (temporary)")


def test_what_is_not_kept_is_told_by_node() -> None:
    entry = protocol.decode_history(sample("history_odd_outputs"), PROMPT_ID)
    assert entry is not None
    assert entry.unkept == (
        "images of node 2 (temporary)",
        "text of node 23",
        "images of node 23",
        "scores of node 23",
        "layers of node 23",
    )


def test_what_says_how_to_show_a_file_is_not_missed() -> None:
    entry = outputs_of({"images": [listed("a.webp")], "animated": [True], "text": [], "n": None})
    assert entry.unkept == ()
