"""Poncho's JSON: text ⇄ `EnvironmentSpec`, both generations of it (logic module: no files).

The newer one keeps everything under `conda.dependencies`, with `pip` as a mapping in the list; the older one has
`conda.packages` and `pip` beside it. Poncho has no field for local source: it goes under `wq-package`, as in our
environment.yml, and poncho ignores it.
"""

from __future__ import annotations

import json

from wq_package.errors import InvalidSpecError
from wq_package.spec.data_source import describe_data
from wq_package.spec.environment import CondaRequirement, EnvironmentSpec
from wq_package.spec.environment_yml import parse_environment_document, parse_json

__all__ = ["parse_poncho", "render_poncho"]


def render_poncho(spec: EnvironmentSpec, *, old: bool = False) -> str:
    """Write a spec as poncho's JSON; `old` for the generation with `conda.packages`."""
    is_named = any(requirement.name == "python" for requirement in spec.conda)
    python = [CondaRequirement("python", spec.python).text] if spec.python and not is_named else []
    conda: list[object] = [*python, "pip", *(requirement.text for requirement in spec.conda)]
    pip = [wheel.text for wheel in spec.wheels]
    channels = list(spec.channels or ("conda-forge",))
    document: dict[str, object]
    if old:
        document = {"conda": {"channels": channels, "packages": conda}, "pip": pip}
    else:
        document = {"conda": {"channels": channels, "dependencies": [*conda, {"pip": pip}] if pip else conda}}
    if spec.name:
        document["name"] = spec.name
    document |= describe_data(spec.data)
    if spec.variables:
        document["variables"] = dict(spec.variables)
    if spec.local:
        local = [{"import": s.import_name, "path": s.path, "digest": s.digest} for s in spec.local]
        document["wq-package"] = {"local": local}
    return json.dumps(document, indent=2) + "\n"


def parse_poncho(text: str, path: str) -> EnvironmentSpec:
    """Read a spec from poncho's JSON of either generation.

    Raises:
        InvalidSpecError: it is not JSON, or entries are malformed; every issue is named.
    """
    document = parse_json(text, path)
    if not isinstance(document, dict) or not isinstance(document.get("conda", {}), dict):
        raise InvalidSpecError(path, ("the top level has to be a mapping with the key `conda`",))
    conda = document.get("conda", {})
    dependencies = conda.get("dependencies", conda.get("packages", []))
    if not isinstance(dependencies, list):
        raise InvalidSpecError(path, ("`conda.dependencies` has to be a list",))
    if document.get("pip"):
        dependencies = [*dependencies, {"pip": document["pip"]}]
    if document.get("pinned"):
        hint = "pin the packages where they are named, as `name=version`"
        raise InvalidSpecError(path, ("`pinned` is not supported",), hint=hint)
    known: dict[object, object] = {
        "name": document.get("name"),
        "channels": conda.get("channels"),
        "dependencies": dependencies,
        "variables": document.get("variables"),
        "wq-package": _gather_ours(document, path),
    }
    return parse_environment_document(known, path)


def _gather_ours(document: dict[str, object], path: str) -> object:
    ours = document.get("wq-package")
    data = {key: document[key] for key in ("git", "http") if document.get(key)}
    twice = sorted(set(data) & set(ours)) if isinstance(ours, dict) else []
    if twice:
        issues = tuple(f"`{key}` stands at the top level and under `wq-package`" for key in twice)
        raise InvalidSpecError(path, issues, hint="keep one of them, or join what stands under both")
    return {**ours, **data} if isinstance(ours, dict) else ours or data
