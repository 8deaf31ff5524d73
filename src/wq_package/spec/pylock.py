"""pylock.toml (PEP 751): text ⇄ `EnvironmentSpec` (logic module: no files).

Only what names and pins distributions is read and written; where their files are is left to the installer.
"""

from __future__ import annotations

import json

from wq_package.errors import InvalidSpecError
from wq_package.spec.environment import EnvironmentSpec, WheelRequirement

__all__ = ["parse_pylock", "render_pylock"]


def render_pylock(spec: EnvironmentSpec) -> str:
    """Write the distributions of a spec as a lock file; what is not pinned has no `version`."""
    lines = ['lock-version = "1.0"', 'created-by = "wq-package"']
    if spec.python:
        lines.append(f"requires-python = {json.dumps(f'=={spec.python}')}")
    for wheel in spec.wheels:
        lines += ["", "[[packages]]", f"name = {json.dumps(wheel.canonical_name)}"]
        lines += [f"version = {json.dumps(wheel.version)}"] if wheel.version else []
        lines += [
            f"marker = {json.dumps(marker)}" for marker in [wheel.text.partition(";")[2].strip()] if marker
        ]
    for source in spec.local:
        lines += ["", "[[packages]]", f"name = {json.dumps(source.import_name)}"]
        lines += ["[packages.directory]", f"path = {json.dumps(source.path)}"]
    return "\n".join(lines) + "\n"


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
    if issues:
        raise InvalidSpecError(path, tuple(issues), hint="see PEP 751 for the form of a lock file")
    python = str(table.get("requires-python", "")).removeprefix("==") or None
    return EnvironmentSpec(python=python, wheels=tuple(sorted(wheels)))


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
