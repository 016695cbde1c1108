"""The ComfyUI client: sends what `requests` builds and hands the answer to `protocol`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    aclosing,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from typing import Self
from uuid import UUID

import httpx
from pydantic import JsonValue

from anime.comfyui import protocol, requests
from anime.comfyui.address import checked_address, login_of, websocket_url, without_login
from anime.comfyui.event_listener import EventListener
from anime.comfyui.models import (
    Event,
    HistoryEntry,
    NodeInfo,
    OutputFile,
    QueueSnapshot,
    Submission,
    SystemStats,
)
from anime.comfyui.prompt_cancellation import CancelResult, cancel_prompt
from anime.comfyui.protocol import CHECK_SERVER, Reply
from anime.comfyui.rejections import partial_rejection
from anime.comfyui.requests import Request
from anime.comfyui.server_facts import facts_about
from anime.comfyui.server_login import ServerLogin, login_to
from anime.comfyui.tracker import TrackerTimeouts, follow_prompt, listening
from anime.core.graphs import Graph
from anime.core.prompt_state import Absent, Finished, Pending, Running, Sighting
from anime.core.servers import ServerFingerprint
from anime.errors import (
    ComfyUIError,
    ComfyUIRefused,
    ComfyUIUnreachable,
    ConfigurationError,
    reason_of,
)
from anime.net.login import login_for
from anime.retry_policies import HISTORY_AFTER_QUEUE
from anime.settings.secret_references import known_value

CONNECT_SECONDS = 5.0
CHUNK_BYTES = 256 * 1024
WHOLE_ANSWER_TIMEOUTS = 4  # some megabytes on a slow line need more than one
UNDO_SECONDS = 10.0
LOADERS = {  # by folder: a class that loads its models, and the input that names them
    "checkpoints": ("CheckpointLoaderSimple", "ckpt_name"),
    "diffusion_models": ("UNETLoader", "unet_name"),
    "text_encoders": ("CLIPLoader", "clip_name"),
    "vae": ("VAELoader", "vae_name"),
    "loras": ("LoraLoader", "lora_name"),
    "controlnet": ("ControlNetLoader", "control_net_name"),
    "upscale_models": ("UpscaleModelLoader", "model_name"),
}


class ComfyUIClient:
    """One ComfyUI server. Open it with `async with`; it may be used by many tasks at once.

    Every method raises ComfyUIUnreachable when there is no answer within `timeout_seconds`, or no
    whole one within four times as long, files excepted; and ComfyUIError when what answers is not
    ComfyUI. Nothing is sent a second time.

    `text` is the address as a setting or block has it, if the login in it may change meanwhile.
    What people send us is never taken for one: its references would be resolved.
    """

    def __init__(
        self,
        base_url: str,
        *,
        text: str | None = None,
        timeout_seconds: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        login: ServerLogin | None = None,
    ) -> None:
        """`login`: by default, that of this process's settings."""
        self._url, self._text = checked_address(base_url), text
        self.login = login or login_to(self.base_url)
        self.facts = facts_about(self.base_url)
        self._timeout_seconds = timeout_seconds
        self._http = httpx.AsyncClient(
            base_url=self.base_url,
            auth=login_of(self._url) if text is None else login_for(text, login_of),
            transport=transport,
            timeout=httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            event_hooks={"request": [self.login.sign]},
            verify=self.login.tls,
            trust_env=False,  # a proxy from the environment cannot reach this machine's loopback
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    @property
    def base_url(self) -> str:
        """The server's URL, without user and password."""
        return without_login(self._url)

    @property
    def name(self) -> str:
        """The server as messages name it."""
        return f"ComfyUI at {self.base_url}"

    def websocket_url(self, client_id: str) -> str:
        """The address of that client's events, with user and password if there are any."""
        url = self._url
        if self._text and (known := known_value(self._text)):
            with suppress(ConfigurationError):  # what is no address now was one before
                url = checked_address(known)
        return websocket_url(url, client_id)

    async def submit(
        self,
        graph: Graph,
        *,
        prompt_id: UUID,
        client_id: str,
        extra_pnginfo: Mapping[str, JsonValue] | None = None,
        wants_previews: bool = False,
    ) -> Submission:
        """The server's answer to one POST /prompt. `extra_pnginfo` goes into PNG chunks.

        `wants_previews`: the server is to send pictures of this prompt's work in progress.

        Raises:
            PromptRejected: all or a part of the graph was refused; nothing of it runs.
            ComfyUIUnreachable: no answer, so the outcome is unknown: `find` the prompt before
                sending it again, since ComfyUI would run the same id twice.
        """
        request = requests.submit_request(
            graph,
            prompt_id=str(prompt_id),
            client_id=client_id,
            extra_pnginfo=extra_pnginfo,
            wants_previews=wants_previews,
        )
        self.facts.note_prompt()
        try:
            reply = await self._send(request)
            submission = protocol.decode_submit(reply, graph=graph)
        except ComfyUIUnreachable as fault:
            raise ComfyUIUnreachable(
                f"{fault.what} Whether it took prompt {prompt_id} is unknown.",
                f"Look for the prompt before sending it again. {fault.todo}",
            ) from fault
        if submission.prompt_id != str(prompt_id):
            await self._send_and_check(requests.delete_request(submission.prompt_id))
            raise ComfyUIError(
                f"{self.name} runs prompt {prompt_id} under an id of its own.",
                "Update ComfyUI: 0.3.57 and later use the id that they are given.",
            )
        if submission.problems:
            await self.cancel(prompt_id, timeout_seconds=UNDO_SECONDS)
            raise partial_rejection(self.name, submission.problems)
        return submission

    async def find(self, prompt_id: UUID) -> Sighting[HistoryEntry]:
        """Where the prompt is. Absent proves no loss: see `anime.core.prompt_state`.

        The queue is read first: a prompt that ends between the two reads is in the history. A job
        also says at once that a prompt is unknown, where the history may be late.
        """
        queue = await self.queue()
        if queue.is_running(str(prompt_id)):
            return Running()
        position = queue.position_of(str(prompt_id))
        if position is not None:
            return Pending(position, is_idle=not queue.running)
        if self.facts.has_jobs and (sighting := await self._find_job(prompt_id)):
            return sighting
        for delay in (0.0, *HISTORY_AFTER_QUEUE.delays()):
            await asyncio.sleep(delay)
            if entry := await self.history(prompt_id):
                return Finished(entry)
        return Absent()

    async def _find_job(self, prompt_id: UUID) -> Sighting[HistoryEntry] | None:
        sighting = protocol.decode_job(
            await self._send(requests.job_request(str(prompt_id))), str(prompt_id)
        )
        self.facts.has_jobs = sighting is not None
        if isinstance(sighting, Finished) and not sighting.entry.knows_its_nodes:
            entry = await self.history(prompt_id)  # which says what those nodes are shown as
            return Finished(entry) if entry else sighting
        return sighting

    async def history(self, prompt_id: UUID) -> HistoryEntry | None:
        """How the prompt ended; None if it has not ended, or is unknown."""
        reply = await self._send(requests.history_request(str(prompt_id)))
        return protocol.decode_history(reply, str(prompt_id))

    async def queue(self) -> QueueSnapshot:
        """What runs and what waits, in the order in which they will run."""
        return protocol.decode_queue(await self._send(requests.queue_request()))

    async def queue_length(self) -> int:
        """How many prompts run and wait: what costs the server least to answer."""
        return protocol.decode_queue_length(await self._send(requests.queue_length_request()))

    def listening(
        self, client_id: str, prompt_id: UUID
    ) -> AbstractAsyncContextManager[EventListener]:
        """Listen to what that client is sent about the prompt, from before it is sent."""
        return listening(self, client_id, prompt_id)

    async def follow(
        self,
        prompt_id: UUID,
        listener: EventListener,
        *,
        has_heard_all: bool = False,
        poll_seconds: float,
        stall_timeout_seconds: float,
        silence_timeout_seconds: float,
        unreachable_timeout_seconds: float,
        refused_timeout_seconds: float | None = None,
    ) -> AsyncGenerator[Event | Finished[HistoryEntry], None]:
        """This prompt's events as they come, and last how it ended, well or badly.

        The server is asked at once, unless the listener `has_heard_all` there was to hear. One at
        whose port nobody listens is waited for no longer than `refused_timeout_seconds`; left out,
        as long as for any other that does not answer.

        Raises:
            PromptLost: the server has forgotten it.
            RenderStalled: no progress for too long; it was cancelled there.
            ComfyUIUnreachable: no answer for too long.
        """
        timeouts = TrackerTimeouts(
            poll=poll_seconds,
            stall=stall_timeout_seconds,
            silence=silence_timeout_seconds,
            unreachable=unreachable_timeout_seconds,
            refused=refused_timeout_seconds,
        )
        following = follow_prompt(self, prompt_id, listener, timeouts, has_heard_all=has_heard_all)
        async with aclosing(following) as events:
            async for event in events:
                yield event

    async def cancel_job(self, prompt_id: UUID) -> bool | None:
        """Stop the prompt, whether it waits or runs; None if the server has no such call.

        False if it neither waited nor ran.
        """
        if self.facts.has_jobs is False:
            return None
        reply = await self._send(requests.cancel_job_request(str(prompt_id)))
        is_cancelled = protocol.decode_job_cancellation(reply)
        self.facts.has_jobs = is_cancelled is not None
        return is_cancelled

    async def interrupt(self, prompt_id: UUID) -> None:
        """Interrupt the prompt, if it runs. The answer does not say whether it will stop."""
        await self._send_and_check(requests.interrupt_request(str(prompt_id)))

    async def delete_queued(self, prompt_id: UUID) -> None:
        """Take the prompt out of the queue, if it waits there. It leaves no history."""
        await self._send_and_check(requests.delete_request(str(prompt_id)))

    async def cancel(self, prompt_id: UUID, *, timeout_seconds: float) -> CancelResult:
        """Stop the prompt, and return how it ended; it is polled until it has."""
        return await cancel_prompt(self, prompt_id, timeout_seconds=timeout_seconds)

    async def forget(self, prompt_id: UUID) -> None:
        """Remove the prompt from the history, if it has ended."""
        await self._send_and_check(requests.forget_request(str(prompt_id)))

    async def free(self) -> None:
        """Make the server free VRAM as soon as the running prompt ends."""
        self.facts.note_free()
        await self._send_and_check(requests.free_request())

    async def system_stats(self, *, max_age_seconds: float = 0.0) -> SystemStats:
        """The server's versions and memory; as told to this process, if that was so lately."""
        if (told := self.facts.stats(max_age_seconds)) is not None:
            return told
        stats = protocol.decode_system_stats(await self._send(requests.system_stats_request()))
        self.facts.note_stats(stats)
        return stats

    async def fingerprint(self) -> ServerFingerprint:
        """What the server can do. It takes a list of all its node classes: not for each render."""
        stats, features, classes = await asyncio.gather(
            self.system_stats(),
            self._send(requests.features_request()),
            self._send(requests.all_object_info_request()),
        )
        return ServerFingerprint(
            version=stats.comfyui_version,
            pytorch_version=stats.pytorch_version,
            features=protocol.decode_features(features),
            node_packages=protocol.decode_node_packages(classes),
            packages=None
            if stats.packages is None
            else tuple(f"{each.name} {each.installed or 'missing'}" for each in stats.packages),
            devices=tuple(device.described for device in stats.devices),
            vram_total_mb=stats.devices[0].vram_total // 2**20 if stats.devices else None,
        )

    async def all_object_info(self) -> dict[str, JsonValue]:
        """What the server says of all its node classes, as it says it; some megabytes."""
        reply = await self._send(requests.all_object_info_request())
        return protocol.decode_all_object_info(reply)

    async def object_info(
        self, classes: Iterable[str], *, is_fresh: bool = True
    ) -> dict[str, NodeInfo]:
        """The inputs of these node classes; a class that the server lacks is left out.

        Unless it `is_fresh`, what this process has been told in the last minutes is not asked for.
        """
        names = sorted(set(classes))
        remembered = {} if is_fresh else {name: self.facts.node(name) for name in names}
        known = {name: info for name, info in remembered.items() if info}
        asked = [name for name in names if name not in known]
        infos = await asyncio.gather(*map(self._node_info, asked))
        return known | {info.name: info for info in infos if info}

    async def replaced_classes(self, classes: Iterable[str]) -> dict[str, NodeInfo]:
        """Those of these classes that the server lacks, but replaces before it checks a graph.

        Each with the name of its successor, and without inputs: the server translates them.
        """
        reply = await self._send(requests.node_replacements_request())
        successors = protocol.decode_node_replacements(reply)
        renamed = {old: successors[old] for old in set(classes) if old in successors}
        infos = await self.object_info(renamed.values())
        return {
            old: infos[new].model_copy(update={"required": {}, "optional": {}})
            for old, new in renamed.items()
            if new in infos
        }

    async def checkpoints(self) -> list[str]:
        """The server's checkpoints, by the names that a loader takes."""
        return await self._models("checkpoints")

    async def diffusion_models(self) -> list[str]:
        """The server's models that come without text encoder and VAE, by a loader's names."""
        return await self._models("diffusion_models")

    async def offers(self) -> dict[str, list[str]]:
        """The server's models of each kind that workflows name, by folder."""
        names = await asyncio.gather(*map(self._models, LOADERS))
        return dict(zip(LOADERS, names, strict=True))

    async def _models(self, folder: str) -> list[str]:
        """The models in a folder; of servers that do not list it, those that a loader takes."""
        names = protocol.decode_names(await self._send(requests.models_request(folder)))
        if names is not None:
            return names
        loader, name = LOADERS[folder]
        info = await self._node_info(loader)
        choice = info.inputs.get(name) if info else None
        return [str(each) for each in choice.choices] if choice else []

    async def upload_image(self, name: str, content: bytes) -> str:
        """The name under which LoadImage finds the picture.

        It differs from `name` when a file of that name has other bytes.
        """
        with self._translated("POST /upload/image"):
            response = await self._http.post("/upload/image", files={"image": (name, content)})
        return protocol.decode_upload(self._reply(response, "POST /upload/image"))

    @asynccontextmanager
    async def view(self, output: OutputFile) -> AsyncIterator[AsyncIterator[bytes]]:
        """The file's bytes in chunks.

        Raises:
            OutputGone: the history lists it, but it cannot be had.
        """
        request = requests.view_request(output)
        with self._translated("GET /view"):
            async with self._http.stream(
                request.method, request.path, params=dict(request.params)
            ) as response:
                if response.status_code >= 300:
                    await response.aread()
                    protocol.require_file(self._reply(response, "GET /view"), output.filename)
                yield self._chunks(response)

    async def _chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        with self._translated("GET /view"):
            async for chunk in response.aiter_bytes(CHUNK_BYTES):
                yield chunk

    async def _node_info(self, class_name: str) -> NodeInfo | None:
        reply = await self._send(requests.object_info_request(class_name))
        info = protocol.decode_object_info(reply, class_name)
        if info is not None:
            self.facts.note_node(info)
        return info

    async def _send_and_check(self, request: Request) -> None:
        protocol.require_success(await self._send(request))

    async def _send(self, request: Request) -> Reply:
        route = f"{request.method} {request.path}"
        seconds = WHOLE_ANSWER_TIMEOUTS * self._timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                with self._translated(route):
                    response = await self._http.request(
                        request.method,
                        request.path,
                        params=dict(request.params) or None,
                        content=request.body,
                        headers={"Content-Type": "application/json"} if request.body else None,
                    )
        except TimeoutError as fault:
            raise self._late(route, seconds) from fault
        return self._reply(response, route)

    def _late(self, route: str, seconds: float) -> ComfyUIUnreachable:
        return ComfyUIUnreachable(
            f"{self.name} did not answer {route} within {seconds:g} s.", CHECK_SERVER
        )

    def _reply(self, response: httpx.Response, route: str) -> Reply:
        return Reply(
            status=response.status_code,
            content_type=response.headers.get("content-type", ""),
            body=response.content,
            url=self.base_url,
            route=route,
        )

    @contextmanager
    def _translated(self, route: str) -> Iterator[None]:
        """Raise httpx's errors as ours."""
        try:
            yield
        except httpx.ConnectTimeout as fault:
            self.facts.forget_nodes()
            raise ComfyUIUnreachable(f"{self.name} cannot be reached.", CHECK_SERVER) from fault
        except httpx.TimeoutException as fault:
            raise self._late(route, self._timeout_seconds) from fault
        except httpx.HTTPError as fault:
            self.facts.forget_nodes()
            kind = ComfyUIRefused if _is_refusal(fault) else ComfyUIUnreachable
            raise kind(
                f"{self.name} cannot be reached ({reason_of(fault)}).",
                CHECK_SERVER,
            ) from fault


def _is_refusal(fault: BaseException | None) -> bool:
    """Whether the machine answers and nobody listens there, wherever the cause says so."""
    if isinstance(fault, BaseExceptionGroup):
        return all(map(_is_refusal, fault.exceptions))
    return fault is not None and (
        isinstance(fault, ConnectionRefusedError)
        or _is_refusal(fault.__cause__ or fault.__context__)
    )
