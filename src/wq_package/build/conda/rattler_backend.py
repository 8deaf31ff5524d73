"""Solve conda requirements and fetch conda packages, through py-rattler in a child process (shell module).

Knows how the child is started, asked and heard. What it does stands in `rattler_child.py`; what its errors mean, in
`wq_package.build.conda.failures`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from wq_package.build.conda.channels import is_local
from wq_package.build.conda.failures import ChildError, explain_fetch, explain_solve, select_record
from wq_package.build.conda.records import CondaRecord, parse_record
from wq_package.build.options import Reporter
from wq_package.errors import BackendFailedError, BackendNotFoundError, BuildError
from wq_package.programs import start_program
from wq_package.spec.environment import CondaRequirement

__all__ = ["RattlerBackend", "SolveRequest"]

_CHILD = Path(__file__).parent / "rattler_child.py"


@dataclass(frozen=True, slots=True)
class SolveRequest:
    """What an environment is to hold.

    Attributes:
        channels: URLs, the most important first.
        specs: match specs as conda writes them: `numpy=2.4.6=py311h1234567_0`.
        subdir: the platform: `linux-64`.
        wished: match specs to add if there is a solution with them.
        priority: `strict`: a package comes only from the first channel that has it; `flexible`: others are tried when
            there is no solution otherwise; `disabled`: channels are all alike.
    """

    channels: tuple[str, ...]
    specs: tuple[str, ...]
    subdir: str
    wished: tuple[str, ...] = ()
    priority: str = "strict"


class RattlerBackend:
    """Asks py-rattler, one child process for each question.

    Args:
        root: a folder of the cache, for packages and for what channels say; made when needed.
        offline: use what is in `root` and on this machine only.
    """

    def __init__(self, root: Path, *, offline: bool = False) -> None:
        self._root = root
        self._offline = offline

    def solve(self, request: SolveRequest) -> tuple[CondaRecord, ...]:
        """Find the packages that satisfy a request, sorted by name.

        Raises:
            BuildError: there is no solution, or a channel cannot be reached.
        """
        try:
            return self._solve(request)
        except ChildError as error:
            loose = self._find_loose_solution(request, error)
            raise explain_solve(
                error, request.channels, request.specs, loose, offline=self._offline
            ) from error

    def _solve(self, request: SolveRequest) -> tuple[CondaRecord, ...]:
        asked = {"specs": request.specs, "wished": request.wished, "priority": request.priority}
        answer = self._ask_channels("solve", request.channels, request.subdir, asked)
        return tuple(sorted(map(parse_record, answer), key=lambda record: record.name))

    def _ask_channels(
        self, operation: str, channels: Sequence[str], subdir: str, more: Mapping[str, object]
    ) -> list[dict[str, Any]]:
        # What a local channel says is read anew each time: it may have changed, and costs nothing.
        offline = self._offline and not all(map(is_local, channels))
        request = {
            "operation": operation,
            "channels": channels,
            "subdir": subdir,
            "cache": str(self._root / "channels"),
            "offline": offline,
        }
        answer: list[dict[str, Any]] = _ask({**request, **more})
        return answer

    def find(
        self, channels: Sequence[str], subdir: str, wanted: Mapping[CondaRequirement, str]
    ) -> tuple[CondaRecord, ...]:
        """Find exactly these packages, sorted by name, without solving.

        Args:
            channels: URLs, the most important first.
            subdir: the platform: `linux-64`.
            wanted: sha256 of each package, or nothing where it is not known.

        Raises:
            BuildError: a channel cannot be reached, or has no such package, or another one of the same name.
        """
        names = sorted({requirement.name for requirement in wanted})
        try:
            answer = self._ask_channels("find", channels, subdir, {"names": names})
        except ChildError as error:
            specs = [requirement.text for requirement in wanted]
            raise explain_solve(error, channels, specs, (), offline=self._offline) from error
        records = tuple(map(parse_record, answer))
        found = tuple(select_record(records, *each, channels) for each in wanted.items())
        return tuple(sorted(found, key=lambda record: record.name))

    def _find_loose_solution(self, request: SolveRequest, error: ChildError) -> tuple[CondaRecord, ...]:
        """Try without priorities, to tell whether mixed channels are what stands in the way."""
        if error.kind != "SolverError" or request.priority == "disabled" or len(request.channels) < 2:
            return ()
        try:
            return self._solve(replace(request, wished=(), priority="disabled"))
        except ChildError:
            return ()

    def fetch(self, records: Sequence[CondaRecord], reporter: Reporter) -> tuple[Path, ...]:
        """Download, verify and extract packages; return the folder of each, in order.

        Raises:
            BuildError: a package cannot be had, or is not what the channel said.
        """
        folder = self._root / "packages"
        known = [folder / record.sha256 for record in records]
        if all(record.sha256 for record in records) and all(path.is_dir() for path in known):
            return tuple(known)
        self._refuse_downloads(records, known)
        folder.mkdir(parents=True, exist_ok=True)
        reporter.start("fetching conda packages", len(records))
        packages = [{"url": each.url, "sha256": each.sha256, "md5": each.md5} for each in records]
        try:
            answer = _ask({"operation": "fetch", "packages": packages, "folder": str(folder)}, reporter)
        except ChildError as error:
            raise explain_fetch(error, records) from error
        finally:
            reporter.done()
        return tuple(folder / digest for digest in answer)

    def _refuse_downloads(self, records: Sequence[CondaRecord], folders: Sequence[Path]) -> None:
        needed = [
            f"`{record.stem}`"
            for record, folder in zip(records, folders, strict=True)
            if not is_local(record.url) and not (record.sha256 and folder.is_dir())
        ]
        if self._offline and needed:
            hint = "build without --offline once"
            raise BuildError(f"conda packages are not in the cache: {', '.join(needed)}", hint=hint)


def _ask(request: dict[str, object], reporter: Reporter | None = None) -> Any:
    _require_rattler()
    # -P: the child's own folder must not be searched for imports; -s: nor the user's.
    command = (sys.executable, "-P", "-s", str(_CHILD))
    with tempfile.TemporaryFile() as said:
        with start_program(command, stderr=said) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            with suppress(BrokenPipeError):  # it ended while it started: what it said tells why
                child.stdin.write(json.dumps(request).encode() + b"\n")
                child.stdin.flush()
            answer = _read_answer(child.stdout, reporter)
        if answer is None:
            said.seek(0)
            output = said.read()[-2000:].decode("utf-8", "replace")
            raise BackendFailedError(
                command, child.returncode, output, summary=f"py-rattler failed: {output.strip()}"
            )
    if "error" in answer:
        raise ChildError(answer["error"])
    return answer["result"]


def _require_rattler() -> None:
    if importlib.util.find_spec("rattler") is None:
        hint = "install it: `python -m pip install 'wq-package[conda]'`"
        raise BackendNotFoundError("py-rattler", (f"the packages of {sys.executable}",), hint=hint)


def _read_answer(lines: IO[bytes], reporter: Reporter | None) -> dict[str, Any] | None:
    """Read until the answer comes; `None` if the child ends without one. Its exit code says nothing."""
    for answer in _iter_answers(lines):
        if "progress" not in answer:
            return answer
        if reporter is not None:
            reporter.advance(answer["progress"])
    return None


def _iter_answers(lines: IO[bytes]) -> Iterable[dict[str, Any]]:
    for line in lines:
        yield json.loads(line)
