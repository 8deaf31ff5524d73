from __future__ import annotations

import pytest

from wq_package.build.conda.failures import ChildError, explain_fetch, explain_solve
from wq_package.build.conda.records import CondaRecord, parse_record
from wq_package.errors import BuildError, ChannelUnreachableError

FORGE = "https://conda.anaconda.org/conda-forge"
LOCAL = "file:///srv/channel"


def _explain(
    kind: str,
    text: str,
    channels: tuple[str, ...] = (FORGE,),
    specs: tuple[str, ...] = (),
    loose: tuple[CondaRecord, ...] = (),
    offline: bool = False,
) -> BuildError:
    return explain_solve(ChildError({"kind": kind, "text": text}), channels, specs, loose, offline=offline)


def test_explain_solve__no_such_package__names_it_and_the_channel() -> None:
    error = _explain(
        "SolverError", "Cannot solve the request because of: No candidates were found for numpy 3.*.\n"
    )
    assert str(error) == "no package `numpy 3.*` in `conda-forge`"
    assert "under `pip:`" in str(error.hint)


def test_explain_solve__contradiction__keeps_the_solver_s_tree() -> None:
    tree = "The following packages are incompatible\n└─ numpy cannot be installed\n"
    error = _explain("SolverError", f"Cannot solve the request because of: {tree}")
    assert str(error) == f"the conda requirements contradict each other in `conda-forge`:\n{tree.rstrip()}"


def test_explain_solve__only_mixed_channels_would_do__says_which() -> None:
    taken = parse_record(
        {"name": "numpy", "version": "2", "build": "0", "fn": "", "url": "", "channel": f"{LOCAL}/"}
    )
    error = _explain(
        "SolverError", "Cannot solve the request because of: x\n", (FORGE, LOCAL), loose=(taken,)
    )
    assert "first channel that has it: x" in str(error)
    assert "`numpy 2` from `channel`" in str(error.hint)


def test_explain_solve__no_network__names_channel_cause_and_way_out() -> None:
    text = f"error sending request for url ({FORGE}/linux-64/repodata.json)\nCaused by: dns error\nCaused by: no such host"
    specs = ("python=3.11", "numpy=2.4.6=py311_0", "scipy>=1", "conda-forge::rich=15")
    error = _explain("GatewayError", text, specs=specs)
    assert str(error) == f"the channel `conda-forge` (`{FORGE}`) cannot be reached: no such host"
    assert "--allow-pypi, these come" in str(error.hint)
    assert "`numpy==2.4.6`, `scipy>=1` and `rich==15.*`" in str(error.hint)
    assert isinstance(error, ChannelUnreachableError)
    assert error.wheels == ("numpy==2.4.6", "scipy>=1", "rich==15.*")


def test_explain_solve__offline__says_that_it_is_not_cached() -> None:
    error = _explain("GatewayError", f"no cache available for {FORGE}", offline=True)
    assert "is not in the cache" in str(error)
    assert "without --offline" in str(error.hint)


def test_explain_solve__channel_with_a_password__does_not_show_it() -> None:
    url = "https://ann:secret@example.org/t/token/mine"
    error = _explain("GatewayError", f"error sending request for url ({url}/noarch/repodata.json)", (url,))
    assert "secret" not in f"{error} {error.hint}"
    assert "token" not in f"{error} {error.hint}"


def test_explain_solve__folder_that_is_no_channel__names_the_path() -> None:
    error = _explain(
        "GatewayError",
        f"could not find subdir 'noarch' in channel '{LOCAL}/'\nCaused by: No such file",
        (LOCAL,),
    )
    assert str(error) == "`/srv/channel` is not a conda channel: No such file"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("InvalidMatchSpecError", "requirement cannot be read"),
        ("InvalidChannelError", "channel cannot be read"),
        ("PanicException", "py-rattler failed"),
    ],
)
def test_explain_solve__other_kinds(kind: str, words: str) -> None:
    assert words in str(_explain(kind, "because\nmore"))


RECORD = parse_record(
    {"name": "a", "version": "1", "build": "0", "fn": "", "url": f"{FORGE}/noarch/a-1-0.conda"}
)


def test_explain_fetch__another_digest__shows_both() -> None:
    answer = {"kind": "digest", "url": RECORD.url, "wanted": "aa", "found": "bb"}
    error = explain_fetch(ChildError(answer), [RECORD])
    assert "`a-1-0`" in str(error)
    assert "expected aa, found bb" in str(error)


def test_explain_fetch__local_file_that_is_no_package() -> None:
    answer = {"kind": "fetch", "url": f"{LOCAL}/noarch/a-1-0.conda", "text": "x\nCaused by: invalid zip"}
    error = explain_fetch(ChildError(answer), [RECORD])
    assert str(error) == "a package cannot be extracted from `/srv/channel/noarch/a-1-0.conda`: invalid zip"
