"""What a swept file will not tell any more once it is in the library."""

import json
from datetime import datetime
from pathlib import PurePath

from anime.assets.provenance import Provenance
from anime.core.paths import owner_of
from anime.core.sweep_plan import Organise, storable


def provenance_to_keep(step: Organise, where: str, made_at: datetime) -> Provenance | None:
    """Where the file comes from; None if content, name and folder tell it in the library, too.

    What lay around a file in the swept folder (a sidecar, the job's folder) does not come along.
    """
    owner, sidecar = step.owner, step.seen.sidecar
    tells_its_job = owner.job_id is None or owner_of(PurePath(where).name) == owner.job_id
    if step.content.stamp is not None or (sidecar is None and tells_its_job):
        return None
    said = sidecar.model_dump(exclude={"job_id", "project_id", "project"}) if sidecar else {}
    if not str(said.get("seed") or "").isdecimal():
        said.pop("seed", None)
    return Provenance(
        **said,
        job_id=owner.job_id,
        project=owner.project,
        project_slug=owner.slug,
        source_path=storable(step.seen.path),
        created_at=made_at,
        metadata={**json.loads(step.content.recipe), **step.origin},
    )
