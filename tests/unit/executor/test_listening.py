from __future__ import annotations

import inspect
import logging
import re

import pytest
from parsl.executors import WorkQueueExecutor

from wq_package.catalog import CatalogAddress
from wq_package.errors import WQPackageError
from wq_package.executor import WQPackageExecutor
from wq_package.executor.listening import Listening
from wq_package.resources import CategoryOptions

HERE = CatalogAddress("127.0.0.1", 9097)
ELSEWHERE = CatalogAddress("catalog.example.org", 9097)

GONE = {"source", "coprocess", "function_dir", "full_debug"}
"""Parameters of Parsl's `WorkQueueExecutor` that have no meaning here, as the reference says."""


def test_parameters__of_parsls_work_queue_executor__are_here_under_the_same_names() -> None:
    theirs = inspect.signature(WorkQueueExecutor.__init__).parameters
    ours = inspect.signature(WQPackageExecutor.__init__).parameters
    assert set(theirs) - set(ours) == GONE
    kept = [name for name in theirs if name in ours]
    assert [name for name in ours if name in theirs] == kept  # migrating with positions works, too


def test_no_project_name__nobody_is_told_and_workers_connect_by_address() -> None:
    listening = Listening()
    catalogs = listening.find_catalogs({"CATALOG_HOST": "catalog.example.org"})
    assert catalogs == ()
    options = listening.make_options(b"secret", catalogs, CategoryOptions())
    assert (options.host, options.name, options.catalogs) == ("127.0.0.1", None, ())
    assert listening.make_worker_command(7, "/run/password", "", catalogs).endswith(
        "-P /run/password 127.0.0.1 7"
    )


def test_project_name__no_catalog__nobody_is_told_and_a_warning_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listening = Listening(project_name="my-app")
    with caplog.at_level(logging.WARNING):
        catalogs = listening.find_catalogs({})
    assert catalogs == ()
    assert "`my-app` is told to nobody" in caplog.text
    assert "-M" not in listening.make_worker_command(7, "p", "", catalogs).split()


@pytest.mark.parametrize(
    ("catalog", "variables", "expected", "interface"),
    [
        ("127.0.0.1:9097", {}, HERE, "127.0.0.1"),
        (None, {"CATALOG_HOST": "127.0.0.1"}, HERE, "127.0.0.1"),
        ("catalog.example.org", {"CATALOG_HOST": "127.0.0.1"}, ELSEWHERE, "0.0.0.0"),
    ],
)
def test_project_name_and_catalog__it_is_told_and_workers_look_there(
    catalog: str | None, variables: dict[str, str], expected: CatalogAddress, interface: str
) -> None:
    listening = Listening(project_name="my-app.v2", catalog=catalog)
    catalogs = listening.find_catalogs(variables)
    options = listening.make_options(b"secret", catalogs, CategoryOptions())
    assert (options.name, options.catalogs, options.host) == ("my-app.v2", (expected,), interface)
    command = listening.make_worker_command(7, "p", "", catalogs)
    assert command.endswith(rf"-P p -M 'my-app\.v2' -C {expected}")
    assert re.fullmatch(r"my-app\.v2", "my-app.v2")


@pytest.mark.parametrize(
    ("listening", "reason"),
    [
        (Listening(catalog="127.0.0.1"), "without a `project_name`"),
        (Listening(project_name=" ", catalog="127.0.0.1"), "cannot be a `project_name`"),
        (Listening(project_name="a\nb", catalog="127.0.0.1"), "cannot be a `project_name`"),
        (Listening(project_name="a", catalog="host:port"), "the `catalog` is wrong"),
    ],
)
def test_catalog__makes_no_sense__is_refused_with_a_hint(listening: Listening, reason: str) -> None:
    with pytest.raises(WQPackageError, match=reason) as caught:
        listening.find_catalogs({})
    assert caught.value.hint


def test_representation__values_of_variables_are_not_in_it() -> None:
    executor = WQPackageExecutor(env={"TOKEN": "very secret"})
    assert executor.env == {"TOKEN": "very secret"}
    assert "TOKEN" in repr(executor)
    assert "very secret" not in repr(executor)
