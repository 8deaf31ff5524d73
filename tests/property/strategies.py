"""Random messages and their bodies, for property tests."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import strategies as st

from wq_package.protocol import messages as m
from wq_package.protocol.to_manager import FORSAKEN, STATUS_QUERIES

SIZES = st.integers(0, 300)
INTEGERS = st.integers(-(2**63) + 1, 2**63 - 1)
COUNTS = st.integers(0, 2**63 - 1)
MODES = st.integers(0, 0o777)
WORDS = st.text(string.ascii_letters + string.digits + "._-/:{}%", min_size=1, max_size=20)
CACHE_NAMES = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)
_UNICODE = st.characters(codec="utf-8", exclude_characters="\0")
NAMES = st.text(_UNICODE, min_size=1, max_size=20)
BASE_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)
_RAW_PARTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\n/"), min_size=1, max_size=10
).filter(lambda part: part not in (".", ".."))
RAW_PATHS = st.lists(_RAW_PARTS, min_size=1, max_size=3).map("/".join)
BLANKLESS_PATHS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\n/", exclude_categories=("Z", "C")),
    min_size=1,
    max_size=10,
).filter(lambda path: path not in (".", ".."))
TEXTS = st.text(_UNICODE, max_size=50)
LINES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1, max_size=50).filter(
    lambda line: line.encode().strip() == line.encode()
)
FLAGS = st.integers(0, 127).map(m.FileFlags)
TASK_FILES = st.builds(m.TaskFile, CACHE_NAMES, NAMES, FLAGS)
THOUSANDTHS = st.integers(0, 10**6).map(lambda count: count / 1000)
MICROS = st.integers(0, 10**12).map(lambda count: count / 1_000_000)
AMOUNTS = st.integers(0, 10**9)
VARIABLES = st.tuples(
    st.text(st.characters(codec="utf-8", exclude_characters="\0="), min_size=1, max_size=10),
    st.none() | TEXTS,
)
DIGESTS = st.text("0123456789abcdef", min_size=1, max_size=64)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def _tuples(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(strategy, max_size=3).map(tuple)


TASKS = st.builds(
    m.TaskDescription, st.integers(0, 10**9), TEXTS, category=NAMES,
    cores=_maybe(THOUSANDTHS), memory_mb=_maybe(AMOUNTS), disk_mb=_maybe(AMOUNTS), gpus=_maybe(AMOUNTS),
    wall_time=_maybe(MICROS), end_time=_maybe(MICROS), variables=_tuples(VARIABLES), inputs=_tuples(TASK_FILES),
    folders=_tuples(BLANKLESS_PATHS), outputs=_tuples(TASK_FILES),
)  # fmt: skip

CALLS = st.builds(
    m.CallTask, INTEGERS, st.just("") | DIGESTS, DIGESTS, SIZES, st.sampled_from(["in-place", "fork"]), TEXTS,
    cores=_maybe(FLOATS), memory_mb=_maybe(AMOUNTS), disk_mb=_maybe(AMOUNTS), gpus=_maybe(AMOUNTS),
    wall_time=_maybe(FLOATS), end_time=_maybe(FLOATS), variables=_tuples(st.tuples(TEXTS, st.none() | TEXTS)),
    inputs=_tuples(TASK_FILES), outputs=_tuples(TASK_FILES), is_enforced=st.booleans(),
)  # fmt: skip

CALL_RESULTS = st.builds(
    m.CallResult, INTEGERS, TEXTS, INTEGERS, SIZES, COUNTS, INTEGERS, signal=INTEGERS, cpu_usec=INTEGERS,
    memory_mb=FLOATS, disk_mb=FLOATS, missing=_tuples(TEXTS), message=TEXTS, cores=FLOATS, read_mb=FLOATS,
    written_mb=FLOATS, processes=INTEGERS, limit=TEXTS, allowed=FLOATS, used=FLOATS,
)  # fmt: skip

_WHOLE_FLOATS = st.integers(0, 2**53)
RESOURCES = st.builds(
    m.Resource, WORDS.filter(lambda name: name != "tag"), _WHOLE_FLOATS, _WHOLE_FLOATS, _WHOLE_FLOATS
) | st.builds(m.Resource, st.just("tag"), _WHOLE_FLOATS, st.just(0), st.just(0))
RESULTS = st.builds(
    m.Result, INTEGERS.filter(lambda status: status != FORSAKEN), INTEGERS, SIZES, INTEGERS, INTEGERS
)

TO_MANAGER: st.SearchStrategy[m.ToManager] = st.one_of(
    st.builds(m.Info, WORDS, LINES),
    st.builds(m.Feature, NAMES),
    RESOURCES,
    st.just(m.Alive()),
    st.just(m.AvailableResults()),
    RESULTS,
    st.builds(m.Result, st.just(FORSAKEN), INTEGERS, st.just(0), INTEGERS, INTEGERS),
    st.builds(m.Update, INTEGERS, BLANKLESS_PATHS, COUNTS, SIZES),
    st.builds(m.File, RAW_PATHS, SIZES),
    st.builds(m.Missing, RAW_PATHS, INTEGERS),
    st.builds(m.ThirdputComplete, st.booleans()),
)
"""What a worker may say in protocol 9, each on its own, after what `open_exchange` says."""

TO_MANAGER_11: st.SearchStrategy[m.ToManager] = st.one_of(
    st.builds(m.CacheUpdate, CACHE_NAMES, COUNTS, INTEGERS), st.builds(m.CacheInvalid, CACHE_NAMES, TEXTS)
)

PORTS = st.integers(1, 65535)

TO_MANAGER_DIALECT: st.SearchStrategy[m.ToManager] = st.one_of(
    st.builds(m.LayersWanted, DIGESTS, _tuples(DIGESTS)),
    st.builds(m.EnvironmentReady, DIGESTS),
    st.builds(m.EnvironmentFailed, DIGESTS, TEXTS),
    st.builds(m.Recalled, _tuples(INTEGERS)),
    st.builds(m.PeerAddress, PORTS, TEXTS, TEXTS),
    st.builds(m.LayerStored, DIGESTS, st.booleans()),
    st.builds(m.FetchFailed, DIGESTS, TEXTS, st.booleans()),
    st.builds(m.FileAnswer, CACHE_NAMES, st.booleans()),
    st.builds(m.LayerRequest, DIGESTS),
    CALL_RESULTS,
)

TO_WORKER: st.SearchStrategy[m.ToWorker] = st.one_of(
    st.builds(m.Put, CACHE_NAMES, SIZES, MODES),
    st.builds(m.Dir, CACHE_NAMES),
    TASKS,
    st.builds(m.Kill, INTEGERS),
    st.builds(m.Unlink, CACHE_NAMES),
    st.builds(m.Get, CACHE_NAMES, st.booleans()),
    st.builds(m.SendResults, INTEGERS),
    st.sampled_from([m.Check(), m.Release(), m.Exit()]),
    st.builds(m.ProjectName, st.just("") | LINES),
    st.builds(m.Url, CACHE_NAMES, TEXTS, MODES, FLAGS),
    st.builds(m.Thirdget, st.sampled_from(m.TransferMode), CACHE_NAMES, LINES),
    st.builds(m.Thirdput, st.sampled_from(m.TransferMode), CACHE_NAMES, LINES),
)

TO_WORKER_11: st.SearchStrategy[m.ToWorker] = st.one_of(
    st.builds(m.Puturl, NAMES, CACHE_NAMES, COUNTS, MODES),
    st.builds(m.Putcmd, NAMES, CACHE_NAMES, COUNTS, MODES),
)

TO_WORKER_DIALECT: st.SearchStrategy[m.ToWorker] = st.one_of(
    st.builds(m.Hello, COUNTS, TEXTS),
    st.builds(
        m.EnvironmentOffer, DIGESTS, _tuples(st.builds(m.LayerName, DIGESTS, COUNTS)), _tuples(TEXTS), TEXTS
    ),
    st.builds(m.Layer, DIGESTS, SIZES),
    st.just(m.ServePeers()),
    st.builds(m.FetchLayer, DIGESTS, TEXTS, PORTS, TEXTS, TEXTS),
    st.builds(m.FileOffer, CACHE_NAMES, COUNTS),
    st.builds(m.FunctionDefinition, DIGESTS, SIZES),
    CALLS,
    st.builds(m.Recall, _tuples(INTEGERS)),
    st.builds(m.Symlink, BASE_NAMES, TEXTS),
)

STATUS_QUERIES_OF_TOOLS = st.builds(m.StatusQuery, st.sampled_from(STATUS_QUERIES)) | st.builds(
    m.StatusQuery, st.sampled_from(["", *STATUS_QUERIES]), st.just(True)
)


def entries() -> st.SearchStrategy[list[m.ToWorker]]:
    """What may stand inside a folder that is being put, without bodies, nested a few levels."""
    leaves = st.builds(m.Put, BASE_NAMES, SIZES, MODES).map(lambda put: [put])
    nested = st.recursive(
        leaves,
        lambda inner: st.builds(
            lambda name, parts: [m.Dir(name), *(each for part in parts for each in part), m.End()],
            BASE_NAMES,
            st.lists(inner, max_size=3),
        ),
        max_leaves=8,
    )
    return nested.map(lambda found: list(found))
