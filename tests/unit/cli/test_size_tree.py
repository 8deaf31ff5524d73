from __future__ import annotations

from io import StringIO

from rich.console import Console

from wq_package_cli.size_tree import draw_sizes, sum_sizes


def _draw(*files: tuple[str, int]) -> list[str]:
    sink = StringIO()
    Console(file=sink, width=100).print(draw_sizes(sum_sizes(files)))
    return [" ".join(line.split()) for line in sink.getvalue().splitlines()]


def test_sum_sizes__nested_files__are_counted_in_every_folder() -> None:
    root = sum_sizes([("a/b/c", 3), ("a/d", 4), ("e", 5)])
    assert (root.size, root.files) == (12, 3)
    assert (root.inside["a"].size, root.inside["a"].files) == (7, 2)
    assert root.inside["a"].inside["b"].inside["c"].size == 3


def test_draw_sizes__largest_first__chains_are_one_line() -> None:
    assert _draw(("small", 20_000_000), ("a/b/c", 50_000_000), ("a/b/d", 30_000_000)) == [
        "80.0 MB 80% ████████████▊ ├─ a/b/",
        "50.0 MB 50% ████████ │ ├─ c",
        "30.0 MB 30% ████▊ │ └─ d",
        "20.0 MB 20% ███▎ └─ small",
    ]


def test_draw_sizes__many_small_files__are_one_line() -> None:
    lines = _draw(("big", 99_000_000), *((f"s{number}", 10_000) for number in range(100)))
    assert lines == ["99.0 MB 99% ███████████████▉ ├─ big", "1.0 MB 1% ▏ └─ 100 smaller files"]


def test_draw_sizes__names_with_control_characters__do_not_reach_the_terminal() -> None:
    assert "\\x1b" in _draw(("\x1b[31mred", 1))[0]


def test_draw_sizes__nothing__draws_nothing() -> None:
    assert _draw() == []
