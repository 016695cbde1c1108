"""A ComfyUI server that the studio knows, as a form in Prefect's UI."""

from typing import TYPE_CHECKING, Self

from prefect.blocks.core import Block
from pydantic import Field

from anime.core.servers import ServerForm, ServerRecord

if TYPE_CHECKING:
    from anime.comfyui.client import ComfyUIClient


class RegisteredComfyUI(Block):
    """A server of `anime servers`. The monitor carries changes from here to there and back."""

    _block_type_name = "Registered ComfyUI Server"
    _block_type_slug = "registered-comfyui-server"
    _description = "A ComfyUI server that renders for the studio, as `anime servers` shows it."

    url: str = Field(
        pattern=r"^https?://",
        description="Its address, without a login. That of a known server is not changed here.",
    )
    labels: list[str] = Field(
        default_factory=list, description="Words by which a request names servers."
    )
    is_drained: bool = Field(
        default=False, description="Whether it is given nothing more once it has done what it has."
    )
    as_registered: ServerForm | None = Field(
        default=None,
        description="What the studio has taken up last. Leave it as it is: what differs from it "
        "is taken for your change.",
    )

    @classmethod
    def of(cls, server: ServerRecord) -> Self:
        """The block of that server, which nobody has changed yet."""
        return cls(**server.form.model_dump(), as_registered=server.form)

    @property
    def form(self) -> ServerForm:
        """What a person may have changed."""
        return ServerForm(url=self.url, labels=tuple(self.labels), is_drained=self.is_drained)

    def client(self) -> "ComfyUIClient":
        """A client of the server, to be used in `async with`; the settings know its login."""
        from anime.comfyui.address import address_to_use
        from anime.comfyui.client import ComfyUIClient
        from anime.settings import get_settings

        return ComfyUIClient(address_to_use(self.url, get_settings().comfyui_urls))
