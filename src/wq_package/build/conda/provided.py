"""Wheels on top of conda packages: what conda brings stays (logic module).

pip, run in a conda environment, leaves alone what satisfies a requirement and replaces what does not. An archive's conda
packages are never replaced: where pip would, the two lists of the spec contradict each other, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from wq_package.errors import BuildError
from wq_package.spec.environment import canonicalize_name

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = ["explain_unsatisfied", "leave_out_provided", "render_pins"]


def leave_out_provided(requirements: Sequence[str], provided: Mapping[str, str]) -> list[str]:
    """Leave out the requirements that conda's packages satisfy.

    Args:
        requirements: PEP 508 texts.
        provided: version of each distribution that conda brings, by canonical name.

    Raises:
        BuildError: one names a distribution of conda's in a version that conda does not bring.
    """
    if not provided:
        return list(requirements)
    from packaging.requirements import InvalidRequirement, Requirement  # costs 20 ms, and mixed specs are few

    kept = []
    for text in requirements:
        try:
            name = canonicalize_name(Requirement(text).name)
        except InvalidRequirement:
            name = ""
        if name not in provided:
            kept.append(text)
        elif error := explain_unsatisfied([text], provided):
            raise error
    return kept


def explain_unsatisfied(requirements: Iterable[str], provided: Mapping[str, str]) -> BuildError | None:
    """Name the requirements that contradict what conda brings; `None` if none does."""
    from packaging.requirements import Requirement

    issues = []
    for text in requirements:
        requirement = Requirement(text)
        version = provided.get(canonicalize_name(requirement.name))
        if version is not None and not _fits(requirement.specifier, version):
            issues.append(f"conda brings {requirement.name} {version}, and `pip:` needs `{text}`")
    if not issues:
        return None
    hint = "ask for the same version in both lists, or take it from one of them"
    return BuildError("; ".join(dict.fromkeys(issues)), hint=hint)


def _fits(specifier: SpecifierSet, version: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True  # a version that only conda can compare


def render_pins(provided: Mapping[str, str]) -> list[str]:
    """Write what conda brings as pins."""
    return [f"{name}=={version}" for name, version in sorted(provided.items())]
