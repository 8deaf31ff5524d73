"""Project names: advertise a manager in a catalog, look managers up, and be a small catalog.

Knows the catalog's wire (work-queue.md 2.12), nothing of queues or tasks: a manager's record is whatever JSON it gives.
Nothing here runs unless a catalog is named.
"""

from __future__ import annotations

from wq_package.catalog.address import CatalogAddress, find_default_catalogs, parse_catalogs
from wq_package.catalog.advertiser import Advertiser
from wq_package.catalog.lookup import find_managers
from wq_package.catalog.records import ManagerRecord
from wq_package.catalog.server import CatalogServer, serve_catalog

__all__ = [
    "Advertiser",
    "CatalogAddress",
    "CatalogServer",
    "ManagerRecord",
    "find_default_catalogs",
    "find_managers",
    "parse_catalogs",
    "serve_catalog",
]
