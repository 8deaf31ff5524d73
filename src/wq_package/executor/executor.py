"""`WQPackageExecutor`: what Parsl calls, wired to the parts that do the work (shell module).

Knows Parsl's executor interface and the life of its parts: the manager, the packer, the blocks of workers. The way of a task is
told in `routing`, what failed in `failures`.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import parsl
import typeguard
from parsl.app.app import AppBase
from parsl.app.bash import BashApp
from parsl.executors.errors import BadStateException
from parsl.monitoring.radios.base import RadioConfig
from parsl.monitoring.radios.filesystem import FilesystemRadio
from parsl.providers import CondorProvider, LocalProvider
from parsl.providers.base import ExecutionProvider
from parsl.usage_tracking.api import UsageInformation
from parsl.utils import RepresentationMixin

from wq_package.catalog import CatalogAddress
from wq_package.errors import WQPackageError
from wq_package.executor.archives import ArchiveBuilder
from wq_package.executor.blocks import WorkerBlocks
from wq_package.executor.delivery import Delivery
from wq_package.executor.drift import compare_versions, find_own_versions, parse_features
from wq_package.executor.failures import ManagerStoppedError
from wq_package.executor.labelling import choose_call_mode, find_labelling
from wq_package.executor.listening import Listening, default_worker_command
from wq_package.executor.packed import PackedApp
from wq_package.executor.packing import Packer
from wq_package.executor.parameters import check_parameters
from wq_package.executor.parsl_log import forward_log
from wq_package.executor.requirements import SourceAnalyzer
from wq_package.executor.routing import RoutingOptions, TaskRouter
from wq_package.manager import BlockingManager
from wq_package.manager.passwords import make_password, save_password

__all__ = ["WQPackageExecutor", "default_worker_command"]

logger = logging.getLogger(__name__)


class WQPackageExecutor(WorkerBlocks, RepresentationMixin, UsageInformation):  # type: ignore[misc]  # Parsl is not followed
    """Runs every app in its own packaged environment, on workers that need have nothing installed.

    Args:
        label: name of the executor, unique in the program.
        provider: how blocks of workers are started; by default a new `LocalProvider`, one block on this machine.
        working_dir: folder for staging providers.
        project_name: a name under which catalogs know this executor, so that workers find it. Nobody is told unless a
            catalog is named, too.
        project_password_file: file with the password that workers must know; by default one is made for each run.
        address: what workers are told to connect to; by default this machine's loopback address, and nobody else can
            connect. Any other address, and a catalog elsewhere, make the manager listen on all interfaces.
        port: TCP port to listen on; 0 for any that is free.
        env: environment variables for every task.
        shared_fs: workers see the same files under the same paths, so that nothing is staged.
        storage_access: staging providers; Parsl's defaults if `None`.
        use_cache: keep input files on workers, by content, for other tasks.
        pack: analyse each app, build its environment and send it to the workers. Without it, workers use their own Python.
        extra_pkgs: requirements to add to every environment, such as programs that an app calls by name.
        environment: the environment of all apps, in place of the analysis: an archive, a spec file, a lock, the folder
            of an environment, the name of a conda environment, or the digest of one that was built before.
        environments: the same for single apps, by name.
        merge_environments: let an app run in an environment that is made for another, if everything that it needs is in there
            in the same versions.
        autolabel: give tasks that declare nothing as much of a worker as others of their category turned out to use, instead
            of a whole one: `True` or a mode of `wq_package.resources.LabelMode`.
        autolabel_window: how many measured tasks it takes until that is trusted.
        autocategory: each app is a category of its own.
        max_retries: how often a task is tried again after losing its worker, apart from Parsl's own retries; `None` for
            ever. With 0, a task that has begun on a worker that is killed does not run again, and none is sent to a worker ahead of
            its turn.
        init_command: shell command to run before each worker starts.
        worker_options: further options of the worker.
        worker_executable: what starts a worker; by default this Python with this package.
        scaling_cores_per_worker: cores that a worker is expected to have; a hint for scaling only.
        call_mode: `in-place` for speed, or `fork` to run each call in a process of its own, where it can be measured; by
            default `in-place`, and `fork` with `autolabel`.
        enforce_limits: whether a task that uses more memory or disk than its `parsl_resource_specification` declares is
            ended, with `ResourcesExhaustedError`, and kept on processors of its own. It runs as with `fork` then.
        cache_dir: where layers and archives are kept between runs; by default the user's cache folder.
        tls: whether workers connect by TLS; by default with any `address` but loopback, except for `work_queue_worker`,
            which cannot.
        catalog: the catalogs to tell of `project_name`: `HOST[:PORT]`, several separated by commas; by default those that
            CATALOG_HOST and CATALOG_PORT name.
        transaction_log: a file to which is added what happens to tasks and workers, for `wq-package report`.
        block_error_handler: as in Parsl's other executors.
        remote_monitoring_radio: how tasks report to Parsl's monitoring.
    """

    @typeguard.typechecked
    def __init__(  # noqa: PLR0913 - the parameters of Parsl's `WorkQueueExecutor`, and a few more
        self,
        label: str = "WQPackageExecutor",
        provider: ExecutionProvider | None = None,
        working_dir: str = ".",
        project_name: str | None = None,
        project_password_file: str | None = None,
        address: str | None = None,
        port: int = 0,
        env: dict[str, str] | None = None,
        shared_fs: bool = False,  # noqa: FBT001, FBT002 - as in Parsl
        storage_access: list[Any] | None = None,
        use_cache: bool = True,  # noqa: FBT001, FBT002 - as in Parsl
        pack: bool = False,  # noqa: FBT001, FBT002 - as in Parsl
        extra_pkgs: list[str] | None = None,
        autolabel: bool | str = False,  # noqa: FBT001, FBT002 - as in Parsl
        autolabel_window: int = 1,
        autocategory: bool = True,  # noqa: FBT001, FBT002 - as in Parsl
        max_retries: int | None = 1,
        init_command: str = "",
        worker_options: str = "",
        worker_executable: str | None = None,
        scaling_cores_per_worker: int = 1,
        environment: str | None = None,
        environments: dict[str, str] | None = None,
        merge_environments: bool = False,  # noqa: FBT001, FBT002 - as the others
        call_mode: str | None = None,
        enforce_limits: bool = False,  # noqa: FBT001, FBT002 - as those beside it
        cache_dir: str | None = None,
        tls: bool | None = None,  # noqa: FBT001 - as the others
        catalog: str | None = None,
        transaction_log: str | None = None,
        block_error_handler: bool | Callable[..., None] = True,  # noqa: FBT001, FBT002 - as in Parsl
        remote_monitoring_radio: RadioConfig | None = None,
    ) -> None:
        check_parameters(port, max_retries, extra_pkgs or ())
        # Each executor needs a provider of its own: a default argument would be shared by all of them.
        super().__init__(provider or LocalProvider(), block_error_handler)
        self.label = label
        self.working_dir = working_dir
        self.project_name = project_name
        self.project_password_file = project_password_file
        self.address = address
        self.port = port
        self.env = None if env is None else HiddenValues(env)
        self.shared_fs = shared_fs
        self.storage_access = storage_access
        self.use_cache = use_cache
        self.pack = pack
        self.extra_pkgs = extra_pkgs
        self.environment = environment
        self.environments = environments
        self.merge_environments = merge_environments
        self.autolabel = autolabel
        self.autolabel_window = autolabel_window
        self.enforce_limits = enforce_limits
        self.autocategory = autocategory
        self.max_retries = max_retries
        self.init_command = init_command
        self.worker_options = worker_options
        self.worker_executable = worker_executable
        self.scaling_cores_per_worker = scaling_cores_per_worker
        self.call_mode = call_mode
        self.cache_dir = cache_dir
        self.tls = tls
        self.catalog = catalog
        self.transaction_log = transaction_log
        self.remote_monitoring_radio = remote_monitoring_radio or FilesystemRadio()
        self._labelling = find_labelling(autolabel, autolabel_window)
        self._mode = choose_call_mode(call_mode, self._labelling)
        self._listening = Listening(
            address, port, project_name, catalog, tls, worker_executable, worker_options, transaction_log
        )
        self._delivery = Delivery()
        self._drifts: set[str] = set()

    # -- life ------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen for workers, and start the first blocks at once instead of at Parsl's first strategy tick."""
        super().start()
        self.check_script_folder()
        forward_log()
        self._folder = Path(self.run_dir) / self.label
        self._folder.mkdir(parents=True, exist_ok=True)
        catalogs = self._listening.find_catalogs(os.environ)
        self._password_file = self._prepare_password()
        options = self._listening.make_options(
            self._password_file.read_bytes(), catalogs, self._labelling, self._greet
        )
        if self.max_retries == 0:  # what waits at a worker may begin there unknown to us
            options = replace(options, look_ahead=0)
        self._manager = BlockingManager(options)
        self._manager.start()
        self._archives = ArchiveBuilder(
            None if self.cache_dir is None else Path(self.cache_dir).expanduser().resolve()
        )
        self._packer = self._make_packer()
        self._router = TaskRouter(self._make_routing(), self._packer, self._delivery, self._manager)
        self._delivery.start()
        self.worker_command = self._make_worker_command(catalogs)
        self.start_first_blocks()

    def shutdown(self) -> None:
        """Stop building, stop the workers, and fail what has not ended."""
        for name in self._router.list_uncalled():
            logger.warning("`environments` names app `%s`, and no app of that name was called", name)
        self._packer.close()
        self._delivery.fail_all(
            lambda: ManagerStoppedError("the executor was shut down before the task ended")
        )
        self._manager.stop()
        self._delivery.stop()
        self._archives.close()
        self.cancel_blocks()
        if self.project_password_file is None:
            self._password_file.unlink(missing_ok=True)
        super().shutdown()

    def _prepare_password(self) -> Path:
        if self.project_password_file is not None:
            path = Path(self.project_password_file).resolve()
            if not path.is_file():
                raise WQPackageError(
                    f"there is no password file `{path}`",
                    hint="leave `project_password_file` out to have one made",
                )
            return path
        path = self._folder / "password"
        save_password(make_password(), path)
        return path

    def _make_packer(self) -> Packer:
        analyzer = SourceAnalyzer(self.extra_pkgs or [], f"parsl=={parsl.__version__}")
        return Packer(analyzer, self._archives, merge=self.merge_environments)

    def _make_routing(self) -> RoutingOptions:
        return RoutingOptions(
            pack=self.pack,
            environment=self.environment,
            environments=self.environments or {},
            variables=tuple((self.env or {}).items()),
            mode=self._mode,
            shared_fs=self.shared_fs,
            use_cache=self.use_cache,
            autocategory=self.autocategory,
            max_retries=self.max_retries,
            enforce_limits=self.enforce_limits,
        )

    # -- tasks -----------------------------------------------------------------------------------------------------------

    def submit(
        self, func: Callable[..., Any], resource_specification: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """Send one call on its way.

        Raises:
            InvalidResourceSpecification: a key or a value of the specification is wrong.
            UnsendableError: the function or an argument cannot be pickled.
        """
        if self.bad_state_is_set:
            raise BadStateException(self, self.executor_exception)
        return self._router.submit(func, resource_specification, args, kwargs)

    def prepare(self, *apps: AppBase) -> None:
        """Begin to make the environments of apps before their first tasks are there; returns at once.

        Args:
            apps: what Parsl's decorators made.

        Raises:
            UnsendableError: a function cannot be pickled.
        """
        for app in apps:
            self._router.prepare(app.wrapped_remote_function if isinstance(app, BashApp) else app.func)

    def identify_environment(self, func: Callable[..., Any]) -> str:
        """Name what is in the environment that an app runs in; empty if that is the workers' own.

        Waits until the app has been analysed, but for no build.

        Raises:
            UnsendableError: the function cannot be pickled.
            WQPackageError: what it needs cannot be found out.
        """
        return self._router.identify_environment(func)

    @property
    def tasks(self) -> dict[object, Future[Any]]:
        """The futures of all tasks that have not ended."""
        return {pending.task_id: pending.future for pending in self._delivery.list_pending()}

    def get_usage_information(self) -> dict[str, bool]:
        """Tell Parsl's usage tracking, if the user has asked for it, how the executor is used."""
        return {"pack": self.pack, "autolabel": bool(self.autolabel)}

    def list_packed(self) -> tuple[PackedApp, ...]:
        """List the apps whose environments are ready: specs, layers and times."""
        return self._packer.list_packed()

    def _greet(self, worker: str, features: frozenset[str]) -> None:
        """Say once for each difference how a worker's own Python differs, if apps run in it."""
        there = parse_features(features)
        if self.pack or self.environment is not None or not there:
            return
        table = compare_versions(find_own_versions(), there)
        if table and table not in self._drifts:
            self._drifts.add(table)
            logger.warning("apps run in another Python on worker %s than here:\n%s", worker, table)

    # -- blocks ----------------------------------------------------------------------------------------------------------

    def outstanding(self) -> int:
        """Count the cores that waiting and running tasks ask for."""
        return math.ceil(sum(pending.demand.cores for pending in self._delivery.list_pending()))

    def count_tasks_by_feature(self) -> dict[str, int]:
        """Count the tasks at the workers that announced each feature."""
        return self._manager.count_tasks_by_feature()

    def set_bad_state_and_fail_all(self, exception: Exception) -> None:
        """Fail all tasks, now and from now on."""
        logger.error("executor %s cannot go on: %s", self.label, exception)
        self._executor_exception = exception
        self._executor_bad_state.set()
        self._delivery.fail_all(lambda: BadStateException(self, exception))

    def _make_worker_command(self, catalogs: tuple[CatalogAddress, ...]) -> str:
        password = str(self._password_file)
        if isinstance(self.provider, CondorProvider):  # the job runs in a folder of its own
            self.provider.transfer_input_files.append(password)
            password = self._password_file.name
        return self._listening.make_worker_command(
            self._manager.port, password, self._manager.tls_fingerprint, catalogs
        )


class HiddenValues(dict[str, str]):
    """Variables whose values may be secret: the executor's representation stands in Parsl's log."""

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: '...'" for name in self) + "}"
