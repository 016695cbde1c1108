"""Our own programs as parts: API, rehearsal server, worker, and the set-up of Prefect."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from anime.settings import PROJECT_DIR, Settings, resolve_reference
from anime.settings.inherited import environment_without_secrets
from anime.stack.part_readiness import answers, is_healthy, worker_polls
from anime.stack.parts import BACKGROUND_NICENESS, Part
from anime.stack.prefect_command import prefect_module
from anime.stack.worker_start import worker_name

ANIME = (sys.executable, "-P", "-m", "anime.cli.app")
SETUP_TIMEOUT_SECONDS = 240
HAND_BACK_SECONDS = (
    20  # a warm worker needs at most so long, after the grace, to hand its runs back
)


def faults_of_server(faults: str, number: int) -> list[str]:
    """Those of the server with that number, the first being 1.

    >>> faults_of_server("lose-history, 2:zombie-after=5", 2)
    ['lose-history', 'zombie-after=5']
    >>> faults_of_server("2:zombie-after=5", 1)
    []
    """
    found = (fault.strip().rpartition(":") for fault in faults.split(",") if fault.strip())
    return [fault for server, _, fault in found if server in ("", str(number))]


@dataclass(frozen=True, slots=True)
class Services:
    """Makes the parts of our own programs.

    `anime` is the command with the subcommands `serve`, `rehearsal`, `worker` and `migrate`;
    `project` is the folder of prefect.yaml.
    """

    settings: Settings
    environment: Mapping[str, str]
    anime: tuple[str, ...] = ANIME
    project: Path = PROJECT_DIR

    def api(self) -> Part:
        """The HTTP API, on all its ports."""
        urls = self.settings.api_urls

        async def is_ready(_: float) -> bool:
            # Any answer will do: it reports an error while Prefect starts.
            return all([await answers(f"{url}/health") for url in urls])

        return replace(self._part("api", "serve"), is_ready=is_ready, url=urls[-1])

    def rehearsals(self) -> list[Part]:
        """The rehearsal servers, in the order of their addresses."""
        return [
            self._rehearsal(number, url)
            for number, url in enumerate(self.settings.comfyui_urls, start=1)
        ]

    def _rehearsal(self, number: int, url: str) -> Part:
        settings = self.settings
        name = "rehearsal" if number == 1 else f"rehearsal-{number}"
        models = filter(None, settings.rehearsal_models.split(","))
        faults = faults_of_server(settings.rehearsal_faults, number)
        output = settings.home / "rehearsal" / "output"
        part = self._part(
            name,
            *("rehearsal", "--port", url.rpartition(":")[2]),
            *("--data-dir", str(settings.home / name)),
            *(("--output-dir", str(output)) if settings.rehearsal_shared_output else ()),
            *(("--log", str(settings.rehearsal_log)) if settings.rehearsal_log else ()),
            *("--step-seconds", str(settings.rehearsal_step_seconds)),
            *("--profile", settings.rehearsal_profile),
            *(word for model in models for word in ("--model", model)),
            *(word for fault in faults for word in ("--fault", fault)),
        )
        return replace(
            part,
            # It decodes what it is sent, and gets its settings by its arguments.
            environment=environment_without_secrets(among=self.environment),
            is_ready=lambda _: is_healthy(f"{url}/system_stats"),
            url=url,
        )

    def worker(self) -> Part:
        """The Prefect worker; ready once it has polled for runs."""
        auth_string = self.settings.prefect_api_auth_string

        async def is_ready(age_seconds: float) -> bool:
            text = auth_string.get_secret_value() if auth_string else None
            return await worker_polls(
                f"{self.settings.prefect_api_url}/work_pools/{self.settings.work_pool}",
                await asyncio.to_thread(resolve_reference, text) if text else None,
                worker_name(),
                within_seconds=age_seconds,
            )

        return replace(
            self._part("worker", "worker"),
            is_ready=is_ready,
            stop_timeout_seconds=self.settings.worker_grace_seconds + HAND_BACK_SECONDS,
            niceness=BACKGROUND_NICENESS,
        )

    def migrations(self) -> Part:
        """The program that migrates our tables, and ends."""
        return self._part("migrations", "migrate")

    def prefect_setup(self, *, beside_server: bool) -> Part:
        """The program that makes work pool, queues and deployments, and ends.

        It waits for a server that starts at the same time for as long as that may take.
        """
        module = prefect_module(self.settings, "anime.stack.prefect_setup")
        command = (sys.executable, *module, str(self.project))
        part = replace(
            self._part("deployments"), command=command, start_timeout_seconds=SETUP_TIMEOUT_SECONDS
        )
        if not beside_server:
            return part
        limit = 2 * part.start_limit_seconds
        return replace(part, command=(*command, str(limit)), start_limit_seconds=limit)

    def _part(self, name: str, *arguments: str) -> Part:
        return Part(
            name=name,
            command=(*self.anime, *arguments),
            log=self.settings.logs / f"{name}.log",
            environment=self.environment,
            folder=self.project,
        )
