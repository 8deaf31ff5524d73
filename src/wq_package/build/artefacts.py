"""What was downloaded for a layer, or would have to be (value and logic module).

Reads uv's list of the files that fit, and the tags that an installed distribution keeps of its wheel; together they name one
file. Text in, values out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wq_package.spec.environment import canonicalize_name

__all__ = [
    "UNKNOWN",
    "Artefact",
    "parse_artefact",
    "parse_artefacts",
    "parse_direct_url",
    "parse_wheel_tags",
    "render_artefact",
    "select_artefact",
]

_TAG = re.compile(r"^Tag:[ \t]*(\S+)\s*$", re.MULTILINE)
# The user of an `ssh:` URL is no secret, and part of the address.
_PASSWORD = re.compile(r"^((?:\w+\+)?https?://)[^/]*@")


@dataclass(frozen=True, slots=True)
class Artefact:
    """A wheel, a source distribution or a conda package, as far as it is known.

    Attributes:
        file: its name.
        url: where it was found, without passwords; empty for one in a folder of this machine.
        sha256: hex digest.
        size: in bytes, or 0 if the index does not say.
        tags: what it fits: of a wheel, each as `python-abi-platform`, sorted; of a conda package, its platform.
        requirement: PEP 508 text that asks for it, where name and version do not: something that has an address of its own.
    """

    file: str = ""
    url: str = ""
    sha256: str = ""
    size: int = 0
    tags: tuple[str, ...] = ()
    requirement: str = ""


UNKNOWN = Artefact()
"""Of which nothing is known."""


def render_artefact(artefact: Artefact) -> dict[str, object]:
    """Give the fields that are known."""
    fields: dict[str, object] = {
        "file": artefact.file,
        "url": artefact.url,
        "sha256": artefact.sha256,
        "size": artefact.size,
        "tags": list(artefact.tags),
        "requirement": artefact.requirement,
    }
    return {name: value for name, value in fields.items() if value}


def parse_artefact(fields: Mapping[str, object]) -> Artefact:
    """Read the fields that are there.

    Raises:
        TypeError: one is of another type.
    """
    texts = {name: fields.get(name, "") for name in ("file", "url", "sha256", "requirement")}
    size, tags = fields.get("size", 0), fields.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(each, str) for each in (*texts.values(), *tags)):
        raise TypeError("a field of an artefact is not text")
    if not isinstance(size, int):
        raise TypeError("the size of an artefact is not a number")
    return Artefact(size=size, tags=tuple(tags), **{name: str(value) for name, value in texts.items()})


def parse_artefacts(text: str) -> dict[str, tuple[Artefact, ...]]:
    """Read the wheels and the source of each distribution out of a pylock file, by canonical name.

    The `url` of a file that lies in a folder is its path, or its `file:` URL.
    """
    import tomllib  # only who asks an index pays for it

    try:
        packages = tomllib.loads(text).get("packages", [])
    except tomllib.TOMLDecodeError:
        return {}
    return {canonicalize_name(package["name"]): tuple(_iter_files(package)) for package in packages}


def _iter_files(package: Mapping[str, Any]) -> Iterable[Artefact]:
    for file in (*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())):
        url, digest = str(file.get("url", "")), file.get("hashes", {}).get("sha256")
        name = str(file.get("name") or _unquote((url or str(file.get("path", ""))).rpartition("/")[2]))
        if digest and name:
            shown = _hide_password(url or str(file.get("path", "")))
            yield Artefact(name, shown, str(digest), int(file.get("size", 0)), _list_tags(name))


def _unquote(text: str) -> str:
    from urllib.parse import unquote

    return unquote(text)


def _hide_password(url: str) -> str:
    return _PASSWORD.sub(r"\1", url)


def _list_tags(file: str) -> tuple[str, ...]:
    if not file.endswith(".whl") or file.count("-") < 4:
        return ()
    python, abi, platform = file.removesuffix(".whl").split("-")[-3:]
    return tuple(
        sorted(f"{p}-{a}-{m}" for p in python.split(".") for a in abi.split(".") for m in platform.split("."))
    )


def parse_wheel_tags(text: str) -> tuple[str, ...]:
    """Read the tags out of a distribution's `WHEEL`."""
    return tuple(sorted(set(_TAG.findall(text))))


def parse_direct_url(name: str, text: str) -> Artefact | None:
    """Read a distribution's `direct_url.json`: `None` if it came from an index, or is an editable install.

    Args:
        name: of the distribution.
        text: of the file, or empty.
    """
    try:
        fields = json.loads(text)
        url = str(fields["url"])
    except (ValueError, KeyError, TypeError):
        return None
    if (fields.get("dir_info") or {}).get("editable"):
        return None
    vcs, archive = fields.get("vcs_info") or {}, fields.get("archive_info") or {}
    if vcs:
        url = f"{vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"
    folder = fields.get("subdirectory")
    url = _hide_password(url) + (f"#subdirectory={folder}" if folder else "")
    digest = str((archive.get("hashes") or {}).get("sha256") or "")
    return Artefact(url=url, sha256=digest, requirement=f"{name} @ {url}")


def select_artefact(offered: Iterable[Artefact], tags: tuple[str, ...]) -> Artefact | None:
    """Choose the wheel that has exactly these tags, or the source where there are no wheels.

    Returns:
        `None` if there is none, or not one alone.
    """
    files = list(offered)
    wheels = [file for file in files if file.tags]
    found = [file for file in wheels if file.tags == tags] if wheels else files
    return found[0] if len(found) == 1 else None
