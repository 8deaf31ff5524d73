"""Where catalogs are (value module). Knows how Work Queue's users write that; nothing of sockets or the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wq_package.errors import QueueError

DEFAULT_PORT = 9097


@dataclass(frozen=True, slots=True)
class CatalogAddress:
    """One catalog: updates go to the UDP port and to TCP's next one, queries by HTTP to the port."""

    host: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_catalogs(text: str, default_port: int = DEFAULT_PORT) -> tuple[CatalogAddress, ...]:
    """Parse `HOST[:PORT]`, several separated by commas or semicolons.

    Raises:
        QueueError: a part is none.
    """
    parts = (part.strip() for part in text.replace(";", ",").split(","))
    return tuple(_parse_catalog(part, default_port) for part in parts if part)


def find_default_catalogs(variables: Mapping[str, str]) -> tuple[CatalogAddress, ...]:
    """Find the catalogs that `CATALOG_HOST` and `CATALOG_PORT` name; none if they are not set.

    Raises:
        QueueError: they are set to something else.
    """
    hosts = variables.get("CATALOG_HOST", "")
    port = variables.get("CATALOG_PORT", "") or str(DEFAULT_PORT)
    return parse_catalogs(hosts, _parse_port(port, "CATALOG_PORT"))


def _parse_catalog(text: str, default_port: int) -> CatalogAddress:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if bracket else "?"
    elif text.count(":") > 1:
        host, port = text if _is_address(text) else "", ""
    else:
        host, _, port = text.partition(":")
    if not host or any(letter.isspace() or letter in "/@?#" for letter in host):
        raise QueueError(f"`{text}` is no catalog", hint="write HOST or HOST:PORT")
    return CatalogAddress(host, _parse_port(port, text) if port else default_port)


def _is_address(text: str) -> bool:
    import ipaddress  # costs 5 ms, and few catalogs are named so

    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _parse_port(text: str, where: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 0 < int(text) < 65536:
        raise QueueError(f"`{text}` in `{where}` is no port", hint="write a number from 1 to 65535")
    return int(text)
