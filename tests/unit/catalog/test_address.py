from __future__ import annotations

import pytest

from wq_package.catalog.address import CatalogAddress, find_default_catalogs, parse_catalogs
from wq_package.errors import QueueError


@pytest.mark.parametrize(
    ("text", "catalogs"),
    [
        ("", ()),
        ("host", (CatalogAddress("host", 9097),)),
        ("host:1", (CatalogAddress("host", 1),)),
        ("a:1, b ;c:3,", (CatalogAddress("a", 1), CatalogAddress("b", 9097), CatalogAddress("c", 3))),
        ("::1", (CatalogAddress("::1", 9097),)),
        ("[::1]:5", (CatalogAddress("::1", 5),)),
        ("[::1]", (CatalogAddress("::1", 9097),)),
    ],
)
def test_parse_catalogs__text__gives_addresses(text: str, catalogs: tuple[CatalogAddress, ...]) -> None:
    assert parse_catalogs(text) == catalogs


@pytest.mark.parametrize(
    "text", [":1", "host:x", "host:0", "host:65536", "http://host", "a b", "a:b:c", "[::1", "user@host"]
)
def test_parse_catalogs__nonsense__is_a_clear_error(text: str) -> None:
    with pytest.raises(QueueError) as raised:
        parse_catalogs(text)
    assert raised.value.hint is not None


@pytest.mark.parametrize(
    ("variables", "catalogs"),
    [
        ({}, ()),
        ({"CATALOG_PORT": "5"}, ()),
        ({"CATALOG_HOST": "host"}, (CatalogAddress("host", 9097),)),
        ({"CATALOG_HOST": "a,b:7", "CATALOG_PORT": "5"}, (CatalogAddress("a", 5), CatalogAddress("b", 7))),
    ],
)
def test_find_default_catalogs__without_a_host__names_none(
    variables: dict[str, str], catalogs: tuple[CatalogAddress, ...]
) -> None:
    assert find_default_catalogs(variables) == catalogs


def test_find_default_catalogs__port_is_none__is_a_clear_error() -> None:
    with pytest.raises(QueueError, match="CATALOG_PORT"):
        find_default_catalogs({"CATALOG_HOST": "a", "CATALOG_PORT": "many"})


def test_str__address__can_be_parsed_again() -> None:
    for address in (CatalogAddress("host", 1), CatalogAddress("::1", 2)):
        assert parse_catalogs(str(address)) == (address,)
