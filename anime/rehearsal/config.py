"""The configuration of the rehearsal server."""

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from anime.rehearsal.faults import Faults


class Profile(StrEnum):
    """The version of ComfyUI that the server answers as."""

    V0_3_64 = "0.3.64"
    V0_33 = "0.33"

    @property
    def version(self) -> str:
        """The version as /system_stats names it."""
        return {Profile.V0_3_64: "0.3.64", Profile.V0_33: "0.33.0"}[self]


class RehearsalConfig(BaseModel):
    """Address, folders, durations, models and faults of the server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(description="Folder of output/, input/ and temp/; made if missing.")
    output_dir: Path | None = Field(
        default=None, description="Output folder that is shared with other servers."
    )
    log: Path | None = Field(
        default=None, description="File that gets a line for each prompt taken, begun and ended."
    )
    profile: Profile = Field(
        default=Profile.V0_33, description="The version of ComfyUI that the server answers as."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8188, ge=0, le=65535, description="Port; 0 takes a free one.")
    step_seconds: float = Field(
        default=0.05, ge=0, description="Seconds that a sampler step takes."
    )
    load_seconds: float = Field(
        default=0.0, ge=0, description="Seconds that loading a checkpoint takes."
    )
    vram_total_mb: int = Field(
        default=24_576, gt=0, description="Memory of the simulated GPU in MB."
    )
    previews: bool = Field(default=False, description="Send a preview picture after each step.")
    writes_metadata: bool = Field(
        default=True, description="Write the graph into files; ComfyUI can be set not to."
    )
    checkpoints: tuple[str, ...] = Field(
        default=("rehearsal-sd15.safetensors", "rehearsal-sdxl.safetensors"),
        description="Names of the checkpoints.",
    )
    loras: tuple[str, ...] = Field(
        default=("rehearsal-glow.safetensors", "rehearsal-ink.safetensors"),
        description="Names of the LoRAs.",
    )
    vaes: tuple[str, ...] = Field(
        default=("rehearsal-vae.safetensors",), description="Names of the VAEs."
    )
    models: tuple[str, ...] = Field(
        default=(),
        description="More models, as FOLDER/NAME: diffusion_models/wan2.2.safetensors.",
    )
    faults: Faults = Field(default=Faults(), description="The errors that the server simulates.")

    @property
    def folders(self) -> dict[str, Path]:
        """The three folders that `type` names in /view, uploads and outputs."""
        own = {name: self.data_dir.resolve() / name for name in ("output", "input", "temp")}
        return own | ({"output": self.output_dir.resolve()} if self.output_dir else {})

    def model_names(self, folder: str) -> tuple[str, ...]:
        """The models in a folder of ComfyUI's models, in their order; there is at least one."""
        own = {"checkpoints": self.checkpoints, "loras": self.loras, "vae": self.vaes}
        added = (model.partition("/") for model in self.models)
        names = (
            *own.get(folder, (f"rehearsal-{folder}.safetensors",)),
            *(name for place, _, name in added if place == folder),
        )
        return tuple(sorted(set(names)))
