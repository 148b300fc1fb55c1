"""joblib on forked processes: after `register_joblib()`, ``Parallel(backend="shm")`` and ``parallel_config("shm")``.

joblib is not needed for anything else, and is imported when it is registered with.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

from ._executor import Executor
from ._workers import cpu_count


def register_joblib(make_default: bool = False) -> None:
    """Makes ``backend="shm"`` known to joblib, with `make_default` as the one that is used when none is named. ImportError without joblib.

    Its workers inherit everything by fork, so functions and arguments are not pickled, and arrays that are large need no memory map: what the
    functions change in private memory is lost with their process, what they change in shared arrays is there for all.
    """
    try:
        import joblib
        from joblib._parallel_backends import AutoBatchingMixin, ParallelBackendBase
    except ImportError as error:
        raise ImportError("register_joblib() needs the package joblib (pip install joblib)") from error

    class Backend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
        """joblib's interface over `shm.Executor`. joblib itself decides how many of its calls make a batch."""

        supports_retrieve_callback = True
        supports_inner_max_num_threads = False
        uses_threads = False
        supports_sharedmem = False
        _executor: Optional[Executor] = None

        def effective_n_jobs(self, n_jobs: Optional[int]) -> int:
            if n_jobs == 0:
                raise ValueError("n_jobs == 0 in Parallel has no meaning")
            if n_jobs is None:
                return 1
            return n_jobs if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)

        def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
            n_jobs = self.effective_n_jobs(n_jobs)
            self.parallel = parallel
            self._executor = Executor(n_jobs)
            return n_jobs

        def submit(self, func: Callable[[], Any], callback: Optional[Callable[[Any], Any]] = None) -> Any:
            assert self._executor is not None
            future = self._executor.submit(func)
            if callback is not None:
                future.add_done_callback(callback)
            return future

        apply_async = submit

        def retrieve_result_callback(self, out: Any) -> Any:
            return out.result()

        def terminate(self) -> None:
            executor, self._executor = self._executor, None
            if executor is not None:
                executor.shutdown()
            self.reset_batch_stats()

        def abort_everything(self, ensure_ready: bool = True) -> None:
            executor = self._executor
            if executor is not None:
                executor.shutdown(wait=False, cancel_futures=True)
                executor.kill_workers()
                self._executor = Executor(executor.workers) if ensure_ready else None

    joblib.register_parallel_backend("shm", Backend, make_default=make_default)
