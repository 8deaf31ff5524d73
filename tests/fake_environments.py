"""Installed environments made of metadata only, from TOML: so that a test does not depend on what is installed.

A distribution is a table: `name`, `version`, and optionally `files` (default: one package of the same name), `requires`,
`contents` (file → text), `record = false`, `metadata = "text of METADATA"`, `egg = true`, `top_level`, `editable` (project
folder), `conda = {build, depends, channel}` (also listed in conda-meta of the prefix).
"""

from __future__ import annotations

import base64
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"

Entry = Mapping[str, Any]


def load_catalogue() -> dict[str, Entry]:
    """Load the distributions that a case has installed unless it says otherwise."""
    entries = tomllib.loads((DATA / "environments" / "popular.toml").read_text())["distribution"]
    return {entry["name"]: entry for entry in entries}


def make_environment(prefix: Path, entries: Iterable[Entry], python: str = "3.11") -> Path:
    """Install distributions below a prefix, and return its site-packages."""
    site = prefix / "lib" / f"python{python}" / "site-packages"
    site.mkdir(parents=True)
    for entry in entries:
        _install(site, entry)
        if "conda" in entry:
            _list_in_conda_meta(prefix, site, entry)
    return site


def _install(site: Path, entry: Entry) -> None:
    stem = entry["name"].replace("-", "_")
    files = list(entry.get("files", [] if "editable" in entry else [f"{stem}/__init__.py"]))
    for file in files:
        path = site / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = entry.get("contents", {}).get(file, "")
        if not path.exists() or text:
            path.write_text(text)
    if entry.get("metadata") is not False:
        _write_metadata(site, entry, f"{stem}-{entry['version']}", files)


def _write_metadata(site: Path, entry: Entry, stem: str, files: list[str]) -> None:
    suffix, name = ("egg-info", "PKG-INFO") if entry.get("egg") else ("dist-info", "METADATA")
    folder = site / f"{stem}.{suffix}"
    folder.mkdir(exist_ok=True)
    if entry.get("metadata") != "":
        (folder / name).write_text(entry.get("metadata") or _render_metadata(entry))
    if "top_level" in entry:
        (folder / "top_level.txt").write_text("\n".join(entry["top_level"]) + "\n")
    if "editable" in entry:
        url = {"url": f"file://{entry['editable']}", "dir_info": {"editable": True}}
        (folder / "direct_url.json").write_text(json.dumps(url))
    if entry.get("record", not entry.get("egg")):
        lines = [_render_record_line(file, entry) for file in files]
        (folder / "RECORD").write_text("".join([*lines, f"{folder.name}/RECORD,,\n"]))


def _render_metadata(entry: Entry) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {entry['name']}", f"Version: {entry['version']}"]
    lines += [f"Requires-Dist: {text}" for text in entry.get("requires", [])]
    return "\n".join([*lines, "", "A description.", ""])


def _render_record_line(file: str, entry: Entry) -> str:
    content = entry.get("contents", {}).get(file, "").encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{file},sha256={digest},{len(content)}\n"


def _list_in_conda_meta(prefix: Path, site: Path, entry: Entry) -> None:
    conda = entry["conda"]
    name = conda.get("name", entry["name"].lower())
    stem = f"{entry['name'].replace('-', '_')}-{entry['version']}.dist-info"
    base = site.relative_to(prefix).as_posix()
    files = [
        f"{base}/{file}" for file in entry.get("files", [f"{entry['name'].replace('-', '_')}/__init__.py"])
    ]
    if entry.get("metadata") is not False:
        files.append(f"{base}/{stem}/METADATA")
    document = {
        "name": name,
        "version": entry["version"],
        "build": conda["build"],
        "channel": conda.get("channel", "https://conda.example.org/conda-forge/linux-64"),
        "depends": conda.get("depends", []),
        "files": files + conda.get("files", []),
    }
    folder = prefix / "conda-meta"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-{entry['version']}-{conda['build']}.json").write_text(json.dumps(document, indent=2))
