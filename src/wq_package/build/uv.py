"""Run uv: find it, resolve, install, and say in one sentence what went wrong (shell module).

Knows uv's command line and the words of its errors. Knows nothing of layers. Credentials and the cache are uv's own business;
its settings hold here as anywhere, and pip's where it has none: `wq_package.build.indexes`.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wq_package.build.index_files import load_uv_settings
from wq_package.build.indexes import Indexes
from wq_package.errors import (
    BackendFailedError,
    BackendNotFoundError,
    BuildError,
    DiskFullError,
    hide_credentials,
)
from wq_package.programs import run_program
from wq_package.spec.environment import WheelRequirement

__all__ = [
    "Access",
    "explain_failure",
    "find_python",
    "find_python_folder",
    "find_uv",
    "install_wheels",
    "list_artefacts",
    "resolve_requirements",
]

_LOG = logging.getLogger(__name__)

_NO_NETWORK = re.compile(
    r"Failed to fetch|error sending request|dns error|tcp connect error|timed out|tls handshake",
    re.IGNORECASE,
)
_NO_VERSION = re.compile(r"there (?:is|are) no versions? of (\S+?)(?:,| and)")
_NO_PROJECT = re.compile(r"Because (\S+) was not found in the package registry")
_NOT_IN_LINKS = re.compile(r"Because (\S+) was not found in the provided package locations")
_NO_WHEEL = re.compile(r"Because (\S+) has no (?:usable )?wheels|has no wheels with a matching")
_OFFLINE = re.compile(r"network was disabled|Network connectivity is disabled", re.IGNORECASE)
_NOT_BUILT = re.compile(
    r"Failed to (?:build|download and build) `([^`]+)`|build backend returned an error", re.IGNORECASE
)
_OTHER_HASH = re.compile(
    r"Hash mismatch for `([^`]+)`\s+Expected:\s+sha256:([0-9a-f]+)\s+Computed:\s+sha256:([0-9a-f]+)"
)
_NO_LIST = re.compile(r"Received some unexpected \w+ from `([^`]+)`", re.IGNORECASE)
_STATUS = re.compile(r"HTTP status (?:client|server) error \((\d+[^)]*)\) for url \(([^)\s]+)\)")
_NO_ARCHIVE = re.compile(r"Failed to extract archive: (\S+)")
_DAMAGED = re.compile(
    r"Because\s+(?:only\s+)?(\S+?)==\S+\s+has\s+(?:an\s+invalid\s+package\s+format|(?:invalid|inconsistent)\s+metadata)"
)
_URL = re.compile(r"https?://[^\s`]+")


@dataclass(frozen=True, slots=True)
class Access:
    """How uv gets at distributions.

    Attributes:
        indexes: where to look, beside the settings of uv and pip.
        offline: use uv's cache only.
        fresh: ask the index again, whatever the cache says.
        platform: uv's name of the machines that wheels are for, if not those like this one; nothing is built then.
    """

    indexes: Indexes = field(default_factory=Indexes)
    offline: bool = False
    fresh: bool = False
    platform: str = ""


def find_uv() -> str:
    """Find uv: the one that was installed with this package, else the one on PATH."""
    try:
        import uv  # may be missing where a distributor has left it to the system

        return os.fspath(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        return _find_uv_on_path()


def _find_uv_on_path() -> str:
    program = shutil.which("uv")
    if program is None:
        tried = ("the Python package `uv`", "PATH")
        raise BackendNotFoundError("uv", tried, hint="install it: `python -m pip install uv`")
    return program


def find_python(version: str) -> str | None:
    """Ask uv for an installed Python of a version; `None` if it knows none."""
    try:
        command = (find_uv(), "python", "find", "--offline", "--no-project", "--system", version)
    except BackendNotFoundError:
        return None
    asked = run_program(command)
    return asked.stdout.strip() if asked.returncode == 0 else None


def find_python_folder() -> Path | None:
    """Ask uv where it keeps its Pythons, each in a folder such as `cpython-3.12.4-linux-aarch64-gnu`."""
    try:
        asked = run_program((find_uv(), "python", "dir"))
    except (BackendNotFoundError, OSError):
        return None
    return Path(asked.stdout.strip()) if asked.returncode == 0 and asked.stdout.strip() else None


def resolve_requirements(
    requirements: Sequence[str],
    python: str,
    staging: Path,
    *,
    preferred: Sequence[str] = (),
    provided: Sequence[str] = (),
    access: Access | None = None,
) -> tuple[str, ...]:
    """Resolve requirements to exact pins of everything that they need.

    Args:
        requirements: PEP 508 texts.
        python: the interpreter that they are for.
        staging: an existing folder for the resolver's files.
        preferred: pins to keep where they fit, for example what is installed.
        provided: names that are there already: neither they nor what they require is resolved.
        access: where to look.
    """
    access = access or Access()
    asked, answer = staging / "requirements.in", staging / "requirements.txt"
    asked.write_text("\n".join(requirements) + "\n", encoding="utf-8")
    answer.write_text("".join(f"{pin}\n" for pin in preferred), encoding="utf-8")
    options = (
        "--no-header",
        "--no-annotate",
        "--no-strip-extras",
        "--no-emit-index-url",
        "--no-emit-find-links",
    )
    # A requirement whose marker never holds is how uv is told to leave a distribution out.
    overrides = staging / "overrides.txt"
    overrides.write_text("".join(f'{name} ; python_version < "0"\n' for name in provided), encoding="utf-8")
    where = ("--python", python, "--output-file", str(answer), *(("--offline",) if access.offline else ()))
    left_out = ("--overrides", str(overrides)) if provided else ()
    _run((find_uv(), "pip", "compile", "--quiet", *options, *left_out, *where, str(asked)), access)
    lines = (line.strip() for line in answer.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith(("#", "-")))


def install_wheels(
    requirements: Sequence[str],
    python: str,
    prefix: Path,
    access: Access | None = None,
    hashes: Mapping[str, str] | None = None,
) -> None:
    """Install exactly these distributions, without what they require, below a folder of its own.

    Args:
        requirements: pins.
        python: the interpreter that they are for.
        prefix: a folder that becomes a prefix (`lib/pythonX.Y/site-packages`, `bin`).
        access: where to look.
        hashes: sha256 that a distribution's wheel must have, by canonical name.
    """
    access = access or Access()
    prefix.mkdir(parents=True, exist_ok=True)
    listed = prefix / "requirements.txt"
    listed.write_text("".join(_render_pins(requirements, hashes or {})), encoding="utf-8")
    options = ("--no-deps", "--link-mode", "hardlink", "--no-compile-bytecode", "--break-system-packages")
    where = ("--python", python, "--prefix", str(prefix))
    more = (*(("--offline",) if access.offline else ()), *(("--refresh",) if access.fresh else ()))
    _run((find_uv(), "pip", "install", "--quiet", *options, *where, *more, "-r", str(listed)), access)


def _render_pins(requirements: Sequence[str], hashes: Mapping[str, str]) -> Iterator[str]:
    for text in requirements:
        digest = hashes.get(WheelRequirement(text).canonical_name)
        yield f"{text} --hash=sha256:{digest}\n" if digest else f"{text}\n"


def list_artefacts(
    requirements: Sequence[str], python: str, staging: Path, access: Access, version: str = ""
) -> str:
    """Ask which files of some pins fit; returns the text of a pylock file.

    Args:
        requirements: the pins.
        python: the interpreter that asks.
        staging: an existing folder for the answer.
        access: where to look.
        version: of the Python that they are for, if not that interpreter's.
    """
    asked, answer = staging / "pins.in", staging / "pylock.toml"
    asked.write_text("\n".join(requirements) + "\n", encoding="utf-8")
    where = ("--python", python, "--output-file", str(answer), *(("--refresh",) if access.fresh else ()))
    options = ("--format", "pylock.toml", "--no-deps", "--no-header")
    more = (*(("--offline",) if access.offline else ()), *(("--python-version", version) if version else ()))
    _run((find_uv(), "pip", "compile", "--quiet", *options, *where, *more, str(asked)), access)
    return answer.read_text(encoding="utf-8")


def _run(command: tuple[str, ...], access: Access) -> None:
    settings, options = load_uv_settings(access.indexes)
    target = ("--python-platform", access.platform, "--only-binary", ":all:") if access.platform else ()
    command = (*command[:3], *options, *target, *command[3:])
    # Without a network, uv's own three retries take 13 s to say so.
    variables = {"UV_HTTP_RETRIES": "1", **settings, "NO_COLOR": "1", "UV_PYTHON_DOWNLOADS": "never"}
    try:
        ended = run_program(command, environ=variables)
    except OSError as error:
        raise BackendFailedError(command, -1, str(error), hint="check that uv can be run") from error
    if ended.returncode:
        raise explain_failure(command, ended.returncode, ended.stderr)


def explain_failure(command: tuple[str, ...], exit_code: int, output: str) -> BuildError:
    """Turn what uv printed into an error of one sentence with a hint."""
    output = hide_credentials(output)
    _LOG.info("%s ended with %d:\n%s", hide_credentials(" ".join(command)), exit_code, output)
    words = _find_reason(output)
    if os.strerror(errno.ENOSPC) in output:
        return DiskFullError(
            f"no room left on the disk: {words}",
            hint="free some space, or set WQ_PACKAGE_CACHE and UV_CACHE_DIR",
        )
    summary, hint = _explain(output, words)
    return BackendFailedError(command, exit_code, output, summary=summary, hint=hint)


def _explain(output: str, words: str) -> tuple[str, str]:
    if _OFFLINE.search(output):
        return f"a distribution is neither installed nor cached: {words}", "run once without --offline"
    if found := _OTHER_HASH.search(output):
        hint = "somebody replaced the file on the index: find out who, or write a new lock with `wq-package lock`"
        return f"the wheel of `{found[1]}` has sha256:{found[3]}, and sha256:{found[2]} in the lock", hint
    if found := _NOT_BUILT.search(output):
        which = f"`{found[1]}`" if found[1] else "a distribution"
        return (
            f"{which} has no wheel for this Python, and building it from source failed",
            "choose a version that has a wheel, or run again with `wq-package -v` to see the compiler's words",
        )
    if explained := _explain_answer(output):
        return explained
    if _NO_NETWORK.search(output):
        where = _URL.search(output)
        target = f" at `{where[0]}`" if where else ""
        hint = "check the network, proxy and index settings (UV_INDEX_URL)"
        return f"the package index{target} could not be reached", hint
    return _explain_solution(output, words)


def _explain_answer(output: str) -> tuple[str, str] | None:
    """Explain what an index answered, if it answered anything but what it should."""
    if found := _NO_LIST.search(output):
        hint = "check its URL, which mostly ends in `/simple`, and whether a login page stands before it"
        return f"`{found[1]}` answers with something else than a package index does", hint
    if found := _STATUS.search(output):
        hint = "check user name, password and URL of the index; if they are right, try again later"
        return f"the package index at `{found[2]}` answers: {found[1]}", hint
    if found := _NO_ARCHIVE.search(output) or _DAMAGED.search(" ".join(output.split())):
        hint = "try again; if it stays, tell who runs the index"
        return f"the index gives something damaged for `{found[1]}`", hint
    return None


def _explain_solution(output: str, words: str) -> tuple[str, str]:
    if found := _NO_PROJECT.search(output):
        hint = "check the name in the spec; import names often differ"
        return f"the package index has no distribution named `{found[1]}`", hint
    if found := _NOT_IN_LINKS.search(output):
        hint = "add its wheel to the folder of --find-links, or look it up in an index: no --no-index"
        return f"no folder of wheels has `{found[1]}`", hint
    if found := _NO_VERSION.search(output):
        hint = "check the version in the spec, or leave it out to take the newest"
        return f"the package index has no version that fits `{found[1]}`", hint
    if _NO_WHEEL.search(output):
        return f"no wheel fits this Python and platform: {words}", "choose another version of it or of Python"
    if "unsatisfiable" in output:
        hint = "loosen one of the versions named in this sentence"
        return f"the requirements contradict each other: {words}", hint
    return f"uv failed: {words}", "run again with `wq-package -v` to see all that uv printed"


def _find_reason(output: str) -> str:
    """Find uv's own reason: its `cause:` lines if it gives any, else its error, in one line."""
    text = " ".join(
        line.strip(" \u2570\u2500\u25b6\u2502\xd7") for line in output.splitlines() if line.strip()
    )
    text = text.partition(" hint:")[0]
    causes = re.split(r"\s*\bcause:\s*", text)[1:]
    chosen = " ".join(causes) if causes else re.split(r"\berror:\s*", text)[-1]
    return chosen.strip().rstrip(".")[:1500]
