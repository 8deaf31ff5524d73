"""requirements.txt: text ⇄ requirements (logic module: no files; what `-r` names is for the caller to read).

Knows pip's file format as far as it says what to install. Options that only say where to install from are left to the
installer's own configuration and are ignored here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wq_package.errors import InvalidSpecError
from wq_package.spec.environment import EnvironmentSpec, WheelRequirement

__all__ = ["RequirementsFile", "find_requirement_issue", "parse_requirements_txt", "render_requirements_txt"]

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--(?:hash|config-settings|global-option)[=\s]\S+")
_IGNORED = re.compile(
    r"^(-i|--index-url|--extra-index-url|-f|--find-links|--no-index|--pre|--prefer-binary|--trusted-host"
    r"|--only-binary|--no-binary|--require-hashes|--use-feature)\b"
)
_INCLUDED = re.compile(r"^(?:-r|--requirement)[\s=]+(\S+)$")
_CONSTRAINTS = re.compile(r"^(?:-c|--constraint)\b")
# A specification that analysis wrote has nothing else, and packaging costs 40 ms to import.
_PIN = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?==\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class RequirementsFile:
    """What one requirements file says; `included` are the files it names with `-r`."""

    wheels: tuple[WheelRequirement, ...] = ()
    included: tuple[str, ...] = ()


def find_requirement_issue(text: str) -> str | None:
    """Say what is wrong with a PEP 508 requirement, or `None` if it is well formed."""
    if _PIN.fullmatch(text):
        return None
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        Requirement(text)
    except InvalidRequirement as error:
        return f"`{text}` is not a requirement: {str(error).splitlines()[0]}"
    return None


def parse_requirements_txt(text: str, path: str) -> RequirementsFile:
    """Read a requirements file.

    Raises:
        InvalidSpecError: lines are malformed, or ask for something that a spec cannot hold; every issue is named.
    """
    wheels: list[WheelRequirement] = []
    included: list[str] = []
    issues: list[str] = []
    for number, line in _iter_logical_lines(text):
        found = _INCLUDED.match(line)
        if found:
            included.append(found.group(1))
        elif _IGNORED.match(line):
            continue
        elif line.startswith("-"):
            issues.append(f"line {number}: `{line}` {_explain_option(line)}")
        else:
            issue = find_requirement_issue(line)
            issues += [f"line {number}: {issue}"] if issue else []
            wheels += [] if issue else [WheelRequirement(line)]
    if issues:
        hint = "give one distribution a line, for example `numpy==2.4.6`"
        raise InvalidSpecError(path, tuple(issues), hint=hint)
    return RequirementsFile(tuple(wheels), tuple(included))


def _explain_option(line: str) -> str:
    if line.startswith(("-e", "--editable")):
        return "is an editable install; list it as local source in an environment.yml"
    if _CONSTRAINTS.match(line):
        return "names constraints; write the versions in the requirements themselves"
    return "is not an option that a spec can hold"


def _iter_logical_lines(text: str) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    pending, start = "", 0
    for number, raw in enumerate(text.removeprefix("\N{BYTE ORDER MARK}").splitlines(), 1):
        start = start if pending else number
        pending += raw.rstrip()
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        lines.append((start, pending))
        pending = ""
    lines.append((start, pending))
    tidy = ((number, _HASH.sub("", _COMMENT.sub("", line)).strip()) for number, line in lines)
    return [(number, line) for number, line in tidy if line]


def render_requirements_txt(spec: EnvironmentSpec) -> str:
    """Write the distributions of a spec as a requirements file; conda packages cannot be written and are left out."""
    lines = [f"# Python {spec.python}"] if spec.python else []
    lines += [wheel.text for wheel in spec.wheels]
    lines += [f"# not from the package index: {requirement.text}" for requirement in spec.conda]
    lines += [f"# local source: {source.import_name} ({source.path})" for source in spec.local]
    return "\n".join(lines) + "\n"
