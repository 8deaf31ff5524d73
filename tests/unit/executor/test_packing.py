from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from pathlib import Path
from types import FunctionType

import pytest

from wq_package.errors import BuildError, SourceSyntaxError
from wq_package.executor.packed import Built, PackedLayer, digest_spec, serves
from wq_package.executor.packing import Packer, PackingEntry
from wq_package.executor.requirements import Needs
from wq_package.executor.shipments import AppKey
from wq_package.spec.environment import DataForm, DataSource, EnvironmentSpec, LocalSource, WheelRequirement
from wq_package.task import Environment


def make_spec(*wheels: str) -> EnvironmentSpec:
    return EnvironmentSpec(python="3.11.7", wheels=tuple(WheelRequirement(text) for text in wheels))


class FakeAnalyzer:
    """Knows the needs of apps by the name of their first place."""

    def __init__(self, specs: dict[str, EnvironmentSpec]) -> None:
        self.specs = specs
        self.asked: list[str] = []
        self.error: BaseException | None = None
        self.problems: tuple[str, ...] = ()
        self.suggestions: tuple[str, ...] = ()

    def find_needs(self, roots: Sequence[FunctionType], key: AppKey) -> Needs:
        name = key.places[0][0]
        self.asked.append(name)
        if self.error is not None:
            raise self.error
        return Needs(self.specs[name], ("numpy",), self.problems, self.suggestions)


class FakeBuilder:
    """Builds when `go` says so."""

    def __init__(self) -> None:
        self.go: dict[str, threading.Event] = {}
        self.built: list[str] = []
        self.error: BaseException | None = None

    def build(self, spec: EnvironmentSpec) -> Built:
        name = spec.wheels[0].text
        if name in self.go:
            assert self.go[name].wait(10)
        self.built.append(name)
        if self.error is not None:
            raise self.error
        return Built(Path("/cache") / name, f"digest of {name}")

    def find_given(self, given: str) -> Built:
        self.built.append(given)
        layers = (PackedLayer("interpreter", "python", "3.11.7", 1), PackedLayer("wheel", "torch", "2.0", 1))
        return Built(Path(given), "given", layers)

    def extend(self, built: Built, sources: Sequence[LocalSource]) -> Built:
        self.built.append("+".join(source.import_name for source in sources))
        layers = (*built.layers, *(PackedLayer("local", source.import_name, "0", 1) for source in sources))
        return Built(Path("extended"), f"{built.digest} and more", layers)

    def identify_given(self, given: str) -> str:
        return f"identity of {given}"


KEYS = {name: AppKey(places=((name, 1, name, 0),)) for name in ("one", "two", "three")}
SPECS = {"one": make_spec("a"), "two": make_spec("a"), "three": make_spec("b")}


@pytest.fixture
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer(SPECS)


@pytest.fixture
def builder() -> FakeBuilder:
    return FakeBuilder()


@pytest.fixture
def packer(analyzer: FakeAnalyzer, builder: FakeBuilder) -> Iterator[Packer]:
    packer = Packer(analyzer, builder)
    yield packer
    for event in builder.go.values():
        event.set()
    packer.close()


def ask(packer: Packer, key: AppKey) -> Future[Environment]:
    answer: Future[Environment] = Future()
    packer.wait(packer.request("app", key, ()), make_waiter(answer))
    return answer


def make_waiter(answer: Future[Environment]) -> Callable[[Environment | None, BaseException | None], None]:
    def tell(environment: Environment | None, error: BaseException | None) -> None:
        if environment is not None:
            answer.set_result(environment)
        else:
            answer.set_exception(error)

    return tell


def test_request__new_app__is_analysed_and_built(packer: Packer) -> None:
    assert ask(packer, KEYS["one"]).result(10) == Environment("digest of a", "/cache/a", ("numpy",))
    (packed,) = packer.list_packed()
    assert (packed.name, packed.spec) == ("app", SPECS["one"])


def test_request__known_app__is_not_analysed_again(packer: Packer, analyzer: FakeAnalyzer) -> None:
    for _ in range(3):
        ask(packer, KEYS["one"]).result(10)
    assert analyzer.asked == ["one"]
    assert isinstance(packer.find(KEYS["one"]), PackingEntry)


def test_request__two_apps_of_one_spec__are_built_once(packer: Packer, builder: FakeBuilder) -> None:
    builder.go["a"] = threading.Event()
    answers = [ask(packer, KEYS["one"]), ask(packer, KEYS["two"])]
    builder.go["a"].set()
    assert answers[0].result(10) == answers[1].result(10)
    assert builder.built == ["a"]


def test_list_packed__same_app_and_environment__is_named_once(packer: Packer) -> None:
    for name in ("one", "three", "two"):
        ask(packer, KEYS[name]).result(10)
    assert [app.environment.digest for app in packer.list_packed()] == ["digest of a", "digest of b"]


def test_request__slow_build__does_not_hold_up_other_apps(packer: Packer, builder: FakeBuilder) -> None:
    builder.go["a"] = threading.Event()
    slow = ask(packer, KEYS["one"])
    assert ask(packer, KEYS["three"]).result(10).digest == "digest of b"
    assert not slow.done()
    builder.go["a"].set()
    assert slow.result(10).digest == "digest of a"


OWN = EnvironmentSpec(wheels=(WheelRequirement("numpy==1"),), local=(LocalSource("mine", "/mine.py", "d1"),))


def test_request__given_archive__only_modules_of_the_users_own_join_it(
    packer: Packer, analyzer: FakeAnalyzer, builder: FakeBuilder
) -> None:
    analyzer.specs = {**SPECS, "two": OWN, "three": OWN}
    keys = {name: replace(key, given="/my/env.tar.gz") for name, key in KEYS.items()}
    assert ask(packer, keys["one"]).result(10).digest == "given"
    assert ask(packer, keys["two"]).result(10).archive == "extended"
    assert ask(packer, keys["three"]).result(10).digest == "given and more"
    assert builder.built == ["/my/env.tar.gz", "mine"]
    (one, two) = packer.list_packed()
    assert one.spec == EnvironmentSpec(python="3.11.7", wheels=(WheelRequirement("torch==2.0"),))
    assert two.spec == replace(one.spec, local=(LocalSource("mine", "", "0"),))
    assert (one.given, two.problems) == ("/my/env.tar.gz", ())


def test_request__given_archive_and_unreadable_source__goes_without_own_modules(
    packer: Packer, analyzer: FakeAnalyzer, caplog: pytest.LogCaptureFixture
) -> None:
    analyzer.error = SourceSyntaxError("app.py", 3, "invalid syntax")
    assert ask(packer, replace(KEYS["one"], given="env.yml")).result(10).digest == "given"
    assert "what runs in `env.yml` goes there without modules of your own: `app.py`" in caplog.text


def test_request__problems_and_suggestions__are_told_once_for_an_app(
    packer: Packer, analyzer: FakeAnalyzer, caplog: pytest.LogCaptureFixture
) -> None:
    analyzer.problems, analyzer.suggestions = ("no `absent`",), ("perhaps `openpyxl`",)
    for key in (KEYS["one"], replace(KEYS["one"], modules=("numpy",))):
        ask(packer, key).result(10)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["app app: no `absent`", "app app: perhaps `openpyxl`"]
    assert packer.list_packed()[0].suggestions == ("perhaps `openpyxl`",)


def test_request__failed_build__tells_all_who_wait(packer: Packer, builder: FakeBuilder) -> None:
    builder.go["a"] = threading.Event()
    builder.error = BuildError("no such wheel", hint="check the version")
    answers = [ask(packer, KEYS[name]) for name in ("one", "one", "two")]
    builder.go["a"].set()
    for answer in answers:
        assert answer.exception(60) is builder.error
    assert packer.list_packed() == ()


def test_request__failed_before__is_tried_again(
    packer: Packer, analyzer: FakeAnalyzer, builder: FakeBuilder
) -> None:
    builder.error = BuildError("the index cannot be reached")
    assert ask(packer, KEYS["one"]).exception(60) is builder.error
    assert packer.find(KEYS["one"]) is None
    builder.error, analyzer.error = None, SourceSyntaxError("app.py", 3, "invalid syntax")
    assert ask(packer, KEYS["one"]).exception(60) is analyzer.error
    analyzer.error = None
    assert ask(packer, KEYS["one"]).result(60).digest == "digest of a"
    assert builder.built == ["a", "a"]


def test_request__after_close__never_starts(analyzer: FakeAnalyzer, builder: FakeBuilder) -> None:
    packer = Packer(analyzer, builder)
    packer.close()
    assert not ask(packer, KEYS["one"]).done()
    assert analyzer.asked == []


def test_digest_spec__says_what_is_in_it_and_not_where() -> None:
    base = EnvironmentSpec(python="3.11.7", local=(LocalSource("m", "/here/m.py", "d1"),))
    moved = EnvironmentSpec(name="x", python="3.11.7", local=(LocalSource("m", "/there/m.py", "d1"),))
    edited = EnvironmentSpec(python="3.11.7", local=(LocalSource("m", "/here/m.py", "d2"),))
    assert digest_spec(base) == digest_spec(moved)
    assert digest_spec(base) != digest_spec(edited)
    assert digest_spec(make_spec("a==1")) != digest_spec(make_spec("a==2"))


def test_identify__is_known_before_the_environment_is_built(packer: Packer, builder: FakeBuilder) -> None:
    builder.go["a"] = threading.Event()
    entry = packer.request("app", KEYS["one"], ())
    assert packer.identify("app", KEYS["one"], ()) == digest_spec(SPECS["one"])
    assert entry.environment is None
    given = replace(KEYS["one"], given="env.yml")
    assert packer.identify("app", given, ()) == "identity of env.yml"


def test_identify__given_with_modules_of_the_users_own__says_what_is_in_them(
    packer: Packer, analyzer: FakeAnalyzer
) -> None:
    edited = replace(OWN, local=(replace(OWN.local[0], digest="d2"),))
    analyzer.specs = {"one": OWN, "two": OWN, "three": edited}
    one, two, three = (packer.identify("app", replace(key, given="env.yml"), ()) for key in KEYS.values())
    assert one == two != three


def test_identify__cannot_be_found_out__tells_why(packer: Packer, analyzer: FakeAnalyzer) -> None:
    analyzer.specs = {}
    with pytest.raises(KeyError):
        packer.identify("app", KEYS["one"], ())


def test_merge__app_whose_needs_are_met__shares_the_environment(
    analyzer: FakeAnalyzer, builder: FakeBuilder
) -> None:
    analyzer.specs = {"one": make_spec("a", "b", "c"), "two": make_spec("a", "b"), "three": make_spec("b")}
    for merge, built in ((True, ["a"]), (False, ["a", "a", "b"])):
        builder.built = []
        packer = Packer(analyzer, builder, threads=1, merge=merge)
        digests = [ask(packer, KEYS[name]).result(60).digest for name in ("one", "two", "three")]
        packer.close()
        assert builder.built == built
        assert digests == [f"digest of {name}" for name in (built if not merge else ["a"] * 3)]


@pytest.mark.parametrize(
    ("larger", "expected"),
    [
        (make_spec("a", "b"), True),
        (make_spec("a"), True),
        (make_spec("b"), False),
        (replace(make_spec("a"), python="3.12.0"), False),
        (replace(make_spec("a"), local=(LocalSource("own", "/x/own.py", "1"),)), True),
    ],
)
def test_serves__everything_in_the_same_versions(larger: EnvironmentSpec, expected: bool) -> None:
    assert serves(larger, make_spec("a")) is expected


def test_serves__other_source_of_the_same_name__does_not() -> None:
    one, other = (replace(make_spec("a"), local=(LocalSource("own", "/own.py", each),)) for each in "12")
    assert not serves(one, other)
    assert serves(one, replace(one, local=(LocalSource("own", "/elsewhere/own.py", "1"),)))


def test_identify__closed_before_it_began__does_not_wait_for_ever(packer: Packer) -> None:
    packer.close()
    with pytest.raises(CancelledError):
        packer.identify("app", KEYS["one"], ())


def test_digest_spec__other_data_or_variables__is_another_environment() -> None:
    spec = make_spec("numpy==1")
    table = DataSource("TABLE", DataForm.FILE, "https://example.org/t", sha256="0f" * 32)
    others = (
        replace(spec, data=(table,)),
        replace(spec, data=(replace(table, sha256="0e" * 32),)),
        replace(spec, variables=(("GREETING", "hello"),)),
        replace(spec, variables=(("GREETING", "goodbye"),)),
    )
    assert len({digest_spec(each) for each in (spec, *others)}) == 5
    assert not any(serves(spec, each) for each in others)
    assert all(serves(each, spec) for each in others)
