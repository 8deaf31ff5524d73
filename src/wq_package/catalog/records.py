"""What travels to and from a catalog: JSON objects, packed or plain, and managers as read from them (logic module).

Knows the records of Work Queue's managers and of upstream's newer ones; nothing of sockets. Whatever comes from a
catalog was written by somebody unknown: what does not fit is left out, never trusted.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from wq_package.errors import QueueError, RemoteProtocolError
from wq_package.protocol.status_text import parse_status

MAX_RECORD = 2**20
"""Largest record that is read, after unpacking."""
MAX_DEPTH = 20
PLAIN_LIMIT = 1200
"""Records larger than this are packed, so that a datagram fits in one packet of any network."""
MANAGER_TYPES = ("wq_master", "wq_manager")
_PACKED = b"\x1a"
_LATEST = 2**53
"""Epoch seconds; a larger number is none, and may be too large for a float."""

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ManagerRecord:
    """A manager that a catalog knows.

    Attributes:
        project: its project name.
        hosts: addresses to try, in order.
        protocol: its protocol number, or `None` where it does not say: Debian's, which speaks 9.
        uses_tls: whether it says that it speaks TLS.
        last_heard: epoch seconds of its last update.
    """

    project: str
    hosts: tuple[str, ...]
    port: int
    protocol: int | None = None
    uses_tls: bool = False
    owner: str = ""
    last_heard: float = 0.0


def encode_update(record: Record) -> bytes:
    """Encode a record for a catalog; a large one is packed."""
    plain = json.dumps(record, separators=(",", ":")).encode()
    if len(plain) <= PLAIN_LIMIT:
        return plain
    return _PACKED + zlib.compress(plain)


def decode_update(data: bytes) -> dict[str, object]:
    """Decode what a manager or a factory sent.

    Raises:
        RemoteProtocolError: it is no record, or too large a one.
    """
    try:
        if data.startswith(_PACKED):
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(data[1:], MAX_RECORD)
            if not unpacker.eof:
                raise RemoteProtocolError("a packed record is cut or too large")
        record = parse_status(data.decode())
        _check_depth(record)
        # Python reads numbers that JSON does not have; the tools that will read our answers do not.
        json.dumps(record, allow_nan=False)
    except (ValueError, zlib.error) as error:
        raise RemoteProtocolError("an update is no JSON") from error
    if not isinstance(record, dict):
        raise RemoteProtocolError("an update is no JSON object")
    return record


def _check_depth(record: object) -> None:
    """Refuse what can be read, and perhaps not be written again: nobody would get an answer any more."""
    level = [record]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in _list_inner(value)]
        if not level:
            return
    raise RemoteProtocolError("an update is nested too deeply")


def _list_inner(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def parse_manager(record: object) -> ManagerRecord | None:
    """Read a manager's record; `None` if it is none, or unusable."""
    if not isinstance(record, dict) or record.get("type") not in MANAGER_TYPES:
        return None
    project, port = record.get("project"), record.get("port")
    hosts = tuple(_iter_hosts(record))
    if not isinstance(project, str) or not _is_port(port) or not hosts:
        return None
    protocol, owner, heard = record.get("protocol"), record.get("owner"), record.get("lastheardfrom")
    return ManagerRecord(
        project,
        hosts,
        port,
        protocol if type(protocol) is int else None,
        bool(record.get("ssl")),
        owner if isinstance(owner, str) else "",
        float(heard) if isinstance(heard, int | float) and abs(heard) < _LATEST else 0.0,
    )


def select_managers(
    records: Iterable[object], pattern: str, versions: Sequence[int]
) -> tuple[ManagerRecord, ...]:
    """Select the managers whose whole project name matches a regular expression and that speak one of our protocols.

    Raises:
        QueueError: the expression is none.
    """
    try:
        name = re.compile(pattern)
    except re.error as error:
        raise QueueError(
            f"`{pattern}` is no regular expression: {error}",
            hint="write the project name as it is, or a pattern",
        ) from error
    managers = (manager for record in records if (manager := parse_manager(record)) is not None)
    return tuple(
        manager
        for manager in managers
        if name.fullmatch(manager.project) and (manager.protocol is None or manager.protocol in versions)
    )


def _is_port(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value < 65536


def _iter_hosts(record: Mapping[str, object]) -> Iterable[str]:
    """Give the hosts to try: those of its network interfaces, then whence its update came."""
    seen = set()
    interfaces = record.get("network_interfaces")
    for interface in interfaces if isinstance(interfaces, list) else []:
        if isinstance(interface, dict):
            # Debian's managers write `host`, upstream's since 2022 `address`.
            host = interface.get("host") or interface.get("address")
            if isinstance(host, str) and host not in seen:
                seen.add(host)
                yield host
    address = record.get("address")
    if isinstance(address, str) and address and address not in seen:
        yield address
