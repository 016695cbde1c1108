"""Every repository, and what belongs to each: the names that `anime.db.repositories` has."""

from anime.core.assets import AssetRow, KnownAsset
from anime.core.file_query import FilePage, FileQuery
from anime.core.job_query import JobQuery
from anime.db.repositories.characters import CharacterRepository
from anime.db.repositories.deliveries import Delivery, DeliveryRepository
from anime.db.repositories.dispatches import (
    BatchLife,
    Dispatch,
    DispatchRepository,
    UnheldJob,
)
from anime.db.repositories.file_search import FileSearch
from anime.db.repositories.files import FileRepository
from anime.db.repositories.inventory import Added, EndedJob, InventoryRepository, Recovered
from anime.db.repositories.job_list import JobList
from anime.db.repositories.jobs import JobRepository, NewJob
from anime.db.repositories.leases import Lease
from anime.db.repositories.old_records import OldRecordRepository
from anime.db.repositories.pauses import PauseRepository
from anime.db.repositories.projects import ProjectKey, ProjectRepository
from anime.db.repositories.render_costs import RenderCostRepository
from anime.db.repositories.sent_prompts import SentPromptRepository, UnsettledPrompt
from anime.db.repositories.servers import ServerRepository
from anime.db.repositories.shots import ShotQuery, ShotRepository
from anime.db.repositories.slots import Slot, SlotRepository, SlotRequest, SlotUsage
from anime.db.repositories.styles import SourceRepository, StyleRepository
from anime.db.repositories.takes import TakeRepository
from anime.db.repositories.timeline import TimelineRepository

__all__ = [
    "Added",
    "AssetRow",
    "BatchLife",
    "CharacterRepository",
    "Delivery",
    "DeliveryRepository",
    "Dispatch",
    "DispatchRepository",
    "EndedJob",
    "FilePage",
    "FileQuery",
    "FileRepository",
    "FileSearch",
    "InventoryRepository",
    "JobList",
    "JobQuery",
    "JobRepository",
    "KnownAsset",
    "Lease",
    "NewJob",
    "OldRecordRepository",
    "PauseRepository",
    "ProjectKey",
    "ProjectRepository",
    "Recovered",
    "RenderCostRepository",
    "SentPromptRepository",
    "ServerRepository",
    "ShotQuery",
    "ShotRepository",
    "Slot",
    "SlotRepository",
    "SlotRequest",
    "SlotUsage",
    "SourceRepository",
    "StyleRepository",
    "TakeRepository",
    "TimelineRepository",
    "UnheldJob",
    "UnsettledPrompt",
]
