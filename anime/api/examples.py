"""Examples of every request and answer for `/docs`: a studio with one project and one character.

Each example is an instance of its model, so none can say what the API would not.
"""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, JsonValue

from anime.api.paging import Page
from anime.api.readiness import Dependency, Health, Readiness, State
from anime.api.routes_file_search import MonthList
from anime.api.routes_generation import GenerationStatus
from anime.api.routes_sheets import DrawnSheet, SheetOrder
from anime.api.routes_zip import MissingFile, ZipContents
from anime.assets.input_pictures import InputPicture
from anime.core.activity import TOLD_OF_SERVER, Activity, ServerActivity, described
from anime.core.batches import BatchRequest
from anime.core.bindings import WorkflowOutput
from anime.core.catalogue import (
    CatalogueLora,
    CharacterChange,
    CharacterRecord,
    CharacterVersionRecord,
    NewCharacter,
    NewProject,
    NewVersion,
    ProjectChange,
    ProjectRecord,
)
from anime.core.comparison import (
    FileComparison,
    PixelDifference,
    SettingDifference,
    WordDifference,
    verdict_of,
)
from anime.core.composition.record import Composition, Fragment
from anime.core.import_plan import CellFault, ImportPlan, ListedRow, RowChange
from anime.core.job_status import JobStatus, Stage
from anime.core.months import MonthOfFiles
from anime.core.references import NewReference, ReferenceList, ReferenceRecord, ReferenceRole
from anime.core.reused_requests import of_job
from anime.core.server_health import ServerHealth
from anime.core.servers import (
    EVERYTHING,
    CheckedServer,
    NewPause,
    NewServer,
    PauseList,
    PauseRecord,
    ServerFingerprint,
    ServerList,
    ServerRecord,
)
from anime.core.shots import GivenList, ImportedShots, ShotImport, ShotRecord, ShotState
from anime.core.styles import NewStyle, ProjectStyle, SeedPolicy, StyleVersion
from anime.core.takes import (
    NewReview,
    PicturePoint,
    ReviewAction,
    TakeNote,
    TakeRecord,
    Verdict,
)
from anime.core.timeline import TimelineKind
from anime.core.workflow_records import (
    ImportedInput,
    ImportedWorkflow,
    NamedModel,
    NewWorkflow,
    OfferedInput,
    WorkflowList,
    WorkflowOffers,
    WorkflowRecord,
    WorkflowSummary,
)
from anime.db.repositories.cursor import PageCut, cursor_at
from anime.db.repositories.tiles import Tiles
from anime.jobs.reproduction import ReproductionRequest
from anime.jobs.shots import ShotBatch, ShotRender
from anime.progress.websocket_messages import Update, status_frame
from anime.schemas import (
    Accepted,
    AcceptedBatch,
    Cancellation,
    FileRecord,
    GenerationRequest,
    GenerationType,
    JobSnapshot,
    LoraChoice,
    ProgressEvent,
    Requeued,
    Timeline,
    TimelineEntry,
)

SUBMITTED_AT = datetime(2026, 4, 12, 9, 30, tzinfo=UTC)
STARTED_AT, FINISHED_AT = SUBMITTED_AT + timedelta(seconds=1), SUBMITTED_AT + timedelta(seconds=19)
JOB_ID = UUID("24041f5c-6f0e-4c39-9d4b-5a1f0c7e8330")
SEED = 4_242_424_242
APPEARANCE = "1girl, silver hair, red scarf"
NEGATIVE_PROMPT = "extra fingers, watermark"
MEI_LORA = LoraChoice(name="mei-v2.safetensors", strength=0.8)
FILENAME = f"anime_{JOB_ID}_00001_.png"
PATH = f"/srv/anime-projects/neon-city/images/20260412/{FILENAME}"

# /docs fills its form with it. It names no file, so that any ComfyUI can render it.
REQUEST = GenerationRequest(
    prompt=f"{APPEARANCE}, on a rooftop at dusk, neon signs in the rain",
    type=GenerationType.IMAGE,
    negative_prompt=NEGATIVE_PROMPT,
    project="neon-city",
    character="Mei",
    shot="e01-012",
    width=832,
    height=512,
    steps=28,
    cfg=6.5,
    sampler="dpmpp_2m",
    scheduler="karras",
    seed=SEED,
)
PROJECT = ProjectRecord(
    id=UUID("b7f30c52-1d3a-4b0e-8a55-8f6c2f1e9d01"),
    slug="neon-city",
    name="Neon City",
    description="Pilot, 24 min.",
    metadata={"episodes": 12},
    created_at=SUBMITTED_AT - timedelta(days=3),
    updated_at=SUBMITTED_AT - timedelta(days=3),
)
_MEI_ID = UUID("51ac7be4-90c2-4f7d-b1d8-3c2e6a4f7b02")
REFERENCE = ReferenceRecord(
    version=2,
    position=1,
    role=ReferenceRole.FACE,
    sha256="9f2c4be17a60d5838e1f6b0c2d94a7735c8e0f1b6a2d3947e5f80c1b7d6a4e29",
    path=".inputs/9f2c4be17a60d5838e1f6b0c2d94a7735c8e0f1b6a2d3947e5f80c1b7d6a4e29.png",
    source="upload",
    created_at=SUBMITTED_AT - timedelta(days=1),
    created_by="ann",
)
VERSION = CharacterVersionRecord(
    id=UUID("6d2e94a7-4c1b-4d6f-a3f0-7be15d9c8a03"),
    character_id=_MEI_ID,
    number=2,
    prompt=APPEARANCE,
    negative_prompt=NEGATIVE_PROMPT,
    loras=[CatalogueLora(**MEI_LORA.model_dump(), architecture="sdxl")],
    seed=SEED,
    notes="The scarf came with episode 2.",
    is_canonical=True,
    references=[REFERENCE],
    created_at=SUBMITTED_AT - timedelta(days=1),
    created_by="ann",
    approved_at=SUBMITTED_AT - timedelta(hours=20),
    approved_by="bo",
)
CHARACTER = CharacterRecord(
    id=_MEI_ID,
    slug="mei",
    name="Mei",
    project_id=PROJECT.id,
    description="A courier, 17.",
    metadata={"voice": "alto"},
    canonical=VERSION,
    created_at=SUBMITTED_AT - timedelta(days=2),
    updated_at=SUBMITTED_AT - timedelta(days=1),
)
STYLE = StyleVersion(
    version=3,
    style=ProjectStyle(
        workflow="txt2img",
        steps=28,
        prompt_before="anime screencap, flat colours",
        negative_prompt=NEGATIVE_PROMPT,
        naming="{shot}_{character}",
        seed_policy=SeedPolicy.TAKE,
    ),
    notes="Flatter since episode 2.",
    created_at=SUBMITTED_AT - timedelta(days=1),
    created_by="ann",
)
COMPOSITION = Composition(
    request=REQUEST,
    fragments=[
        Fragment(field="prompt", text="anime screencap", source=f"style 3 of {PROJECT.name}"),
        Fragment(field="prompt", text=APPEARANCE, source="character Mei, version 2"),
    ],
    conflicts=[f"steps: 28 of request counts, not 20 of style 3 of {PROJECT.name}."],
    warnings=[
        "The pictures of character Mei, version 2 are left out: workflow txt2img takes none."
    ],
    style_version=STYLE.version,
    character_versions={CHARACTER.name: VERSION.number},
    reference_paths={REFERENCE.path: "character Mei, version 2"},
    workflow_sha256="0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
    file_prefix="sc2_c010_Mei_",
    digest="9f2c4be17a60d5838e1f6b0c2d94a7735c8e0f1b6a2d3947e5f80c1b7d6a4e29",
)
JOB = JobSnapshot(
    id=JOB_ID,
    type=REQUEST.type,
    status=JobStatus.COMPLETED,
    progress=100,
    project=PROJECT.name,
    character=REQUEST.character,
    prompt=REQUEST.prompt,
    workflow=REQUEST.workflow_name,
    seed=REQUEST.seed,
    attempt=1,
    prompt_id=UUID("a3c1d2e4-7b58-4e0f-9c66-1f2d3b4a5c04"),
    comfyui_url="http://127.0.0.1:8188",
    flow_run_id=UUID("0f9b8e7d-6c5a-4b3c-8d2e-1a0f9e8d7c05"),
    trace_id="0af7651916cd43dd8448eb211c80319c",
    output_path=PATH,
    created_at=SUBMITTED_AT,
    updated_at=FINISHED_AT,
    started_at=STARTED_AT,
    finished_at=FINISHED_AT,
)
TIMELINE = Timeline(
    entries=[
        TimelineEntry(at=SUBMITTED_AT, kind=TimelineKind.SUBMITTED, message="Submitted."),
        TimelineEntry(
            at=STARTED_AT, kind=TimelineKind.RUN, message=f"Run {JOB.flow_run_id} began it."
        ),
        TimelineEntry(at=FINISHED_AT, kind=TimelineKind.END, message=f"Completed: {PATH}"),
    ]
)
RENDERING = JOB.model_copy(
    update={
        "status": JobStatus.PROCESSING,
        "stage": Stage.RENDERING,
        "progress": 45,
        "output_path": None,
        "updated_at": STARTED_AT + timedelta(seconds=8),
    }
)
FILE = FileRecord(
    id=1207,
    filename=FILENAME,
    file_type="image",
    file_path=PATH,
    file_size=812_344,
    job_id=JOB.id,
    project_id=PROJECT.id,
    width=REQUEST.width,
    height=REQUEST.height,
    sha256="9f2c4be17a60d5838e1f6b0c2d94a7735c8e0f1b6a2d3947e5f80c1b7d6a4e29",
    created_at=FINISHED_AT,
    organized_at=FINISHED_AT + timedelta(seconds=1),
    metadata={
        "source": "anime",
        "prompt": REQUEST.prompt,
        "negative_prompt": REQUEST.negative_prompt,
        "seed": str(REQUEST.seed),
        "model": "ink-xl.safetensors",
        "sampler": REQUEST.sampler,
        "scheduler": REQUEST.scheduler,
        "steps": REQUEST.steps,
        "cfg": REQUEST.cfg,
        "workflow": REQUEST.workflow_name,
    },
)
_UP = Dependency(state=State.UP, is_needed=True)
_DEPENDENCIES = {
    "database": _UP,
    "redis": Dependency(state=State.UP, is_needed=False),
    "comfyui": _UP,
    "prefect": _UP,
    "library": _UP,
    "vault": Dependency(state=State.NOT_CONFIGURED, is_needed=False),
}
_NO_COMFYUI = Dependency(
    state=State.DOWN,
    is_needed=True,
    error="ComfyUI at http://127.0.0.1:8188 does not answer: connection refused.",
    todo="Start it, or correct ANIME_COMFYUI_URL.",
)
READY = Readiness(status="ready", dependencies=_DEPENDENCIES)
NOT_READY = Readiness(status="not ready", dependencies=_DEPENDENCIES | {"comfyui": _NO_COMFYUI})


def _after(last: JobSnapshot | CharacterVersionRecord | FileRecord) -> str:
    return cursor_at(PageCut(last.created_at, last.id))


GRAPH: dict[str, JsonValue] = {  # with the names of the rehearsal server
    "1": {
        "class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "rehearsal-sdxl.safetensors"},
    },
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": APPEARANCE, "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": NEGATIVE_PROMPT, "clip": ["1", 1]}},
    "4": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 832, "height": 512, "batch_size": 1},
    },
    "5": {
        "class_type": "KSampler",
        "inputs": {
            "seed": SEED,
            "steps": 28,
            "cfg": 6.5,
            "sampler_name": "dpmpp_2m",
            "scheduler": "karras",
            "denoise": 1.0,
            "model": ["1", 0],
            "positive": ["2", 0],
            "negative": ["3", 0],
            "latent_image": ["4", 0],
        },
    },
    "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
    "7": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["6", 0]}},
}
CLASSES = {
    "CLIPTextEncode": 2,
    "CheckpointLoaderSimple": 1,
    "EmptyLatentImage": 1,
    "KSampler": 1,
    "SaveImage": 1,
    "VAEDecode": 1,
}
WORKFLOW = WorkflowRecord(
    name="rooftops",
    title="Rooftops",
    description="The look of the pilot.",
    output=WorkflowOutput.IMAGE,
    is_own=True,
    was_edited=False,
    inputs={"type": "object", "properties": {"prompt": {"type": "string", "minLength": 1}}},
    places={"prompt": ["2.text"]},
    takes_loras=True,
    architecture="sdxl",
    vram_mb=None,
    node_classes=CLASSES,
)
IMPORTED = ImportedWorkflow(
    name=WORKFLOW.name,
    output=WORKFLOW.output,
    inputs=[ImportedInput(name="prompt", places=["2.text"], signal="KSampler.positive")],
    left_out={"cfg": "2 nodes have different values: which one is meant?"},
    lost=[],
    node_classes=CLASSES,
    missing_models=[NamedModel(name="xl.safetensors", url=None, directory="checkpoints")],
    warnings=[],
    problems=[],
)
SERVER = ServerRecord(
    url="http://gpu-b:8188",
    name="gpu-b",
    labels=("fast", "xl"),
    from_settings=False,
    is_drained=False,
    health=ServerHealth.ALIVE,
    health_reason="It answers and renders.",
    health_since=SUBMITTED_AT - timedelta(hours=2),
    last_seen_at=SUBMITTED_AT,
    checked_at=SUBMITTED_AT,
    fingerprint=ServerFingerprint(
        version="0.33.0",
        pytorch_version="2.11.0+cu130",
        features=("node_replacements", "supports_preview_metadata"),
        node_packages=("ComfyUI-Frame-Interpolation",),
        packages=("comfy-kitchen 0.2.31",),
        devices=("cuda:0 NVIDIA L40S (46068 MB)",),
        vram_total_mb=46_068,
    ),
    offers={"checkpoints": ("ink-xl.safetensors",), "loras": (MEI_LORA.name,)},
    loaded_model="ink-xl.safetensors",
)
PAUSE = PauseRecord(
    scope=EVERYTHING, reason="The power is cut at 10.", is_automatic=False, since=SUBMITTED_AT
)
ACTIVITY = Activity(
    at=SUBMITTED_AT + timedelta(seconds=8),
    counts={
        JobStatus.QUEUED: 3,
        JobStatus.PROCESSING: 1,
        JobStatus.CANCELLING: 0,
        JobStatus.COMPLETED: 812,
        JobStatus.FAILED: 4,
        JobStatus.CANCELLED: 2,
    },
    rendering=[described(RENDERING, "Sampler: step 14 of 28", {})],
    waiting=[],
    failed=[],
    servers=[
        ServerActivity(
            **SERVER.model_dump(include=TOLD_OF_SERVER),
            pause=None,
            device="cuda:0 NVIDIA L40S (46068 MB)",
            vram_total_mb=46_068,
            vram_free_mb=31_204,
            jobs=1,
        )
    ],
    pauses=[PAUSE],
)
OFFERS = WorkflowOffers(
    servers=[SERVER.name],
    inputs={
        "sampler": OfferedInput(choices=["dpmpp_2m", "euler"], minimum=None, maximum=None),
        "steps": OfferedInput(choices=[], minimum=1, maximum=10_000),
    },
    loras=[MEI_LORA.name],
    unchecked=["gpu-c has not answered within 5 s."],
)
SHOT = ShotRecord(
    code="sc2_c010",
    episode="1",
    scene="2",
    description="Mei waits on the roof.",
    characters=[CHARACTER.name],
    prompt=REQUEST.prompt,
    negative_prompt=NEGATIVE_PROMPT,
    workflow=JOB.workflow,
    model=None,
    width=832,
    height=512,
    frames=None,
    seconds=3.5,
    seed=SEED,
    notes="",
    status="animation",
    id=UUID("0a6f1c0e-7f4c-4d0b-9a55-0f6a54b2b0c1"),
    project_id=PROJECT.id,
    state=ShotState.RENDERING,
    takes=1,
    rejected=1,
    retakes=1,
    under_way=1,
    failed=0,
    created_at=SUBMITTED_AT,
    updated_at=SUBMITTED_AT,
)
TAKE = TakeRecord(
    verdict=Verdict.REJECTED,
    is_picked=False,
    reason="hands",
    note="Six fingers.",
    shot=SHOT.code,
    number=1,
    file_id=FILE.id,
    job_id=JOB.id,
    path=FILE.file_path,
    seed=SEED,
    style_version=STYLE.version,
    reviewed_by="ann",
    reviewed_at=SUBMITTED_AT,
    retake_job_id=RENDERING.id,
    media_type="image/png",
    width=FILE.width,
    height=FILE.height,
    colours="1QcKHYyAd3dvd4eIh4iHd3h4iId3",
    notes=[
        TakeNote(text="Six fingers.", point=PicturePoint(x=0.4, y=0.6), by="ann", at=SUBMITTED_AT)
    ],
)
TILES = Tiles(
    ids=[FILE.id],
    moments=[int(FILE.created_at.timestamp())],
    widths=[REQUEST.width or 0],
    heights=[REQUEST.height or 0],
    kinds=["image"],
    states=[FILE.state],
    colours=["1QcKHYyAd3dvd4eIh4iHd3h4iId3"],
    next_cursor=_after(FILE),
)
MONTH = MonthOfFiles(month="2026-04", files=812)
PIXELS = PixelDifference(mean=0.25, largest=9, share=0.125)
COMPARISON = FileComparison(
    first=FILE.file_path,
    second=FILE.file_path.replace(".png", "_2.png"),
    same_bytes=False,
    pixels=PIXELS,
    settings=[SettingDifference(setting="steps", first=20, second=28)],
    words=[WordDifference(text="prompt", removed=["dusk"], added=["dawn"])],
    unchecked=["model hash is not recorded"],
    verdict=verdict_of(same_bytes=False, pixels=PIXELS),
)
SHOT_LIST = "Cut,Episode,Prompt\nsc2_c010,1,Mei on a roof\n"
IMPORTED_SHOTS = ImportedShots(
    added=1,
    changed=0,
    unchanged=0,
    columns={"Cut": "code", "Episode": "episode", "Prompt": "prompt"},
    ignored=[],
    faults=["Row 2: there is no character 'Ken'."],
)
IMPORT_PLAN = ImportPlan(
    columns={"Cut": "code", "Prompt": "prompt", "Width": "width", "Editor": ""},
    added=1,
    changed=0,
    unchanged=0,
    faulty=1,
    rows=[
        ListedRow(
            number=3,
            unit="Row",
            cells={"code": "sc2_c020", "prompt": "Mei on a roof", "width": "500"},
            change=None,
            faults=[CellFault(column="width", message="500 is not a multiple of 8")],
            warnings=[],
        ),
        ListedRow(
            number=2,
            unit="Row",
            cells={"code": "sc2_c010", "prompt": "Ken runs", "width": "512"},
            change=RowChange.ADDED,
            faults=[],
            warnings=["there is no character 'Ken'."],
        ),
    ],
)
# A PNG with one pixel.
DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415478da63606060000000040001c8eaebf90000000049454e44ae426082"
)
BODIES: tuple[BaseModel, ...] = (
    REQUEST,
    BatchRequest(name="rooftops", prompts=["dusk", "dawn"], seeds=[1, 2], common={"steps": 28}),
    NewProject(name=PROJECT.name, description=PROJECT.description),
    ProjectChange(description="Pilot, 22 min."),
    NewCharacter(name=CHARACTER.name, project=PROJECT.slug),
    CharacterChange(description=CHARACTER.description),
    NewReference(role=REFERENCE.role, content=b64encode(DOT), by="ann"),
    NewStyle(style=STYLE.style, notes=STYLE.notes, by=STYLE.created_by),
    NewVersion(
        prompt=APPEARANCE,
        negative_prompt=NEGATIVE_PROMPT,
        loras=VERSION.loras,
        seed=SEED,
        is_canonical=True,
    ),
    NewWorkflow(name=WORKFLOW.name, workflow=GRAPH, title=WORKFLOW.title),
    NewServer(url=SERVER.url, name=SERVER.name, labels=list(SERVER.labels)),
    NewPause(project=PROJECT.slug, reason="It waits for the colours."),
    ShotImport(project=PROJECT.name, table=SHOT_LIST),
    GivenList(project=PROJECT.name, table=SHOT_LIST),
    ShotRender(project=PROJECT.slug, codes=[SHOT.code], takes=2),
    NewReview(
        project=PROJECT.slug, shot=SHOT.code, take=1, action=ReviewAction.REJECT, reason="hands"
    ),
    ReproductionRequest(file_id=FILE.id),
    SheetOrder(file_ids=[FILE.id]),
)
ANSWERS: tuple[BaseModel, ...] = (
    Accepted(
        job_id=JOB.id,
        status=JobStatus.QUEUED,
        status_url=f"/api/anime/generation/{JOB.id}/status",
    ),
    AcceptedBatch(flow_run_id=UUID("6f1b7a52-0d0e-4c8a-9a53-1f2f4f0f6d11"), job_ids=[JOB.id]),
    GenerationStatus.of(RENDERING),
    Cancellation(job_id=JOB.id, status=JobStatus.CANCELLING, detail="It is being stopped."),
    Requeued(job_id=JOB.id, status=JobStatus.QUEUED, detail="It waits for a run again."),
    JOB,
    PROJECT,
    CHARACTER,
    VERSION,
    REFERENCE,
    ReferenceList(items=[REFERENCE]),
    STYLE,
    COMPOSITION,
    FILE,
    Page[JobSnapshot](items=[JOB], next_cursor=_after(JOB)),
    TIMELINE,
    *TIMELINE.entries[:1],
    Page[ProjectRecord](items=[PROJECT], next_cursor=None),
    Page[CharacterRecord](items=[CHARACTER], next_cursor=None),
    Page[CharacterVersionRecord](items=[VERSION], next_cursor=_after(VERSION)),
    Page[StyleVersion](items=[STYLE], next_cursor=None),
    Page[FileRecord](items=[FILE], next_cursor=_after(FILE)),
    TILES,
    MonthList(items=[MONTH], tiles_of_page=200),
    MONTH,
    ZipContents(
        files=1, size_bytes=FILE.file_size, missing=[MissingFile(file_id=7, reason="gone")]
    ),
    MissingFile(file_id=7, reason="there is no such file"),
    DrawnSheet(pages=["/api/anime/sheets/sheet-20260412-093000-000000.png"], missing=[7]),
    WorkflowList(
        items=[
            WorkflowSummary(
                name=WORKFLOW.name,
                title=WORKFLOW.title,
                description=WORKFLOW.description,
                output=WORKFLOW.output,
                is_own=True,
            )
        ]
    ),
    WORKFLOW,
    OFFERS,
    *OFFERS.inputs.values(),
    IMPORTED,
    ACTIVITY,
    *ACTIVITY.rendering,
    *ACTIVITY.servers,
    of_job(JOB.id, REQUEST, seed=JOB.seed),
    InputPicture(name=REFERENCE.path, sha256=REFERENCE.sha256, width=832, height=512),
    SERVER,
    ServerList(items=[SERVER]),
    CheckedServer(server=SERVER, answers=True, renders=True, detail="It answers and renders."),
    PauseList(items=[PAUSE]),
    SHOT,
    Page[ShotRecord](items=[SHOT], next_cursor=SHOT.code),
    IMPORTED_SHOTS,
    IMPORT_PLAN,
    *IMPORT_PLAN.rows[:1],
    *IMPORT_PLAN.rows[0].faults,
    TAKE,
    *TAKE.notes,
    PicturePoint(x=0.4, y=0.6),
    Page[TakeRecord](items=[TAKE], next_cursor=SHOT.code),
    ShotBatch(
        flow_run_id=UUID("6d1f0c57-7d4e-4a43-8a5b-7a53a7a2f1d9"), shots=1, without_prompt=["sc1"]
    ),
    COMPARISON,
    PIXELS,
    *COMPARISON.settings,
    *COMPARISON.words,
    Health(),
    READY,
)


def _event(seq: int, frame: str) -> str:
    return f"id: {seq}\ndata: {frame}\n\n"


_PUBLISHED = ProgressEvent(
    job_id=RENDERING.id,
    status=RENDERING.status,
    stage=RENDERING.stage,
    progress=50,
    message="Sampler: step 14 of 28",
    timestamp=RENDERING.updated_at,
    seq=5,
)
EVENTS = _event(
    4, status_frame(JOB.id, {"id": str(JOB.id), "status": "processing", "progress": 45, "seq": 4})
) + _event(5, Update(_PUBLISHED).frame)
METRICS = """\
# HELP anime_queue_depth Jobs that no run has begun yet.
# TYPE anime_queue_depth gauge
anime_queue_depth 3.0
# HELP anime_comfyui_up 1 if the server answers.
# TYPE anime_comfyui_up gauge
anime_comfyui_up{server="http://127.0.0.1:8188"} 1.0
"""


def examples() -> dict[type[BaseModel], JsonValue]:
    """An example of each request, with the fields that are set, and of each answer, with all."""
    bodies: dict[type[BaseModel], JsonValue] = {
        type(each): each.model_dump(mode="json", exclude_unset=True) for each in BODIES
    }
    return bodies | {type(each): each.model_dump(mode="json") for each in ANSWERS}
