"""pylock.toml (PEP 751): text ⇄ `EnvironmentSpec` (logic module: no files).

Only what names and pins distributions is read; where their files are is left to the installer. What no lock file can hold
(conda packages, single modules) stands in `[tool.wq-package]`, which every other reader passes over.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from wq_package.errors import InvalidSpecError
from wq_package.spec.environment import EnvironmentSpec, WheelRequirement
from wq_package.spec.environment_yml import parse_environment_document

__all__ = ["parse_pylock", "render_pylock"]

_PASSWORD = re.compile(r"(\w+://)[^/@\s\"]+@")
_OURS = ("channels", "dependencies", "local")


def render_pylock(spec: EnvironmentSpec, artefacts: str = "") -> str:
    """Write a spec as a lock file.

    Args:
        spec: the environment; its distributions stand in `artefacts`.
        artefacts: a lock file of the distributions with their files, as an installer writes it.
    """
    lines = ['lock-version = "1.0"', 'created-by = "wq-package"']
    lines += [f"requires-python = {json.dumps(_constrain(spec.python))}"] if spec.python else []
    start = artefacts.find("[[packages]]")
    packages = _PASSWORD.sub(r"\1", artefacts[start:]).rstrip() if start >= 0 else ""
    lines += ["", packages] if packages else ["packages = []"]
    if spec.conda or spec.local:
        lines += ["", *_render_ours(spec)]
    return "\n".join(lines) + "\n"


def _constrain(python: str) -> str:
    """Write a version of Python as a constraint: `3.12` is any 3.12."""
    if python[:1] in "<>=!~":
        return python
    return f"=={python}" if python.count(".") > 1 else f"=={python}.*"


def _render_ours(spec: EnvironmentSpec) -> list[str]:
    lines = ["[tool.wq-package]"] if spec.channels or spec.conda else []
    lines += [f"channels = {json.dumps(spec.channels, ensure_ascii=False)}"] if spec.channels else []
    conda = [requirement.text for requirement in spec.conda]
    lines += [f"dependencies = {json.dumps(conda, ensure_ascii=False)}"] if conda else []
    for source in spec.local:
        fields = {"import": source.import_name, "path": source.path, "digest": source.digest}
        lines += ["", "[[tool.wq-package.local]]"]
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return lines


def parse_pylock(text: str, path: str) -> EnvironmentSpec:
    """Read the pins of a lock file.

    Raises:
        InvalidSpecError: it is not TOML, has another lock version, or packages are malformed; every issue is named.
    """
    import tomllib

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSpecError(path, (f"it is not TOML: {error}",)) from error
    issues = []
    if not str(table.get("lock-version", "")).startswith("1."):
        issues.append(f"lock version `{table.get('lock-version')}` is not known")
    wheels = []
    packages = table.get("packages", [])
    for package in packages if isinstance(packages, list) else []:
        text_or_issue = _read_package(package)
        if isinstance(text_or_issue, WheelRequirement):
            wheels.append(text_or_issue)
        else:
            issues.append(text_or_issue)
    ours = _read_ours(table, issues)
    if issues:
        raise InvalidSpecError(path, tuple(issues), hint="see PEP 751 for the form of a lock file")
    python = str(table.get("requires-python", ""))
    python = python.removeprefix("==").removesuffix(".*") if python.startswith("==") else python
    return replace(ours, python=python or None, wheels=tuple(sorted(wheels)))


def _read_ours(table: dict[str, object], issues: list[str]) -> EnvironmentSpec:
    """Read `[tool.wq-package]`, whose keys are those of an environment.yml."""
    tool = table.get("tool")
    ours = tool.get("wq-package", {}) if isinstance(tool, dict) else {}
    if not isinstance(ours, dict) or set(ours) - set(_OURS):
        issues.append(
            "`[tool.wq-package]` has to be a table with the keys `channels`, `dependencies` and `local`"
        )
        return EnvironmentSpec()
    document: dict[object, object] = {key: ours[key] for key in ("channels", "dependencies") if key in ours}
    try:
        return parse_environment_document({**document, "wq-package": {"local": ours.get("local")}}, "")
    except InvalidSpecError as error:
        issues += error.issues
        return EnvironmentSpec()


def _read_package(package: object) -> WheelRequirement | str:
    if not isinstance(package, dict) or not isinstance(package.get("name"), str):
        return "a package has no `name`"
    name, version, marker = package["name"], package.get("version"), package.get("marker")
    if "directory" in package or "vcs" in package:
        return (
            f"`{name}` comes from a folder or repository, which a spec cannot hold; list it as local source"
        )
    pinned = f"{name}=={version}" if version else name
    return WheelRequirement(f"{pinned}; {marker}" if marker else pinned)
