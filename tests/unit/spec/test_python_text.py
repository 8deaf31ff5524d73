from __future__ import annotations

import ast
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from wq_package.spec.python_text import parse_python

_PROGRAM = "\n".join(f"value_{n} = [{{'key': (1 + {n}) * 2}}, lambda x: x if x else {n}]" for n in range(300))


def test_parse_python__many_threads__never_disturb_each_other() -> None:
    barrier = threading.Barrier(8)

    def parse(_: int) -> str:
        barrier.wait()
        return ast.dump(parse_python(_PROGRAM))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(parse, range(32)))) == 1


def test_parse_python__threads_of_others_disturb__tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[BaseException | None] = [SystemError(), SystemError(), None]
    real = ast.parse

    def disturbed(source: str) -> ast.Module:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return real(source)

    monkeypatch.setattr(ast, "parse", disturbed)

    assert len(parse_python("x = 1").body) == 1
    assert outcomes == []


def test_parse_python__always_disturbed__gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def disturbed(source: str) -> ast.Module:
        raise SystemError

    monkeypatch.setattr(ast, "parse", disturbed)

    with pytest.raises(SystemError):
        parse_python("x = 1")
