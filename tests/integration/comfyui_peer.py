"""A ComfyUI that does the odd thing a test asks for, on a real port."""

import asyncio
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.support.ports import lasting_port
from tests.support.waiting import HUNG_SECONDS


class Peer:
    """Queue and history as the test sets them; frames as the test sends them."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.pending: list[str] = []
        self.history: dict[str, Any] = {}
        self.sockets: list[WebSocket] = []
        self.greeted_with: list[str] = []  # the login of each socket
        self.connected = asyncio.Event()
        self.disconnected = asyncio.Event()
        self.refused = asyncio.Event()
        self.submitted = asyncio.Event()
        self.posts: list[tuple[str, Any]] = []
        self.asked: list[str] = []  # paths, of queue and history
        self.refuses_websockets = False
        self.greets = True
        self._looked = asyncio.Condition()
        self.answers_submit = True
        self.reply_delay_seconds = 0.0
        self.history_looks_needed = 0
        self.heeds_interrupts = True

    def start(self, prompt_id: object) -> None:
        self.running.append(str(prompt_id))

    def finish(self, prompt_id: object, *, interrupted: bool = False) -> None:
        name = str(prompt_id)
        self.running = [running for running in self.running if running != name]
        last = "execution_interrupted" if interrupted else "execution_success"
        status = "error" if interrupted else "success"
        self.history[name] = {
            "prompt": [0, name, {}, {}, []],
            "outputs": {"2": {"images": [{"filename": f"{name}.png"}]}},
            "status": {
                "status_str": status,
                "completed": not interrupted,
                "messages": [[last, {"timestamp": 2}]],
            },
        }

    async def send(self, kind: str, **content: Any) -> None:
        for websocket in list(self.sockets):
            await websocket.send_json({"type": kind, "data": content})

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/prompt", self._prompt, methods=["POST"]),
                Route("/queue", self._queue, methods=["GET", "POST"]),
                Route("/history/{prompt_id}", self._history),
                Route("/interrupt", self._interrupt, methods=["POST"]),
                WebSocketRoute("/ws", self._websocket),
            ]
        )

    async def _prompt(self, request: Request) -> Response:
        sent = await request.json()
        self.posts.append(("/prompt", sent))
        if not sent.get("prompt"):
            problem = {"type": "no_prompt", "message": "No prompt provided", "details": ""}
            return JSONResponse({"error": problem, "node_errors": {}}, 400)
        self.start(sent["prompt_id"])
        self.submitted.set()
        if not self.answers_submit:
            await asyncio.sleep(60)
        return JSONResponse({"prompt_id": sent["prompt_id"], "number": 1, "node_errors": {}})

    async def until_looked_for(self, times: int) -> None:
        """Return when the queue was asked so often again."""
        async with asyncio.timeout(HUNG_SECONDS), self._looked:
            for _ in range(times):
                await self._looked.wait()

    async def until_asked(self, times: int) -> None:
        """Return when the queue was asked so often in all."""
        async with asyncio.timeout(HUNG_SECONDS), self._looked:
            await self._looked.wait_for(lambda: self.asked.count("queue") >= times)

    async def drop_sockets(self) -> None:
        """Close every socket, from the server's side."""
        for websocket in list(self.sockets):
            await websocket.close()

    async def _queue(self, request: Request) -> Response:
        self.asked.append("queue")
        await asyncio.sleep(self.reply_delay_seconds)
        async with self._looked:
            self._looked.notify_all()
        if request.method == "POST":
            gone = (await request.json())["delete"]
            self.posts.append(("/queue", gone))
            self.pending = [name for name in self.pending if name not in gone]
            return Response()
        running = [[0, name, {}, {}, []] for name in self.running]
        pending = [[at, name, {}, {}, []] for at, name in enumerate(self.pending)]
        return JSONResponse({"queue_running": running, "queue_pending": pending})

    async def _history(self, request: Request) -> Response:
        self.asked.append("history")
        await asyncio.sleep(self.reply_delay_seconds)
        name = request.path_params["prompt_id"]
        if name in self.history and self.history_looks_needed > 0:
            self.history_looks_needed -= 1
            return JSONResponse({})
        return JSONResponse({name: self.history[name]} if name in self.history else {})

    async def _interrupt(self, request: Request) -> Response:
        name = (await request.json())["prompt_id"]
        self.posts.append(("/interrupt", name))
        if self.heeds_interrupts and name in self.running:
            self.finish(name, interrupted=True)
        return Response()

    async def _websocket(self, websocket: WebSocket) -> None:
        if self.refuses_websockets:
            self.refused.set()
            await websocket.close()
            return
        await websocket.accept()
        if self.greets:
            waiting = len(self.running + self.pending)
            greeting = {"status": {"exec_info": {"queue_remaining": waiting}}}
            sid = websocket.query_params.get("clientId", "")
            await websocket.send_json({"type": "status", "data": greeting | {"sid": sid}})
        self.sockets.append(websocket)
        self.greeted_with.append(websocket.headers.get("authorization", ""))
        self.connected.set()
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            self.sockets.remove(websocket)
            self.disconnected.set()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Host:
    """A port on which a peer is up or down."""

    def __init__(self) -> None:
        self._port = lasting_port()
        self.url = f"http://127.0.0.1:{self._port}"

    @asynccontextmanager
    async def up(self, peer: Peer) -> AsyncIterator[Peer]:
        """The peer while it lives; it dies without a goodbye."""
        # Named as TCP, for asyncio to send small answers at once.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self._port))
        config = uvicorn.Config(
            peer.app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield peer
        finally:
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            server.force_exit = server.should_exit = True
            await asyncio.wait([task], timeout=HUNG_SECONDS)
            listening.close()
