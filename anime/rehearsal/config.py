"""What the rehearsal server is told when it starts."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from anime.rehearsal.faults import Faults


class RehearsalConfig(BaseModel):
    """Where it listens, where its files lie, how long it takes and what it offers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(description="Holds output/, input/ and temp/; made when missing.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8188, ge=0, le=65535, description="Port; 0 takes a free one.")
    step_seconds: float = Field(default=0.05, ge=0, description="Seconds a sampler step takes.")
    load_seconds: float = Field(default=0.0, ge=0, description="Seconds a checkpoint loads for.")
    vram_total_mb: int = Field(default=24_576, gt=0, description="Size of the pretended GPU in MB.")
    previews: bool = Field(default=False, description="Send a preview picture after each step.")
    writes_metadata: bool = Field(
        default=True, description="Write graph and stamp into files; ComfyUI may be told not to."
    )
    checkpoints: tuple[str, ...] = Field(
        default=("rehearsal-sd15.safetensors", "rehearsal-sdxl.safetensors"),
        description="Names of the checkpoints on offer.",
    )
    loras: tuple[str, ...] = Field(
        default=("rehearsal-glow.safetensors", "rehearsal-ink.safetensors"),
        description="Names of the LoRAs on offer.",
    )
    vaes: tuple[str, ...] = Field(
        default=("rehearsal-vae.safetensors",), description="Names of the VAEs on offer."
    )
    faults: Faults = Field(default=Faults(), description="How the server misbehaves.")

    @property
    def folders(self) -> dict[str, Path]:
        """The three folders that `type` names in /view, uploads and outputs."""
        return {name: self.data_dir.resolve() / name for name in ("output", "input", "temp")}
