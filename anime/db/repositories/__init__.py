"""All SQL. A repository works in the transaction it is given and never commits."""

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
from anime.db.repositories.jobs import JobRepository, NewJob
from anime.db.repositories.leases import Lease
from anime.db.repositories.projects import ProjectKey, ProjectRepository
from anime.db.repositories.window import Claim, Place, WindowRepository, WindowState

__all__ = [
    "Added",
    "Claim",
    "EndedJob",
    "FilePage",
    "FileQuery",
    "FileRepository",
    "FileRow",
    "FileSearch",
    "InventoryRepository",
    "JobRepository",
    "Lease",
    "NewFile",
    "NewJob",
    "Place",
    "ProjectKey",
    "ProjectRepository",
    "Recovered",
    "WindowRepository",
    "WindowState",
]
