"""What an app needs: its spec, from its source where there is one, from its bytecode where there is not (logic module).

Knows functions and the analysis; knows nothing of builds or tasks. Runs nothing of the user's.
"""

from __future__ import annotations

import contextlib
import dis
import importlib.util
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Protocol

from wq_package.analyze import Analysis, AnalyzeOptions, analyze_app, analyze_imports
from wq_package.analyze.analysis import ImportKind, Origin, Severity
from wq_package.errors import AppNotFoundError
from wq_package.executor.bindings import iter_functions
from wq_package.executor.functions import is_users
from wq_package.executor.shipments import AppKey
from wq_package.spec.environment import EnvironmentSpec

__all__ = ["Analyzer", "Needs", "SourceAnalyzer", "list_imports", "merge_specs"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What an app needs to run elsewhere.

    Attributes:
        imports: third-party modules to import before its first call.
        problems: sentences about imports that could not be resolved; whoever runs into them is told then.
        suggestions: sentences about what the source shows that it may need, and no import says.
    """

    spec: EnvironmentSpec
    imports: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()


class Analyzer(Protocol):
    """Finds out what an app needs."""

    def find_needs(self, roots: Sequence[FunctionType], key: AppKey) -> Needs:
        """Find it for the user's functions of one app."""


class SourceAnalyzer:
    """Asks `wq_package.analyze`, function by function.

    Args:
        extra: further requirements for every environment.
        parsl: the requirement that stands for the Parsl of this process.
    """

    def __init__(self, extra: Sequence[str], parsl: str) -> None:
        self._extra = (*extra, "cloudpickle")
        self._parsl = parsl

    def find_needs(self, roots: Sequence[FunctionType], key: AppKey) -> Needs:
        """Find what an app needs.

        An import that cannot be resolved stands in no app's way until the app gets there.

        Raises:
            AnalysisError: its source cannot be read.
        """
        extra = (*self._extra, self._parsl) if key.needs_parsl else self._extra
        options = AnalyzeOptions(extra=extra, keep_going=True)
        analyses = [self._analyze_root(root, options) for root in roots]
        modules = [name for name in key.modules if not _is_parsl(name) or not key.needs_parsl]
        if modules or not analyses:
            analyses.append(analyze_imports(modules, options))
        spec = merge_specs(analysis.spec for analysis in analyses)
        imports = {name for analysis in analyses for name in _list_eager(analysis)}
        return Needs(
            spec,
            tuple(sorted(imports)),
            tuple(dict.fromkeys(_iter_problems(analyses))),
            tuple(dict.fromkeys(_iter_suggestions(analyses))),
        )

    def _analyze_root(self, root: FunctionType, options: AnalyzeOptions) -> Analysis:
        path = Path(root.__code__.co_filename)
        # Code of an installed package is not the user's project, although it has a file.
        if path.suffix in (".py", ".pyw") and path.is_file() and is_users(root.__module__, str(path)):
            with contextlib.suppress(AppNotFoundError):  # the file has changed since it was loaded
                # The code's own name: `functools.wraps` gives a wrapper the name of what it wraps.
                return analyze_app(
                    path.resolve(), root.__code__.co_firstlineno, root.__code__.co_name, options
                )
        return analyze_imports(list_imports(root), options)


def _iter_problems(analyses: Iterable[Analysis]) -> Iterable[str]:
    for analysis in analyses:
        for problem in analysis.problems:
            if problem.severity is Severity.ERROR:
                yield say_parameters(f"{problem} ({problem.hint})" if problem.hint else str(problem))


def _iter_suggestions(analyses: Sequence[Analysis]) -> Iterable[str]:
    taken = {entry.name for analysis in analyses for entry in analysis.distributions}
    for analysis in analyses:
        for each in analysis.suggestions:
            if each.candidates and not taken & set(each.candidates):
                names = " or ".join(f"`{name}`" for name in each.candidates)
                wanted = (each.installed or each.candidates)[0]
                yield f"{each.location}: {each.text} {names}; to take it along: `extra_pkgs=['{wanted}']`"


def say_parameters(text: str) -> str:
    """Name the executor's parameters in place of the command line's options."""
    for pattern, words in _OPTIONS:
        text = pattern.sub(words, text)
    return text


_OPTIONS = (
    (
        re.compile(r", name it with `--map IMPORT=DISTRIBUTION`, or use `--keep-going`"),
        ", or name it in `extra_pkgs`",
    ),
    (re.compile(r"`--(?:extra|map) (?:[\w.]+=)?([\w.-]+)`"), r"`extra_pkgs=['\1']`"),
    (re.compile(r"; `--keep-going` takes [^;]*$"), ""),
    (re.compile(r"`--(?:extra|map)`"), "`extra_pkgs`"),
)
"""Hints of the analysis are written for its command line."""


def _is_parsl(module: str) -> bool:
    return module.partition(".")[0] == "parsl"


def _list_eager(analysis: Analysis) -> set[str]:
    """List what is worth importing ahead: third-party modules that the app cannot do without."""
    return {
        use.module
        for use in analysis.imports
        if use.is_used and use.kind is ImportKind.REQUIRED and use.origin is Origin.THIRD_PARTY
    }


def merge_specs(specs: Iterable[EnvironmentSpec]) -> EnvironmentSpec:
    """Put together specs that were made from one installed environment, and so agree where they overlap."""
    merged: EnvironmentSpec | None = None
    for spec in specs:
        merged = spec if merged is None else _merge_two(merged, spec)
    return EnvironmentSpec() if merged is None else replace(merged, name=None)


def _merge_two(one: EnvironmentSpec, other: EnvironmentSpec) -> EnvironmentSpec:
    return replace(
        one,
        python=one.python or other.python,
        channels=tuple(dict.fromkeys((*one.channels, *other.channels))),
        conda=tuple(sorted({*one.conda, *other.conda})),
        wheels=tuple(sorted({*one.wheels, *other.wheels})),
        local=tuple(sorted({*one.local, *other.local})),
    )


# -- functions without a source file -------------------------------------------------------------------------------------


def list_imports(function: FunctionType) -> tuple[str, ...]:
    """List the modules that a function imports when it runs or finds among its globals, from its bytecode."""
    names: set[str] = set()
    _collect(function, names, set())
    return tuple(sorted(names))


def _collect(function: FunctionType, names: set[str], seen: set[int]) -> None:
    if id(function) in seen:
        return
    seen.add(id(function))
    package = function.__globals__.get("__package__") or ""
    for code in _iter_codes(function.__code__):
        names.update(_iter_import_names(code, package))
        for name in code.co_names:
            value = function.__globals__.get(name)
            if isinstance(value, ModuleType):
                names.add(value.__name__)
            for called in iter_functions(value, function.__globals__):
                _collect(called, names, seen)


def _iter_codes(code: CodeType) -> Iterable[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _iter_codes(constant)


def _iter_import_names(code: CodeType, package: str) -> Iterable[str]:
    """Yield what is imported, made absolute: `LOAD_CONST level; LOAD_CONST names; IMPORT_NAME module`."""
    level: object = 0
    previous: object = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            depth = level if isinstance(level, int) else 0
            yield importlib.util.resolve_name("." * depth + str(instruction.argval or ""), package)
        level, previous = previous, instruction.argval
