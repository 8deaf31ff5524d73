from __future__ import annotations

import random
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from wq_package.report import Run, render_page
from wq_package.report.charts import Axis, show_number
from wq_package.report.figures import make_bins, sum_up_categories, sum_up_time
from wq_package.report.page import _follow_label
from wq_package.report.run import EnvironmentUse, LabelChange, Try, TryEnd, WorkerSpan


class _Checker(HTMLParser):
    """Checks that tags are balanced and that nothing comes from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(page: str) -> set[str]:
    checker = _Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert "script" not in checker.seen
    assert "http://" not in page
    for drawn in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawn)
        assert "nan" not in drawn
    return checker.seen


def make_run(count: int, workers: int = 4, categories: int = 2) -> Run:
    rng = random.Random(1)
    run = Run("project", 1000.0, 1000.0 + count / 10, count)
    run.workers = {number: WorkerSpan(number, f"host:{number}", 1000.0) for number in range(1, workers + 1)}
    ends = [TryEnd.DONE] * 17 + [TryEnd.FAILED, TryEnd.EXHAUSTED, TryEnd.RETURNED]
    for task in range(count):
        sent, used = 1000 + task / 10, rng.uniform(50, 150)
        run.tries.append(
            Try(
                task,
                f"c{task % categories}",
                1 + task % workers,
                sent,
                200,
                1,
                sent + 1,
                1,
                used,
                end=rng.choice(ends),
            )
        )
    run.labels = [LabelChange(1001.0, "c0", "adaptive", ((1, 160.0),))]
    run.ends = {"success": count}
    return run


def test_render_page__ordinary_run__is_one_whole_page() -> None:
    run = make_run(200)
    run.environments = {
        "e" * 64: EnvironmentUse("e" * 64, 3 << 20, 2, 0, [1.0, 2.5]),
        "f": EnvironmentUse("f"),
    }

    page = render_page(run)

    assert {"svg", "table", "path", "rect"} <= check(page)
    for expected in (
        "Run of project",
        "Tasks by worker",
        "Memory of c0",
        "eeeeeeeeeeee",
        "3 MiB",
        "1.75 s",
        "160 MB",
    ):
        assert expected in page


def test_render_page__empty_run__is_a_page() -> None:
    check(render_page(Run()))


def test_render_page__hostile_names__are_shown_as_they_are() -> None:
    run = make_run(10)
    run.project = '</title><script>alert(1)</script>"'
    run.tries[0].category = "<script>alert(2)</script>"
    run.workers[1] = WorkerSpan(1, "</svg><img src=x onerror=alert(3)>", 1000.0)
    run.environments = {"<b>": EnvironmentUse("<b>")}

    page = render_page(run)

    check(page)
    assert "<script" not in page
    assert "<img" not in page


def test_render_page__hundred_thousand_tasks__stays_small() -> None:
    page = render_page(make_run(100_000, workers=500, categories=40))

    check(page)
    assert len(page) < 3_000_000
    assert "workers 1 to " in page
    assert "of 40 categories" in page


def test_render_page__log_with_gaps__says_so() -> None:
    run = make_run(5)
    run.records_lost, run.lines_torn = 3, 2

    page = render_page(run)

    assert "3 records could not be written" in page
    assert "2 lines of the log" in page


def test_sum_up_categories__waste__counts_tries_in_vain() -> None:
    run = Run(
        tries=[
            Try(1, "c", 1, 0, 100, 1, 1, 10, 80, end=TryEnd.DONE),
            Try(2, "c", 1, 0, 100, 1, 10, 0, 101, end=TryEnd.EXHAUSTED),
        ]
    )

    (figures,) = sum_up_categories(run)

    assert figures.waste == pytest.approx(1 - 800 / 2000)
    assert figures.median == 80


def test_sum_up_time__tries__add_up_to_their_seconds() -> None:
    tries = [Try(1, "c", 1, 10, 1, 1, 20), Try(2, "c", 1, 15, 1, 1, 90), Try(3, "c", 1, 0, 1, 1, 100)]

    busy = sum_up_time(tries, 0, 100)

    assert sum(busy) * 100 / len(busy) == pytest.approx(10 + 75 + 100)


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [0.0], [1.0, 2.0, 30.0]])
def test_make_bins__any_values__count_each_once(values: list[float]) -> None:
    assert sum(count for _, _, count in make_bins(values)) == len(values)
    assert make_bins([]) == []


@pytest.mark.parametrize("axis", [Axis(0, 1), Axis(3, 3), Axis(-5, 12345.6), Axis(0, 1e-6)])
def test_axis__any_span__has_few_round_ticks_within(axis: Axis) -> None:
    ticks = axis.list_ticks()

    assert 1 <= len(ticks) <= 14
    assert all(axis.low - 1e-9 <= tick <= axis.high + 1e-9 for tick in ticks)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234.5, "1,234"), (0.12345, "0.123"), (float("nan"), "0")]
)
def test_show_number__any_value__has_three_digits(value: float, text: str) -> None:
    assert show_number(value) == text


def test_render_page__names_that_are_no_text__are_shown_as_far_as_they_are() -> None:
    run = Run("p\udc80q", 1.0, 2.0)
    run.workers[1] = WorkerSpan(1, "host\ud800", 1.0, None, 1.0, 1.0)
    assert "p?q" in render_page(run).encode().decode()


@pytest.mark.parametrize(("memory", "is_above"), [(100.0, False), (2000.0, True)])
def test_page__label_above_all_that_was_used__says_why(memory: float, is_above: bool) -> None:
    run = make_run(100)
    run.labels = [LabelChange(1001.0, "c0", "max", ((1.0, memory),))]

    page = render_page(run)

    check(page)
    assert ("A label may lie above" in page) == is_above
    assert "1 core, " in page


def test_follow_label__very_many__ends_with_the_last() -> None:
    run = make_run(4)
    run.labels = [LabelChange(1000.0 + n, "c0", "adaptive", ((1, float(n)),)) for n in range(1, 1000)]
    points = _follow_label(run, "c0", 1.0)
    assert len(points) < 600
    assert points[-1][1] == 999
