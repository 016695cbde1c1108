"""All SQL. A repository works in the transaction it is given and never commits."""

from anime.db.repositories.characters import CharacterRepository
from anime.db.repositories.deliveries import Delivery, DeliveryRepository
from anime.db.repositories.files import FileRepository, NewFile
from anime.db.repositories.job_list import JobList, JobQuery
from anime.db.repositories.jobs import JobRepository, NewJob
from anime.db.repositories.leases import Lease
from anime.db.repositories.orders import Order, OrderRepository
from anime.db.repositories.projects import ProjectKey, ProjectRepository
from anime.db.repositories.window import Claim, Place, WindowRepository, WindowState

__all__ = [
    "CharacterRepository",
    "Claim",
    "Delivery",
    "DeliveryRepository",
    "FileRepository",
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
    "WindowRepository",
    "WindowState",
]
