"""All SQL. A repository works in the transaction it is given and never commits."""

from anime.db.repositories.characters import CharacterRepository
from anime.db.repositories.deliveries import Delivery, DeliveryRepository
from anime.db.repositories.file_query import FilePage, FileQuery
from anime.db.repositories.file_search import FileSearch
from anime.db.repositories.files import FileRepository, NewFile
from anime.db.repositories.inventory import (
    Added,
    EndedJob,
    FileRow,
    InventoryRepository,
    Recovered,
)
from anime.db.repositories.job_list import JobList, JobQuery
from anime.db.repositories.jobs import JobRepository, NewJob
from anime.db.repositories.leases import Lease
from anime.db.repositories.orders import Order, OrderRepository
from anime.db.repositories.projects import ProjectKey, ProjectRepository
from anime.db.repositories.window import Claim, Place, WindowRepository, WindowState

__all__ = [
    "Added",
    "CharacterRepository",
    "Claim",
    "Delivery",
    "DeliveryRepository",
    "EndedJob",
    "FilePage",
    "FileQuery",
    "FileRepository",
    "FileRow",
    "FileSearch",
    "InventoryRepository",
    "JobList",
    "JobQuery",
    "JobRepository",
    "Lease",
    "NewFile",
    "NewJob",
    "Order",
    "OrderRepository",
    "Place",
    "ProjectKey",
    "ProjectRepository",
    "Recovered",
    "WindowRepository",
    "WindowState",
]
