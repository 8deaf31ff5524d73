"""Source → syntax tree, whatever the source is like (logic module: text or bytes in, tree out).

Knows encodings, over-deep nesting and sources that this Python cannot parse. Knows nothing of imports.
"""

from __future__ import annotations

import ast
import sys
import threading
import warnings
from collections.abc import Callable

from wq_package.errors import SourceSyntaxError
from wq_package.spec.python_text import parse_python

__all__ = ["MAX_PARSED", "is_valid", "parse_loosely", "parse_source"]

MAX_PARSED = 8 * 1024 * 1024
"""How much is parsed at once; a syntax tree has two hundred times the size of its source."""
_DEEP_LIMIT = 400_000
_DEEP_STACK = 512 * 1024 * 1024
_FILTERS_LOCK = threading.Lock()
_DEEP_LOCK = threading.Lock()


def parse_source(source: str | bytes, path: str) -> ast.Module:
    """Parse a program; bytes are decoded as Python does (PEP 263, byte order mark).

    Raises:
        SourceSyntaxError: it is not valid Python, too large, or nested too deeply even for a large stack.
    """
    if len(source) - source.count(b"\n" if isinstance(source, bytes) else "\n") > MAX_PARSED:  # type: ignore[arg-type]  # both are bytes, or both are text
        hint = "move what imports to a file of its own, away from the data; `--keep-going` takes the plain import statements"
        raise SourceSyntaxError(
            path, 0, f"more than {MAX_PARSED >> 20} MB would have to be parsed", hint=hint
        )
    try:
        return _parse(source)
    except SyntaxError as error:
        raise SourceSyntaxError(path, error.lineno or 0, _say(error), hint=_find_hint(error)) from error
    except (ValueError, UnicodeError) as error:
        raise SourceSyntaxError(path, 0, str(error), hint="is this a Python source file?") from error
    except (RecursionError, MemoryError):
        return _parse_deep(source, path)


def _parse(source: str | bytes) -> ast.Module:
    with _FILTERS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the subject's invalid escapes are not this program's warnings
        return parse_python(source)


def is_valid(source: bytes) -> bool:
    """Whether a program is valid Python, at two thirds of the price of its tree."""
    import symtable

    try:
        with _FILTERS_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            symtable.symtable(source, "<source>", "exec")  # type: ignore[arg-type]  # bytes will do, whatever the stubs say
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _say(error: SyntaxError) -> str:
    return (error.msg or "invalid syntax").removesuffix(f" ({error.filename}, line {error.lineno})")


def _find_hint(error: SyntaxError) -> str:
    if "print" in (error.msg or ""):
        return "this looks like Python 2; translate it, or leave it out"
    version = "{}.{}".format(*sys.version_info[:2])
    return f"this is read as Python {version}; `--keep-going` takes the imports that can still be read"


def _parse_deep(source: str | bytes, path: str) -> ast.Module:
    """Parse again with a large stack: generated code may nest thousands of operators."""
    try:
        return _run_deep(lambda: _parse(source))
    except (RecursionError, MemoryError, SyntaxError) as error:
        hint = "split the expression, or leave the file out"
        raise SourceSyntaxError(path, 0, "the program is nested too deeply to be read", hint=hint) from error


def _run_deep(function: Callable[[], ast.Module]) -> ast.Module:
    """Run a function in a thread that may recurse deeply, and pass on what it returns or raises."""
    results: list[ast.Module] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - handed over to the caller's thread
            errors.append(error)

    with (
        _DEEP_LOCK
    ):  # both limits belong to the whole process: one at a time may change them and put them back
        old_limit, old_stack = sys.getrecursionlimit(), threading.stack_size(_DEEP_STACK)
        try:
            sys.setrecursionlimit(_DEEP_LIMIT)
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        finally:
            sys.setrecursionlimit(old_limit)
            threading.stack_size(old_stack)
    if errors:
        raise errors[0]
    return results[0]


def parse_loosely(source: str) -> ast.Module:
    """Keep the import statements of a program that cannot be parsed; their nesting is lost, their lines are not."""
    body: list[ast.stmt] = []
    lines = source.splitlines()
    for number, line in enumerate(lines):
        text = line.strip()
        if not text.startswith(("import ", "from ")):
            continue
        for end in range(number + 1, min(number + 200, len(lines)) + 1):
            statement = "\n".join([text, *lines[number + 1 : end]])
            if statement.count("(") <= statement.count(")") and not statement.endswith("\\"):
                break
        else:
            continue
        body += _parse_statement(statement, number)
    return ast.Module(body=body, type_ignores=[])


def _parse_statement(statement: str, number: int) -> list[ast.stmt]:
    try:
        parsed = _parse(statement)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    for node in parsed.body:
        ast.increment_lineno(node, number)
    return [node for node in parsed.body if isinstance(node, ast.Import | ast.ImportFrom)]
