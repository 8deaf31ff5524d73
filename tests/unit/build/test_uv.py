from __future__ import annotations

import logging

import pytest

from wq_package.build.uv import explain_failure
from wq_package.errors import BackendFailedError, DiskFullError

_SOLUTION = "error: No solution found when resolving dependencies\n  cause: Because "


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (_SOLUTION + "there is no version of six==99.99 and you require six==99.99, we can conclude that your "
         "requirements are unsatisfiable.", "the package index has no version that fits `six==99.99`"),
        (_SOLUTION + "nosuch was not found in the package registry and you require nosuch==1, we can conclude that your "
         "requirements are unsatisfiable.", "the package index has no distribution named `nosuch`"),
        (_SOLUTION + "pandas>=3 depends on numpy>=2 and you require pandas==3, we can conclude that you require numpy>=2.\n"
         "         And because you require numpy==1, we can conclude that your requirements are unsatisfiable.",
         "the requirements contradict each other: Because pandas>=3 depends on numpy>=2"),
        (("error: Request failed after 3 retries\n  cause: Failed to fetch: http://127.0.0.1:9/simple/six/\n  cause: "
         "tcp connect error"), "the package index at `http://127.0.0.1:9/simple/six/` could not be reached"),
        (_SOLUTION + "six was not found in the cache and you require six==1, we can conclude that your requirements are "
         "unsatisfiable.\n\nhint: Packages were unavailable because the network was disabled.",
         "a distribution is neither installed nor cached: Because six was not found in the cache"),
        ("error: Failed to download and build `numpy==1.5.0`\n  cause: The build backend returned an error",
         "`numpy==1.5.0` has no wheel for this Python, and building it from source failed"),
        ("error: Received some unexpected JSON from `http://h/simple/six/`\n  cause: expected value at line 1 column 11",
         "`http://h/simple/six/` answers with something else than a package index does"),
        (("error: Request failed after 1 retry in 1.9s\n  cause: Failed to fetch: http://h/simple/six/\n  cause: HTTP status "
         "server error (500 Internal Server Error) for url (http://h/simple/six/)"),
         "the package index at `http://h/simple/six/` answers: 500 Internal Server Error"),
        ("error: Failed to download `six==1`\n  cause: Failed to extract archive: six-1-py3-none-any.whl\n  cause: Invalid zip",
         "the index gives something damaged for `six-1-py3-none-any.whl`"),
        (_SOLUTION + "foo==1.0 has an\n      invalid package format and only foo==1.0 is available, we can conclude that all versions "
         "of foo cannot be used.", "the index gives something damaged for `foo`"),
        ("error: something new", "uv failed: something new"),
    ],
)  # fmt: skip
def test_explain_failure__one_sentence_with_a_hint(output: str, sentence: str) -> None:
    error = explain_failure(("uv", "pip"), 1, output)

    assert isinstance(error, BackendFailedError)
    assert str(error).startswith(sentence)
    assert "\n" not in str(error)
    assert error.hint


def test_explain_failure__no_room__is_a_full_disk() -> None:
    error = explain_failure(
        ("uv",), 2, "error: failed to write\n  cause: No space left on device (os error 28)"
    )

    assert isinstance(error, DiskFullError)
    assert error.hint


def test_explain_failure__url_with_a_password__is_told_and_logged_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="wq_package"):
        error = explain_failure(
            ("uv", "--index-url", "https://me:secret@h/simple"),
            2,
            "error: failed\n  cause: writing https://me:secret@h/six.whl: No space left on device (os error 28)",
        )

    assert "https://h/six.whl" in str(error)
    assert "secret" not in str(error)
    assert "https://h/simple" in caplog.text
    assert "secret" not in caplog.text
