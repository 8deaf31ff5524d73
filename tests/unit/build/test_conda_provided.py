from __future__ import annotations

import pytest

from wq_package.build.conda.provided import explain_unsatisfied, leave_out_provided, render_pins
from wq_package.errors import BuildError

PROVIDED = {"numpy": "2.4.6", "typing-extensions": "4.16.0"}


def test_leave_out_provided__satisfied_requirement__is_left_out() -> None:
    texts = ["numpy>=2", "Typing_Extensions", "cloudpickle==3.1.2"]
    assert leave_out_provided(texts, PROVIDED) == ["cloudpickle==3.1.2"]


def test_leave_out_provided__nothing_provided__keeps_all() -> None:
    assert leave_out_provided(["numpy<2"], {}) == ["numpy<2"]


def test_leave_out_provided__other_version__is_refused_with_both() -> None:
    with pytest.raises(BuildError, match=r"conda brings numpy 2\.4\.6, and `pip:` needs `numpy<2`") as caught:
        leave_out_provided(["numpy<2"], PROVIDED)
    assert caught.value.hint


def test_leave_out_provided__what_is_no_requirement__is_left_to_the_resolver() -> None:
    assert leave_out_provided(["./folder"], PROVIDED) == ["./folder"]


def test_explain_unsatisfied__names_each_once() -> None:
    error = explain_unsatisfied(["numpy<2", "numpy<2", "scipy>1", "typing-extensions>=4"], PROVIDED)
    assert str(error) == "conda brings numpy 2.4.6, and `pip:` needs `numpy<2`"


def test_explain_unsatisfied__version_that_only_conda_can_compare__is_let_through() -> None:
    assert explain_unsatisfied(["openssl>3"], {"openssl": "1.1.1 of old"}) is None


def test_render_pins__sorted() -> None:
    assert render_pins({"b": "2", "a": "1"}) == ["a==1", "b==2"]
