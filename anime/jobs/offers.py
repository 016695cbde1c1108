"""What the studio's servers offer for the inputs of a workflow: names, and ranges of numbers."""

import asyncio
import math
from collections.abc import Mapping, Sequence

from anime.comfyui.address import address_to_use, addresses_meant
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.models import NodeInfo
from anime.core.node_inputs import InputSpec, declared_inputs
from anime.core.servers import ServerRecord
from anime.core.workflow_build import Template
from anime.core.workflow_records import OfferedInput, WorkflowOffers
from anime.db.repositories import ServerRepository
from anime.db.session import Database
from anime.errors import ComfyUIError
from anime.settings import Settings

_SERVER_SECONDS = 5.0
_NUMBERS = frozenset({"INT", "FLOAT"})


async def read_offers(template: Template, database: Database, settings: Settings) -> WorkflowOffers:
    """What the servers that may be given the workflow offer; one that is silent is left out.

    Each is asked for the node classes of the workflow alone, and not again for some minutes.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    async with database.autocommit() as session:
        servers = await ServerRepository(session).healthy()
    wanted = template.binding.server
    fitting = [
        each
        for each in servers
        if wanted is None or each.answers_to(wanted, *addresses_meant(wanted))
    ]
    found = await asyncio.gather(*(_classes(each, template, settings) for each in fitting))
    answers = [
        (server, infos)
        for server, infos in zip(fitting, found, strict=True)
        if not isinstance(infos, str)
    ]
    unchecked = [infos for infos in found if isinstance(infos, str)]
    if not fitting:
        unchecked.append("No server that may render it is alive: names are not offered.")
    loras = [name for server, _ in answers for name in server.offers.get("loras", ())]
    return WorkflowOffers(
        servers=[server.name for server, _ in answers],
        inputs=_inputs(template, [infos for _, infos in answers]),
        loras=list(dict.fromkeys(loras)) if template.binding.loras else [],
        unchecked=unchecked,
    )


async def _classes(
    server: ServerRecord, template: Template, settings: Settings
) -> Mapping[str, NodeInfo] | str:
    """The server's node classes that the workflow has; or why they are not known."""
    address = address_to_use(server.url, settings.comfyui_urls)
    names = {node["class_type"] for node in template.graph.values()}
    try:
        async with (
            asyncio.timeout(_SERVER_SECONDS),
            ComfyUIClient(address, timeout_seconds=_SERVER_SECONDS) as comfyui,
        ):
            return await comfyui.object_info(names, is_fresh=False)
    except TimeoutError:
        return f"{server.name} has not answered within {_SERVER_SECONDS:g} s."
    except ComfyUIError as fault:
        return f"{server.name}: {fault.what}"


def _inputs(
    template: Template, answers: Sequence[Mapping[str, NodeInfo]]
) -> dict[str, OfferedInput]:
    specs: dict[str, list[InputSpec]] = {}
    for name, bound in template.inputs.items():
        for target in bound.targets:
            node = template.graph[template.node_id(target)]
            for infos in answers:
                info = infos.get(node["class_type"])
                declared = declared_inputs(node, info).get(target.input) if info else None
                if declared is not None:
                    specs.setdefault(name, []).append(declared.spec)
    return {name: _offered(found) for name, found in specs.items() if _is_offered(found[0])}


def _is_offered(spec: InputSpec) -> bool:
    return bool(spec.choices) or spec.kind in _NUMBERS


def _offered(specs: Sequence[InputSpec]) -> OfferedInput:
    """The choices of all together; the range that all of them take."""
    names = [str(choice) for spec in specs for choice in spec.choices]
    least = [spec.min for spec in specs if spec.min is not None and math.isfinite(spec.min)]
    most = [spec.max for spec in specs if spec.max is not None and math.isfinite(spec.max)]
    return OfferedInput(
        choices=list(dict.fromkeys(names)),
        minimum=max(least, default=None),
        maximum=min(most, default=None),
    )
