"""An analysis as text: every format that `wq-package analyze` writes (logic module).

Knows which renderer makes which format, and the versioned JSON that says everything. Prints nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from wq_package.analyze.analysis import Analysis, Distribution, ImportUse, Location, Problem, Suggestion
from wq_package.spec.environment import EnvironmentSpec
from wq_package.spec.files import make_relative, render_environment_yml

__all__ = ["FORMATS", "JSON_VERSION", "render_analysis"]

FORMATS = ("conda", "poncho", "poncho-old", "requirements", "pylock", "json")
JSON_VERSION = 1


def render_analysis(analysis: Analysis, form: str, base: Path | None = None, artefacts: str = "") -> str:
    """Write an analysis in one of `FORMATS`.

    Args:
        analysis: what was found out.
        form: the format.
        base: the folder that paths of local source become relative to.
        artefacts: for `pylock`, a lock file of the analysis' distributions with their files: only an index knows them.
    """
    spec = analysis.spec
    if form == "conda":
        return render_environment_yml(spec, base)
    if base is not None:
        spec = replace(spec, local=tuple(make_relative(source, base) for source in spec.local))
    if form == "json":
        return _render_json(_describe(analysis, spec))
    return _render_other(spec, form, artefacts)


def _render_json(document: Mapping[str, object]) -> str:
    """Write a document with a line for each entry of its lists: fast, and fit for `grep` and `diff`."""
    fields = []
    for key, value in document.items():
        if isinstance(value, list) and value:
            entries = ",\n".join(f"    {json.dumps(entry, ensure_ascii=False)}" for entry in value)
            fields.append(f"  {json.dumps(key)}: [\n{entries}\n  ]")
        else:
            fields.append(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _render_other(spec: EnvironmentSpec, form: str, artefacts: str) -> str:
    if form == "requirements":
        from wq_package.spec.requirements_txt import render_requirements_txt

        return render_requirements_txt(spec)
    if form == "pylock":
        from wq_package.spec.pylock import render_pylock

        return render_pylock(spec, artefacts)
    from wq_package.spec.poncho import render_poncho

    return render_poncho(spec, old=form == "poncho-old")


def _describe(analysis: Analysis, spec: EnvironmentSpec) -> dict[str, object]:
    return {
        "version": JSON_VERSION,
        "python": spec.python,
        "name": spec.name,
        "channels": list(spec.channels),
        "conda": [requirement.text for requirement in spec.conda],
        "wheels": [wheel.text for wheel in spec.wheels],
        "local": [{"import": s.import_name, "path": s.path, "digest": s.digest} for s in spec.local],
        "apps": [{"name": a.name, "kind": a.kind.value, **_place(a.location)} for a in analysis.apps],
        "imports": [_describe_import(use) for use in analysis.imports],
        "distributions": [_describe_distribution(entry) for entry in analysis.distributions],
        "problems": [_describe_problem(problem) for problem in analysis.problems],
        "suggestions": [_describe_suggestion(suggestion) for suggestion in analysis.suggestions],
    }


def _place(location: Location | None) -> dict[str, object]:
    if location is None:
        return {}
    return {"file": location.path, "line": location.line, "column": location.column}


def _describe_import(use: ImportUse) -> dict[str, object]:
    return {
        "module": use.module,
        "name": use.name,
        "kind": use.kind.value,
        "origin": use.origin.value,
        "distributions": list(use.distributions),
        "used": use.is_used,
        "note": use.note,
        **_place(use.location),
    }


def _describe_distribution(entry: Distribution) -> dict[str, object]:
    return {
        "name": entry.name,
        "version": entry.version,
        "requirement": entry.requirement,
        "resolver": entry.resolver.value,
        "detail": entry.detail,
        "imported_at": [_place(location) for location in entry.imported_at],
        "required_by": list(entry.required_by),
    }


def _describe_problem(problem: Problem) -> dict[str, object]:
    return {
        "severity": problem.severity.value,
        "text": problem.text,
        "hint": problem.hint,
        **_place(problem.location),
    }


def _describe_suggestion(suggestion: Suggestion) -> dict[str, object]:
    return {
        "text": suggestion.text,
        "candidates": list(suggestion.candidates),
        "installed": list(suggestion.installed),
        **_place(suggestion.location),
    }
