"""Every kind of app that Parsl has, in an environment of its own: the rows of the two tables in the migration notes."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import functools
import importlib
import math
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import parsl
import pytest
from parsl import Config, File, bash_app, join_app, python_app
from parsl.app.errors import AppTimeout, BashExitFailure
from parsl.data_provider.file_noop import NoOpFileStaging
from parsl.data_provider.http import HTTPInTaskStaging
from parsl.data_provider.staging import Staging
from parsl.providers import LocalProvider
from parsl.utils import RepresentationMixin

from wq_package.executor import WQPackageExecutor
from wq_package.executor.failures import TaskFailedError, UnreadableAnswerError, UnsendableError

pytestmark = pytest.mark.parsl

CONSTANT = 5


class OwnError(Exception):
    pass


class Point:
    def __init__(self, x: float) -> None:
        self.x = x


def helper(x: float) -> float:
    return math.sqrt(x) + CONSTANT


@functools.cache
def remembered(x: float) -> float:
    return helper(x)


def where() -> str:
    """The prefix that a call runs in: an environment of ours, never this one."""
    return sys.prefix


class VaultStaging(Staging, RepresentationMixin):  # type: ignore[misc]  # Parsl is not followed
    """A provider of the user's own: `vault:` files are copied inside the task, where no file system is shared."""

    def can_stage_in(self, file: File) -> bool:
        return bool(file.scheme == "vault")

    can_stage_out = can_stage_in

    def stage_in(self, dm: Any, executor: str, file: File, parent_fut: Any) -> None:
        file.local_path = file.filename

    stage_out = stage_in

    def replace_task(self, dm: Any, executor: str, file: File, f: Callable[..., Any]) -> Callable[..., Any]:
        return fetch_before(f, file.path, file.local_path)

    def replace_task_stage_out(
        self, dm: Any, executor: str, file: File, f: Callable[..., Any]
    ) -> Callable[..., Any]:
        return store_after(f, file.local_path, file.path)


def fetch_before(function: Callable[..., Any], source: str, target: str) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        shutil.copy(source, target)
        return function(*args, **kwargs)

    return wrapper


def store_after(function: Callable[..., Any], source: str, target: str) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        shutil.copy(source, target)
        return result

    return wrapper


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WQPackageExecutor]:
    """An executor with `pack=True`, loaded into Parsl, with a bare worker."""
    folder = tmp_path_factory.mktemp("parsl")
    executor = WQPackageExecutor(
        pack=True,
        cache_dir=str(folder / "cache"),
        worker_executable=f"env -i PATH=/nowhere {sys.executable} -m wq_package_cli worker",
        worker_options=f"--cores 1 --store {folder / 'store'}",
        storage_access=[NoOpFileStaging(), HTTPInTaskStaging(), VaultStaging()],
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    )
    config = Config(
        executors=[executor], run_dir=str(folder / "runinfo"), strategy="none", initialize_logging=False
    )
    with parsl.load(config):
        yield executor


@pytest.fixture(autouse=True)
def _in_folder(executor: WQPackageExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# -- decorators ----------------------------------------------------------------------------------------------------------


@python_app
def on_one_line(x: float) -> tuple[float, str]:
    return helper(x), where()


@python_app(
    cache=False,
    executors="all",
)
def over_several_lines(x: Any) -> Any:
    return helper(x)


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return ["traced", function(*args)]

    return inner


def untold(function: Callable[..., Any]) -> Callable[..., Any]:
    def inner(*args: Any) -> Any:
        return ["untold", function(*args)]

    return inner


@python_app
@traced
def stacked(x: float) -> float:
    return helper(x)


@python_app  # a comment beside the decorator
@untold
# a comment below it
def stacked_without_wraps(x: float) -> float:
    return helper(x)


def test_decorator_on_one_line__runs_in_a_packaged_environment() -> None:
    value, prefix = on_one_line(4).result()
    assert value == 7
    assert "/store/envs/" in prefix


def test_decorator_over_several_lines() -> None:
    assert over_several_lines(4).result() == 7


def test_two_decorators() -> None:
    assert stacked(4).result() == ["traced", 7]


def test_two_decorators_and_comments_without_wraps() -> None:
    assert stacked_without_wraps(4).result() == ["untold", 7]


# -- functions of every kind ---------------------------------------------------------------------------------------------


class Scaler:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def scale(self, x: float) -> float:
        return helper(x) * self.factor


def undecorated(x: float) -> float:
    return helper(x)


def test_function_without_decorator_syntax() -> None:
    assert python_app(undecorated)(4).result() == 7


def test_lambda() -> None:
    assert python_app(lambda x: helper(x) + 1)(4).result() == 8


def test_nested_function_with_closure() -> None:
    offset = 10

    @python_app
    def nested(x: int) -> int:
        return x + offset

    assert nested(1).result() == 11


def test_bound_method() -> None:
    assert python_app(Scaler(3).scale)(4).result() == 21


def test_builtin() -> None:
    assert python_app(len)("abc").result() == 3


def test_function_of_an_installed_package() -> None:
    assert python_app(np.linalg.norm)([3, 4]).result() == 5


def test_partial_of_an_installed_function() -> None:
    largest = functools.update_wrapper(functools.partial(np.max, axis=0, keepdims=True), np.max)
    assert python_app(largest)(np.array([[1, 5], [4, 2]])).result().tolist() == [[4, 5]]


def test_function_without_source() -> None:
    namespace: dict[str, Any] = {"np": np}
    exec("def total(n):\n    import math\n    return math.floor(np.arange(n).sum())\n", namespace)
    assert python_app(namespace["total"])(5).result() == 10


def test_many_closures_of_one_function__share_an_environment(executor: WQPackageExecutor) -> None:
    def make(offset: int) -> Any:
        @python_app
        def add(x: int) -> int:
            return x + offset

        return add

    assert [make(offset)(1).result() for offset in range(5)] == [1, 2, 3, 4, 5]
    assert len([packed for packed in executor.list_packed() if packed.name == "add"]) == 1


# -- what the body uses --------------------------------------------------------------------------------------------------


@python_app
def annotated(x: Any, y: np.ndarray | None = None) -> np.ndarray:
    return np.asarray([x, CONSTANT])


@python_app
def imports_inside(n: int) -> float:
    from scipy import special  # type: ignore[import-untyped]  # it has no stubs

    return float(special.factorial(n))


@python_app
def mean_of(table: Any) -> float:
    return float(table.mean())


def test_module_level_imports_constants_and_annotations() -> None:
    assert annotated(1).result().tolist() == [1, 5]


@python_app
def uses_cached(x: float) -> float:
    return remembered(x) + remembered(x)


def test_module_level_helper_with_a_cache() -> None:
    assert uses_cached(4).result() == 14


def test_imports_inside_the_body() -> None:
    assert imports_inside(4).result() == 24


def test_arguments_bring_their_distribution() -> None:
    assert mean_of(np.arange(5)).result() == 2


@python_app
def keeps_class(point: Point) -> Point:
    assert isinstance(point, Point)
    return Point(point.x + 1)


def test_own_class_goes_there_and_back() -> None:
    back = keeps_class(Point(1)).result()
    assert isinstance(back, Point)
    assert back.x == 2


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ModuleType]:
    """A program of several local files, as most are."""
    (tmp_path / "library.py").write_text(
        "import threading\nimport parsl\nfrom parsl import python_app\nimport measures\nfrom tools import units\n"
        "@python_app\ndef area(r):\n    return units.round_up(measures.area(r))\n"
        "@python_app\ndef itself():\n    import measures as again\n    return again is measures\n"
    )
    (tmp_path / "measures.py").write_text("import math\ndef area(r):\n    return math.pi * r * r\n")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").write_text("from . import units\n")
    (tmp_path / "tools" / "units.py").write_text(
        "import numpy as np\ndef round_up(x):\n    return float(np.ceil(x))\n"
    )
    sys.path.insert(0, str(tmp_path))
    importlib.invalidate_caches()
    yield importlib.import_module("library")
    sys.path.remove(str(tmp_path))
    for name in ("library", "measures", "tools", "tools.units"):
        sys.modules.pop(name, None)


def test_app_of_a_local_module__brings_the_modules_beside_it(project: ModuleType) -> None:
    assert project.area(1).result() == 4
    assert project.itself().result() is True


def test_edited_local_module__is_sent_again(project: ModuleType, tmp_path: Path) -> None:
    assert project.area(1).result() == 4
    (tmp_path / "measures.py").write_text("def area(r):\n    return 100\n")
    for name in ("library", "measures"):
        sys.modules.pop(name)
    importlib.invalidate_caches()
    library = importlib.import_module("library")
    assert library.area(1).result() == 100


# -- bash, join, walltime, staging ---------------------------------------------------------------------------------------


@bash_app
def shout(word: str, stdout: Any = parsl.AUTO_LOGNAME, stderr: Any = None) -> str:
    return f"echo {word.upper()}; echo whisper >&2"


@bash_app
def ends_with(code: int) -> str:
    return f"exit {code}"


@bash_app
def writes(outputs: Any = ()) -> str:
    return f"echo written > {outputs[0]}"


def test_bash_app__automatic_log_name() -> None:
    future = shout("hello")
    assert future.result() == 0
    assert Path(future.stdout).read_text() == "HELLO\n"


def test_bash_app__tuple_and_relative_streams(tmp_path: Path) -> None:
    assert shout("one", stdout=("logs/out", "w"), stderr="err").result() == 0
    assert shout("two", stdout=("logs/out", "a"), stderr="err").result() == 0
    assert (tmp_path / "logs/out").read_text() == "ONE\nTWO\n"
    assert (tmp_path / "err").read_text().count("\nwhisper\n") == 2


def test_bash_app__exit_code() -> None:
    with pytest.raises(BashExitFailure) as raised:
        ends_with(3).result()
    assert raised.value.exitcode == 3


@bash_app
def calls_nothing_known() -> str:
    return "no-such-program-anywhere"


def test_bash_app__program_that_no_worker_has__is_hinted_at() -> None:
    error = calls_nothing_known().exception()
    assert isinstance(error, BashExitFailure)
    assert any("`extra_pkgs`" in note for note in error.__notes__)


def test_bash_app__relative_output__comes_back(tmp_path: Path) -> None:
    future = writes(outputs=[File("deep/er/file")])
    assert future.outputs[0].result().filepath == "deep/er/file"
    assert (tmp_path / "deep/er/file").read_text() == "written\n"


@join_app
def joined(n: int) -> Any:
    return [over_several_lines(x * x) for x in range(n)]


def test_join_app__its_inner_apps_are_packaged() -> None:
    assert joined(3).result() == [5, 6, 7]


@python_app
def sleeps(seconds: float, walltime: float = 0.3) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    return "done"


def test_walltime() -> None:
    with pytest.raises(AppTimeout):
        sleeps(30).result()
    assert sleeps(0, walltime=300).result() == "done"


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from the web")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    """The address of a page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/page.txt"
    server.shutdown()
    server.server_close()
    thread.join()


@python_app
def reads(inputs: Any = ()) -> str:
    return Path(inputs[0].filepath).read_text()


def test_staging_inside_the_task(web: str) -> None:
    assert reads(inputs=[File(web)]).result() == "from the web"


@python_app
def doubles(inputs: Any = (), outputs: Any = ()) -> str:
    text = Path(inputs[0].filepath).read_text()
    Path(outputs[0].filepath).write_text(2 * text)
    return text


@bash_app
def doubles_line(inputs: Any = (), outputs: Any = ()) -> str:
    return f"read word < {inputs[0]}; echo $word$word > {outputs[0]}"


def test_staging_inside_the_task__provider_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("word\n")
    source = File(f"vault://{tmp_path}/in.txt")
    doubled = doubles(inputs=[source], outputs=[File(f"vault://{tmp_path}/twice.txt")])
    line = doubles_line(inputs=[source], outputs=[File(f"vault://{tmp_path}/line.txt")])
    assert doubled.result() == "word\n"
    assert line.result() == 0
    assert (tmp_path / "twice.txt").read_text() == "word\nword\n"
    assert (tmp_path / "line.txt").read_text() == "wordword\n"


@python_app
def copies_folder(folder: File, outputs: Any = ()) -> list[str]:
    shutil.copytree(folder.filepath, outputs[0].filepath)
    return sorted(path.name for path in Path(folder.filepath).iterdir())


def test_files__folders_travel_both_ways(tmp_path: Path) -> None:
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/deep/one").write_text("1")
    (tmp_path / "data/two").write_text("2")
    assert copies_folder(File("data"), outputs=[File("copied/all")]).result() == ["deep", "two"]
    assert (tmp_path / "copied/all/deep/one").read_text() == "1"


def test_files__relative_and_absolute(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/one").write_text("relative")
    (tmp_path / "two").write_text("absolute")
    assert reads(inputs=[File("in/one")]).result() == "relative"
    assert reads(inputs=[File(str(tmp_path / "two"))]).result() == "absolute"


# -- what goes wrong -----------------------------------------------------------------------------------------------------


@python_app
def raises(kind: str) -> Any:
    if kind == "own":
        raise OwnError("it is mine")
    if kind == "lock":
        return threading.Lock()
    if kind == "returns":
        return ValueError("a value")
    import no_such_module_anywhere  # type: ignore[import-not-found]  # what is tested

    return no_such_module_anywhere


def test_own_exception__keeps_its_class_and_shows_where() -> None:
    with pytest.raises(OwnError, match="it is mine") as raised:
        raises("own").result()
    assert "in raises" in str(raised.value.__cause__)


@python_app
def leave() -> None:
    sys.exit("enough")


class KeywordError(Exception):
    """Cannot be made from its `args` again."""

    def __init__(self, *, code: int) -> None:
        super().__init__("failed", code)
        self.code = code


@python_app
def raises_with_keywords() -> None:
    raise KeywordError(code=7)


def test_exception_with_keyword_only_arguments__keeps_its_type_and_what_it_holds() -> None:
    with pytest.raises(KeywordError) as raised:
        raises_with_keywords().result()
    assert (raised.value.code, raised.value.args) == (7, ("failed", 7))
    assert "in raises_with_keywords" in str(raised.value.__cause__)


@python_app
def größe(x: Any) -> Any:
    return len(x)


def test_app__name_beyond_ascii__runs() -> None:
    assert größe("abc").result() == 3


def test_sys_exit__fails_its_own_app_only() -> None:
    with pytest.raises(TaskFailedError, match=r"SystemExit.*enough"):
        leave().result(timeout=300)
    assert on_one_line(4).result(timeout=300)[0] == 7


def test_returned_exception__is_a_value() -> None:
    assert isinstance(raises("returns").result(), ValueError)


def test_unpicklable_result__says_so() -> None:
    with pytest.raises((UnreadableAnswerError, TypeError), match="pickle"):
        raises("lock").result()


def test_unpicklable_argument__says_so() -> None:
    with pytest.raises(UnsendableError, match="argument 1 of app `raises` cannot be pickled"):
        raises(sys.stderr).result()


def test_unknown_import__fails_where_it_is_made_with_a_note() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere") as raised:
        raises("import").result()
    assert any("no_such_module_anywhere" in note for note in raised.value.__notes__)


def test_retries__run_again(tmp_path: Path) -> None:
    """Parsl hands the same function to `submit` again."""
    marks = tmp_path / "marks"
    marks.mkdir()

    @python_app
    def fails_twice(folder: str) -> int:
        count = len(list(Path(folder).iterdir()))
        (Path(folder) / str(count)).touch()
        if count < 2:
            raise OwnError(str(count))
        return count

    with pytest.raises(OwnError):
        fails_twice(str(marks)).result()
    with pytest.raises(OwnError):
        fails_twice(str(marks)).result()
    assert fails_twice(str(marks)).result() == 2
