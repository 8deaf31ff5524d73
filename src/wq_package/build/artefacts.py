"""Which file of an index a distribution came from (logic module).

Reads uv's list of the files that fit, and the tags that an installed distribution keeps of its wheel; together they name one
file. Text in, values out.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from wq_package.spec.environment import canonicalize_name

__all__ = ["Artefact", "parse_artefacts", "parse_wheel_tags", "select_artefact"]

_TAG = re.compile(r"^Tag:[ \t]*(\S+)\s*$", re.MULTILINE)
_PASSWORD = re.compile(r"^(https?://)[^/@]*@")


@dataclass(frozen=True, slots=True)
class Artefact:
    """A wheel, as an index offers it.

    Attributes:
        file: its name.
        url: where it was found, or empty for one in a folder of this machine.
        sha256: hex digest.
        size: in bytes, or 0 if the index does not say.
    """

    file: str
    url: str
    sha256: str
    size: int = 0

    @property
    def tags(self) -> tuple[str, ...]:
        """What it fits, each as `python-abi-platform`, sorted."""
        python, abi, platform = self.file.removesuffix(".whl").split("-")[-3:]
        return tuple(
            sorted(
                f"{p}-{a}-{m}" for p in python.split(".") for a in abi.split(".") for m in platform.split(".")
            )
        )


def parse_artefacts(text: str) -> dict[str, tuple[Artefact, ...]]:
    """Read the wheels of each distribution out of a pylock file, by canonical name."""
    try:
        packages = tomllib.loads(text).get("packages", [])
    except tomllib.TOMLDecodeError:
        return {}
    return {
        canonicalize_name(package["name"]): tuple(_iter_wheels(package.get("wheels", ())))
        for package in packages
    }


def _iter_wheels(wheels: Iterable[Mapping[str, Any]]) -> Iterable[Artefact]:
    for wheel in wheels:
        url, digest = str(wheel.get("url", "")), wheel.get("hashes", {}).get("sha256")
        file = str(wheel.get("name") or unquote((url or str(wheel.get("path", ""))).rpartition("/")[2]))
        if digest and file.endswith(".whl") and file.count("-") >= 4:
            shown = _PASSWORD.sub(r"\1", url) if url.startswith("http") else ""
            yield Artefact(file, shown, str(digest), int(wheel.get("size", 0)))


def parse_wheel_tags(text: str) -> tuple[str, ...]:
    """Read the tags out of a distribution's `WHEEL`."""
    return tuple(sorted(set(_TAG.findall(text))))


def select_artefact(wheels: Iterable[Artefact], tags: tuple[str, ...]) -> Artefact | None:
    """Choose the wheel that has exactly these tags; `None` if there is none, or not one alone."""
    found = [wheel for wheel in wheels if wheel.tags == tags]
    return found[0] if len(found) == 1 else None
