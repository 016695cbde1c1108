"""The options of `anime generate`. GenerationRequest checks their values."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anime.schemas import GenerationType

Prompt: TypeAlias = Annotated[str, typer.Argument(help="What to draw.")]
Negative: TypeAlias = Annotated[str | None, typer.Option(help="What to avoid.")]
Kind: TypeAlias = Annotated[
    GenerationType, typer.Option("--type", help="A still image, or a short animation.")
]
Project: TypeAlias = Annotated[str | None, typer.Option(help="Project the files belong to.")]
Character: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Character in the picture. May be repeated.")
]
Shot: TypeAlias = Annotated[str | None, typer.Option(help="Shot the take is for.")]
Workflow: TypeAlias = Annotated[
    str | None, typer.Option(help="By default txt2img, img2img with --image, animation for video.")
]
Model: TypeAlias = Annotated[str | None, typer.Option(help="Checkpoint, as ComfyUI lists it.")]
Loras: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="NAME[:STRENGTH]", help="May be repeated.")
]
Width: TypeAlias = Annotated[int | None, typer.Option(help="Pixels, a multiple of 8.")]
Height: TypeAlias = Annotated[int | None, typer.Option(help="Pixels, a multiple of 8.")]
Steps: TypeAlias = Annotated[int | None, typer.Option(help="Sampler steps.")]
Cfg: TypeAlias = Annotated[float | None, typer.Option(help="Classifier-free guidance scale.")]
Sampler: TypeAlias = Annotated[str | None, typer.Option(help="As ComfyUI lists it.")]
Scheduler: TypeAlias = Annotated[str | None, typer.Option(help="As ComfyUI lists it.")]
Seed: TypeAlias = Annotated[
    int | None, typer.Option(help="0 to 2^64-1; derived from the job's id if unset.")
]
BatchSize: TypeAlias = Annotated[int | None, typer.Option(help="Pictures made in one go.")]
RequiredVramMb: TypeAlias = Annotated[
    int | None, typer.Option(help="Free VRAM needed, in MB; that of the workflow if unset.")
]
Server: TypeAlias = Annotated[
    str | None, typer.Option(help="Name or label of the ComfyUI server that renders it.")
]
Priority: TypeAlias = Annotated[
    int | None, typer.Option(help="0 to 100; from 50 up it goes to the interactive queue.")
]
Inputs: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=VALUE", help="Any other input. May be repeated."),
]
WebhookUrl: TypeAlias = Annotated[
    str | None, typer.Option(help="Address that gets a signed message when it has ended.")
]
Images: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--image",
        help="Picture to start from, or one to refer to; copied into the library. Repeatable.",
    ),
]
NoWait: TypeAlias = Annotated[bool, typer.Option("--no-wait", help="Print the job's id and exit.")]
Explain: TypeAlias = Annotated[
    bool,
    typer.Option("--explain", help="Show what would be rendered and why, and render nothing."),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print job and files as JSON.")]
