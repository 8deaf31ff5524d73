"""Solves and fetches with py-rattler, in a process of its own (shell; a program, not imported by the library).

A line of JSON on standard input is the request; each line on standard output is an answer: `{"progress": 1}` any number
of times, then `{"result": …}` or `{"error": {…}}`. When standard input ends before that, nobody wants the answer any more.
The process leaves with `os._exit`: py-rattler 0.28 now and then crashes while the interpreter shuts down, when all its
work is done.

Imports the standard library and py-rattler only, so that it starts fast and cannot fail for any other reason.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import threading
import uuid
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

from rattler import (
    Channel,
    ChannelPriority,
    Client,
    Gateway,
    MatchSpec,
    VirtualPackage,
    VirtualPackageOverrides,
    solve,
)
from rattler.exceptions import SolverError
from rattler.package_streaming import download_and_extract, extract
from rattler.repo_data.gateway import SourceConfig

_AT_ONCE = 4


def main() -> None:
    """Answer one request and leave."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not get between the answers
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_builder, daemon=True).start()
    try:
        _say(answers, {"result": asyncio.run(_answer(request, answers))})
    except Exception as error:  # noqa: BLE001 - the top of this process: every failure is an answer
        _say(answers, {"error": _describe(error)})
    answers.flush()
    os._exit(0)


def _leave_with_builder() -> None:
    sys.stdin.read()  # which it keeps open for as long as it wants the answer
    os._exit(1)


def _say(answers: TextIO, answer: dict[str, object]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _describe(error: BaseException) -> dict[str, object]:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    details = error.args[0] if isinstance(error, _FetchError) else {}
    return {"kind": type(error).__name__, "text": str(error)} | details


class _FetchError(Exception):
    """A package could not be had; its argument is a mapping with what is known."""


async def _answer(request: dict[str, Any], answers: TextIO) -> object:
    match request["operation"]:
        case "solve":
            return await _solve(request)
        case "find":
            return await _find(request)
        case "fetch":
            return await _fetch_all(request, answers)
        case other:
            raise ValueError(f"unknown operation {other}")


async def _solve(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Solve, with what is wished for besides if the channels have it."""
    try:
        return await _solve_exactly(request, [*request["specs"], *request["wished"]])
    except SolverError:
        if not request["wished"]:
            raise
        return await _solve_exactly(request, request["specs"])


async def _find(request: dict[str, Any]) -> list[dict[str, Any]]:
    """List every build of some names that the channels have, the first channel's first; nothing is solved."""
    found = await _open_gateway(request).query(
        [Channel(url) for url in request["channels"]],
        [request["subdir"], "noarch"],
        request["names"],
        recursive=False,
    )
    return [json.loads(record.to_json()) for records in found for record in records]


def _open_gateway(request: dict[str, Any]) -> Gateway:
    action: Any = "force-cache-only" if request["offline"] else "cache-or-fetch"
    config = SourceConfig(cache_action=action)
    return Gateway(cache_dir=Path(request["cache"]), default_config=config, client=Client.default_client())


async def _solve_exactly(request: dict[str, Any], specs: list[str]) -> list[dict[str, Any]]:
    records = await solve(
        sources=[Channel(url) for url in request["channels"]],
        specs=[MatchSpec(text) for text in specs],
        platforms=[request["subdir"], "noarch"],
        gateway=_open_gateway(request),
        virtual_packages=VirtualPackage.detect(VirtualPackageOverrides.from_env()),
        channel_priority=ChannelPriority[request["priority"].capitalize()],
    )
    return [json.loads(record.to_json()) for record in records]


async def _fetch_all(request: dict[str, Any], answers: TextIO) -> list[str]:
    """Extract each package into the folder of its digest; return the digests."""
    client, turns = Client.default_client(), asyncio.Semaphore(_AT_ONCE)
    folder = Path(request["folder"])

    async def fetch(package: dict[str, str]) -> str:
        async with turns:
            digest = await _fetch(package, folder, client)
        _say(answers, {"progress": 1})
        return digest

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch(package)) for package in request["packages"]]
    return [task.result() for task in tasks]


async def _fetch(package: dict[str, str], folder: Path, client: Any) -> str:
    if package["sha256"] and (folder / package["sha256"]).is_dir():
        return package["sha256"]
    partial = folder / f".partial-{uuid.uuid4().hex}"
    try:
        sha256, md5 = await _extract(package["url"], partial, client)
        _check(package, sha256.hex(), md5.hex())
        target = folder / sha256.hex()
        if not target.is_dir():
            _publish(partial, target)
        return target.name
    finally:
        shutil.rmtree(partial, ignore_errors=True)


async def _extract(url: str, partial: Path, client: Any) -> tuple[bytes, bytes]:
    try:
        if url.startswith("file:"):
            return await asyncio.to_thread(extract, Path(unquote(urlsplit(url).path)), partial)
        return await download_and_extract(client, url, partial)
    except Exception as error:
        raise _FetchError({"kind": "fetch", "url": url, "text": str(error)}) from error


def _check(package: dict[str, str], sha256: str, md5: str) -> None:
    wanted, found = (package["sha256"], sha256) if package["sha256"] else (package["md5"], md5)
    if wanted and wanted != found:
        raise _FetchError({"kind": "digest", "url": package["url"], "wanted": wanted, "found": found})


def _publish(partial: Path, target: Path) -> None:
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():  # another process was faster
            raise


if __name__ == "__main__":
    main()
