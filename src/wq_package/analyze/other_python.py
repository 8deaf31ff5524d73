"""Whether what is installed here can serve another version of Python (shell module: reads installed metadata).

Knows `Requires-Python`, the tags of wheels and the builds of conda packages. Cannot know which wheels an index has: a version
that is compiled here may or may not be there for another Python, and that is told.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator

from wq_package.analyze.analysis import Problem, Severity
from wq_package.analyze.closure import Pin
from wq_package.analyze.installed import Installed
from wq_package.analyze.target import Target

__all__ = ["find_python_problems"]

_BUILD = re.compile(r"py(3)(\d+)")
_TAG = re.compile(r"^Tag: (\S+?)-(\S+)-\S+$", re.MULTILINE)


def find_python_problems(pins: Iterable[Pin], installed: Installed, target: Target) -> Iterator[Problem]:
    """Tell which pins cannot, or may not, be had for the target, if that is not the Python that runs."""
    if target.is_running:
        return
    wanted = "{}.{}".format(*target.version[:2])
    hint = f"analyse in an environment of Python {wanted}, or name one with `--path`"
    compiled = []
    for pin in pins:
        reason = _find_refusal(pin, installed, target)
        if reason:
            yield Problem(Severity.ERROR, f"`{pin.requirement}` {reason}, not Python {wanted}", hint=hint)
        elif pin.conda is None and _is_of_this_python(pin, installed):
            compiled.append(f"`{pin.name}`")
    if compiled:
        here = "{}.{}".format(*sys.version_info[:2])
        text = f"compiled here for Python {here}, in versions that may not exist for {wanted}: {', '.join(compiled)}"
        yield Problem(Severity.WARNING, text, hint=hint)


def _find_refusal(pin: Pin, installed: Installed, target: Target) -> str:
    """Say why a pin cannot be had for the target, or nothing if it may be."""
    build = _BUILD.search(pin.conda.build) if pin.conda and pin.conda.build else None
    if build and (int(build[1]), int(build[2])) != target.version[:2]:
        return f"is built for Python {build[1]}.{build[2]}"
    if pin.distribution is None:
        return ""
    accepted = installed.read_metadata(pin.distribution).requires_python
    return f"is for Python {accepted}" if accepted and not _accepts(accepted, target) else ""


def _accepts(accepted: str, target: Target) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    version = (
        target.python if target.python.count(".") > 1 else f"{target.python}.99"
    )  # any of that minor version
    try:
        return SpecifierSet(accepted).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True  # what nobody can read excludes nothing


def _is_of_this_python(pin: Pin, installed: Installed) -> bool:
    """Whether the installed wheel has compiled code for one version of Python."""
    if pin.distribution is None:
        return False
    tags = _TAG.findall(installed.read_wheel(pin.distribution))
    return bool(tags) and all(python.startswith("cp") and abi not in ("abi3", "none") for python, abi in tags)
