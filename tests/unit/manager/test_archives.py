from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from small_archives import make_archive, make_layer
from wq_package.errors import ArchiveError
from wq_package.manager.archives import Archives, OpenArchive
from wq_package.task import Environment


def make_environments(folder: Path, count: int) -> list[Environment]:
    environments = []
    for number in range(count):
        (folder / str(number)).mkdir()
        path, index = make_archive(folder / str(number), [make_layer({"file": b"%d" % number}, f"n{number}")])
        environments.append(Environment(index.environment, str(path)))
    return environments


def test_archives__very_many__only_some_stay_open_and_those_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wq_package.manager.archives.MOST_OPEN", 2)
    first, *others = make_environments(tmp_path, 5)

    async def test() -> None:
        archives = Archives()
        seen: list[OpenArchive] = []
        async with archives.use(first) as used:
            for environment in others:
                async with archives.use(environment) as archive:
                    seen.append(archive)
            assert not used.file.closed
            assert [archive.file.closed for archive in seen] == [True, True, True, False]
        async with archives.use(first) as again:
            assert again is used
        async with archives.use(others[0]) as opened:
            assert not opened.file.closed
        archives.close()
        assert all(archive.file.closed for archive in (*seen, used, opened))

    asyncio.run(test())


def test_archives__asked_for_by_several_at_once__is_open_once(tmp_path: Path) -> None:
    (environment,) = make_environments(tmp_path, 1)

    async def test() -> None:
        archives = Archives()
        async with contextlib.AsyncExitStack() as stack:
            enter = stack.enter_async_context
            found = await asyncio.gather(*(enter(archives.use(environment)) for _ in range(5)))
            assert len(set(map(id, found))) == 1
            assert found[0].users == 5
        archives.close()

    asyncio.run(test())


def test_archives__another_environment_in_it__is_refused(tmp_path: Path) -> None:
    one, other = make_environments(tmp_path, 2)

    async def test() -> None:
        with pytest.raises(ArchiveError, match="has environment"):
            async with Archives().use(Environment(other.digest, one.archive)):
                pass

    asyncio.run(test())
