from __future__ import annotations

import pytest

from wq_package.errors import InvalidSpecError
from wq_package.spec.environment import DataForm, DataSource, EnvironmentSpec
from wq_package.spec.environment_yml import parse_environment_yml, render_environment_yml
from wq_package.spec.poncho import parse_poncho, render_poncho

_SPEC = EnvironmentSpec(
    channels=("conda-forge",),
    data=(
        DataSource(
            "MODELS", DataForm.TAR, "https://example.org/m.tar.gz", sha256="0f" * 32, is_compressed=True
        ),
        DataSource("TABLE", DataForm.FILE, "https://example.org/t.csv"),
        DataSource("TOOLS", DataForm.GIT, "https://example.org/t.git", "v1.0"),
    ),
    variables=(("GREETING", 'say "hello" to $HOME\n'), ("THREADS", "1")),
)


def test_data__in_an_environment_yml__is_read_back() -> None:
    assert parse_environment_yml(render_environment_yml(_SPEC), "env.yml") == _SPEC


@pytest.mark.parametrize("old", [False, True])
def test_data__in_either_generation_of_poncho__is_read_back(old: bool) -> None:
    assert parse_poncho(render_poncho(_SPEC, old=old), "env.json") == _SPEC


def test_data__as_poncho_documents_it__is_understood() -> None:
    text = """{"conda": {"dependencies": []},
        "git": {"TOOLS": {"remote": "https://example.org/t.git", "ref": "abc"}},
        "http": {"TABLE": {"type": "file", "compression": "gzip", "url": "http://example.org/t.gz"}}}"""

    assert parse_poncho(text, "env.json").data == (
        DataSource("TABLE", DataForm.FILE, "http://example.org/t.gz", is_compressed=True),
        DataSource("TOOLS", DataForm.GIT, "https://example.org/t.git", "abc"),
    )


@pytest.mark.parametrize(
    ("text", "issue"),
    [
        ("variables: [A]", "`variables` has to be a mapping"),
        ("variables: {A: [1]}", "the variable `A` has to be a text"),
        ("variables: {A: true}", "the variable `A` has to be a text"),
        ("variables: {'A B': x}", "`A B` is no name of an environment variable"),
        ("variables: {PATH: /x}", "`PATH` is set by the environment itself"),
        ("wq-package: {git: [x]}", "`git` has to be a mapping"),
        ("wq-package: {git: {A: x}}", "`git.A`: it has to be a mapping"),
        ("wq-package: {git: {A: {}}}", "`git.A`: `remote` has to be"),
        ("wq-package: {git: {A: {remote: --upload-pack=x}}}", "`git.A`: `remote` has to be"),
        ("wq-package: {git: {A: {remote: x, ref: -f}}}", "`git.A`: `ref` has to be"),
        (
            "wq-package: {git: {A: {remote: x, branch: y}}}",
            "`git.A`: unknown key `branch`; it has `ref`, `remote`",
        ),
        ("wq-package: {http: {A: {url: 3}}}", "`http.A`: `url` has to be a text"),
        ("wq-package: {http: {A: {url: 'ftp://x'}}}", "`http.A`: `url` has to begin with"),
        ("wq-package: {http: {A: {url: 'https://[bad/x'}}}", "`http.A`: `url` is no address"),
        ("wq-package: {http: {A: {url: 'https://x:y/z'}}}", "`http.A`: `url` is no address"),
        ("wq-package: {git: {A: {remote: 'https://[bad/x'}}}", "`git.A`: `remote` has to be"),
        ("wq-package: {http: {A: {url: 'https://x'}, A: {url: 'https://y'}}}", "`A` stands twice"),
        ("dependencies: []\ndependencies: [numpy]\n", "`dependencies` stands twice"),
        ("? !!str [a]\n: 1\n", "expected a scalar node"),
        (
            "wq-package: {http: {A: {url: 'http://x', type: zip}}}",
            "`http.A`: `type` has to be `file` or `tar`",
        ),
        ("wq-package: {http: {A: {url: 'http://x', compression: xz}}}", "`http.A`: `compression` has to be"),
        ("wq-package: {http: {A: {url: 'http://x', sha256: abc}}}", "`http.A`: `sha256` has to be 64"),
        (
            "wq-package: {git: {A: {remote: x}}, http: {A: {url: 'http://x'}}}",
            "`A` is in both `git` and `http`",
        ),
        ("wq-package: [x]", "`wq-package` has to be a mapping with the keys `local`, `git` and `http`"),
    ],
)
def test_data__malformed__is_named(text: str, issue: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        parse_environment_yml(text, "env.yml")
    assert issue in str(caught.value)


def test_data__several_mistakes__are_all_named() -> None:
    with pytest.raises(InvalidSpecError) as caught:
        parse_environment_yml("variables: {1a: x}\nwq-package: {git: {A: 1}, http: {B: 2}}", "env.yml")
    assert all(word in str(caught.value) for word in ("`1a`", "`git.A`", "`http.B`"))


@pytest.mark.parametrize(
    ("source", "is_pinned"),
    [
        (DataSource("A", DataForm.GIT, "x", "0f" * 20), True),
        (DataSource("A", DataForm.GIT, "x", "main"), False),
        (DataSource("A", DataForm.GIT, "x"), False),
        (DataSource("A", DataForm.FILE, "x", sha256="0f" * 32), True),
        (DataSource("A", DataForm.TAR, "x"), False),
    ],
)
def test_data__a_whole_commit_or_a_digest__is_pinned(source: DataSource, is_pinned: bool) -> None:
    assert source.is_pinned is is_pinned


@pytest.mark.parametrize(
    ("text", "issue"),
    [
        ('{"conda": {}, "http": {"A": {"url": "http://x"}, "A": {"url": "http://y"}}}', "`A` stands twice"),
        ('{"conda": {}, "http": {"A": {"url": "http://x", "url": "http://y"}}}', "`url` stands twice"),
        (
            '{"conda": {}, "git": {"A": {"remote": "x"}}, "wq-package": {"git": {"B": {"remote": "x"}}}}',
            "`git` stands at the top level and under `wq-package`",
        ),
    ],
)
def test_data__twice_in_poncho__is_refused_with_its_name(text: str, issue: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        parse_poncho(text, "env.json")

    assert issue in str(caught.value)
