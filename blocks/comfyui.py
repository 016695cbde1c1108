"""The ComfyUI servers that render."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from prefect.blocks.core import Block, schema_extra
from pydantic import ConfigDict, Field, SecretStr

from anime.core.recovery import SilentServerPolicy
from anime.settings import Settings, resolve_reference
from anime.settings.addresses import comfyui_addresses
from blocks.reference_fields import ReferenceFields

if TYPE_CHECKING:
    from anime.comfyui.client import ComfyUIClient


def _hide_headers(schema: dict[str, Any], model: type[Block]) -> None:
    """Have Prefect hide the value of each header; of a dictionary, it would hide none by itself."""
    schema_extra(schema, model)
    schema["secret_fields"].append("headers.*")


class ComfyUIServer(ReferenceFields, Block):
    """Where prompts are rendered, and how long to wait for it.

    Of several servers all have these times; which there are, the table of servers says.
    """

    model_config = ConfigDict(json_schema_extra=_hide_headers)

    _block_type_name = "ComfyUI Server"
    _block_type_slug = "comfyui-server"
    _description = "The ComfyUI server that renders the studio's prompts."

    base_url: str = Field(
        default="http://127.0.0.1:8188",
        pattern=r"^(https?://|(env|file|vault):)",
        description="Address of the server. Prefect shows it: a login in it has to be a reference, "
        "as in https://{vault:kv/comfyui#user}:{vault:kv/comfyui#password}@gpu-box:8188.",
    )
    more_urls: list[str] = Field(
        default_factory=list, description="Addresses of more servers that render."
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="HTTP headers that each request shows, by name. Prefect hides their values.",
    )
    ca_file: Path | None = Field(
        default=None, description="Certificates of who has signed those of the servers, in PEM."
    )
    client_cert: Path | None = Field(
        default=None, description="Our certificate for servers that ask for one, in PEM."
    )
    client_key: Path | None = Field(
        default=None, description="Its key, if that is not in the same file."
    )
    output_dir: Path | None = Field(
        default=None,
        description="Its output folder, if this machine can read it; else files come over HTTP.",
    )
    request_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Time-out of one HTTP request, in seconds."
    )
    poll_seconds: float = Field(
        default=1.0, gt=0, description="How often a prompt's state is polled, in seconds."
    )
    stall_timeout_seconds: float = Field(
        default=600.0,
        gt=0,
        description="A render has failed when it stops for so many seconds between two steps of a "
        "node, or waits for so many although nothing runs.",
    )
    silence_timeout_seconds: float = Field(
        default=21600.0,
        gt=0,
        description="How many seconds a render may run without any report of its progress: its "
        "node counts no steps, or there is no WebSocket.",
    )
    unreachable_timeout_seconds: float = Field(
        default=120.0, gt=0, description="How many seconds to wait for a server that is away."
    )
    silent_server_policy: SilentServerPolicy = Field(
        default="fail",
        description="What becomes of a job whose server has not answered for so long, but may "
        "still render it: it fails, or moves to another server.",
    )
    vram_wait_seconds: float = Field(
        default=300.0, ge=0, description="How many seconds to wait for VRAM to come free."
    )
    default_model: str | None = Field(
        default=None, description="Checkpoint used when a request names none."
    )
    default_vram_mb: int = Field(
        default=8000, ge=0, description="VRAM need in MB where neither request nor workflow says."
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        description="How often a prompt is submitted in all, if the server loses it or somebody "
        "interrupts it there.",
    )
    max_server_deaths: int = Field(
        default=3,
        ge=1,
        description="How often a server may die while it renders one prompt, before the prompt is "
        "quarantined. Twice at one point of it suffices.",
    )
    in_flight: int = Field(
        default=2, ge=1, le=64, description="Slots: prompts it has at a time, one of which runs."
    )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The servers that the settings name.

        Raises:
            ConfigurationError: it names none and no stack runs.
        """
        comfyui_addresses(settings)  # at least one
        first, *more = settings.comfyui_texts
        return cls(
            base_url=first,
            more_urls=more,
            headers=settings.comfyui_headers or {},
            ca_file=settings.comfyui_ca_file,
            client_cert=settings.comfyui_client_cert,
            client_key=settings.comfyui_client_key,
            output_dir=settings.comfyui_output_dir,
            poll_seconds=settings.poll_seconds,
            stall_timeout_seconds=settings.stall_timeout_seconds,
            silence_timeout_seconds=settings.silence_timeout_seconds,
            unreachable_timeout_seconds=settings.comfyui_wait_seconds,
            silent_server_policy=settings.silent_server_policy,
            vram_wait_seconds=settings.vram_wait_seconds,
            default_model=settings.default_model,
            default_vram_mb=settings.min_vram_mb,
            max_attempts=settings.max_attempts,
            max_server_deaths=settings.max_server_deaths,
            in_flight=settings.in_flight,
        )

    @property
    def addresses(self) -> list[str]:
        """All addresses, each with the login that it has now."""
        return [resolve_reference(text) for text in self.texts]

    @property
    def texts(self) -> list[str]:
        """All addresses as they are set, with their references."""
        return [self.base_url, *self.more_urls]

    def client(self, url: str | None = None) -> "ComfyUIClient":
        """A client of the server known by that canonical address, to be used in `async with`.

        Without one, of the first server that is named here.
        """
        from anime.comfyui.address import address_to_use
        from anime.comfyui.client import ComfyUIClient
        from anime.comfyui.server_login import ServerCredentials, login_with

        texts = dict(zip(self.addresses, self.texts, strict=True))
        address = self.addresses[0] if url is None else address_to_use(url, texts)
        credentials = ServerCredentials(
            self.headers, self.ca_file, self.client_cert, self.client_key
        )
        return ComfyUIClient(
            address,
            text=texts.get(address),
            timeout_seconds=self.request_timeout_seconds,
            login=login_with(credentials, address, self.addresses),
        )
