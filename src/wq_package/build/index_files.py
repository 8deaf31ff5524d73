"""Finds the settings of pip and uv on this machine (shell module). What they mean is in `wq_package.build.indexes`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from wq_package.build.indexes import (
    Indexes,
    make_indexes,
    make_uv_settings,
    names_indexes,
    parse_pip_config,
    read_pip_variables,
)

__all__ = ["load_uv_settings"]


def load_uv_settings(asked: Indexes) -> tuple[dict[str, str], tuple[str, ...]]:
    """Make the variables and options that uv is run with, from what the user asked for and all settings there are."""
    texts = [_read(path) for path in _iter_pip_files()]
    pip = make_indexes(parse_pip_config(texts) | read_pip_variables(os.environ))
    has_own = any(names_indexes(_read(path)) for path in _iter_uv_files())
    return make_uv_settings(asked, pip, os.environ, has_own=has_own)


def _iter_pip_files() -> Iterator[Path]:
    """Name pip's files in pip's order: of the machine, the user, the environment, and the one that is named."""
    named = os.environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    for folder in reversed((os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")):
        yield Path(folder, "pip", "pip.conf")
    yield Path("/etc/pip.conf")
    home = os.environ.get("HOME")
    if home:
        yield Path(home, ".pip", "pip.conf")
    if config := _find_config_folder():
        yield config / "pip" / "pip.conf"
    yield Path(sys.prefix, "pip.conf")
    if named:
        yield Path(named)


def _iter_uv_files() -> Iterator[Path]:
    if named := os.environ.get("UV_CONFIG_FILE"):
        yield Path(named)
        return
    for folder in (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":"):
        yield Path(folder, "uv", "uv.toml")
    yield Path("/etc/uv/uv.toml")
    if config := _find_config_folder():
        yield config / "uv" / "uv.toml"
    here = Path.cwd()
    yield from (folder / "uv.toml" for folder in (here, *here.parents))


def _find_config_folder() -> Path | None:
    if named := os.environ.get("XDG_CONFIG_HOME"):
        return Path(named)
    home = os.environ.get("HOME")
    return Path(home, ".config") if home else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
