"""Where work runs: local threads, a local cluster, an existing scheduler; not what is computed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from rs_monitor.errors import ConfigError

Task = TypeVar("Task")
Value = TypeVar("Value")

IN_FLIGHT_PER_WORKER = 4


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Value]):
    """What became of one task: a value, or the error that ended it."""

    value: Value | None
    error: BaseException | None


class Pool(Protocol):
    """A place that runs a function over tasks."""

    workers: int

    def submit(self, function: Callable[[Any], Any], task: Any) -> Any:
        """Start one task and return its future."""

    def wait_any(self, futures: Sequence[Any]) -> set[Any]:
        """Block until at least one future is done; return the done ones."""

    def shape(self) -> dict[str, Any]:
        """Kind and size for the manifest; no addresses."""


class ThreadsPool:
    """Threads of this process; kernels and readers release the GIL."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor = ThreadPoolExecutor(workers)

    def submit(self, function: Callable[[Any], Any], task: Any) -> Future[Any]:
        """Start one task and return its future."""
        return self._executor.submit(function, task)

    def wait_any(self, futures: Sequence[Future[Any]]) -> set[Future[Any]]:
        """Block until at least one future is done; return the done ones."""
        return wait(futures, return_when=FIRST_COMPLETED).done

    def shape(self) -> dict[str, Any]:
        """Kind and size for the manifest."""
        return {"kind": "threads", "workers": self.workers}

    def close(self) -> None:
        """Let running tasks end; drop the waiting ones."""
        self._executor.shutdown(wait=True, cancel_futures=True)


class DistributedPool:
    """Workers of a dask.distributed scheduler."""

    def __init__(self, client: Any, kind: str) -> None:
        self._client = client
        self._kind = kind
        self.workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))

    def submit(self, function: Callable[[Any], Any], task: Any) -> Any:
        """Start one task and return its future."""
        return self._client.submit(function, task, pure=False, retries=2)

    def wait_any(self, futures: Sequence[Any]) -> set[Any]:
        """Block until at least one future is done; return the done ones."""
        from distributed import wait as wait_distributed

        done: set[Any] = wait_distributed(list(futures), return_when="FIRST_COMPLETED").done
        return done

    def shape(self) -> dict[str, Any]:
        """Kind and size for the manifest."""
        return {"kind": self._kind, "workers": self.workers}


def run_tasks(
    pool: Pool,
    function: Callable[[Task], Value],
    tasks: Sequence[Task],
    on_done: Callable[[Task], None] | None = None,
) -> list[Outcome[Value]]:
    """Run a function over tasks, a few per worker in flight.

    Parameters
    ----------
    pool : Pool
    function : callable
        Picklable; takes one task.
    tasks : sequence
        Picklable.
    on_done : callable, optional
        Told of every task that ended, in the coordinator.

    Returns
    -------
    list of Outcome
        In the order of ``tasks``, whatever order they ended in.
    """
    outcomes: list[Outcome[Value] | None] = [None] * len(tasks)
    waiting = iter(enumerate(tasks))
    running: dict[Any, int] = {}

    def fill() -> None:
        while len(running) < pool.workers * IN_FLIGHT_PER_WORKER:
            entry = next(waiting, None)
            if entry is None:
                return
            running[pool.submit(function, entry[1])] = entry[0]

    fill()
    while running:
        for future in pool.wait_any(list(running)):
            index = running.pop(future)
            error = future.exception()
            value = None if error is not None else future.result()
            outcomes[index] = Outcome(value, error)
            if on_done is not None:
                on_done(tasks[index])
        fill()
    return [outcome for outcome in outcomes if outcome is not None]


@contextmanager
def open_pool(
    kind: str, *, workers: int, memory_gb: float, address: str | None = None
) -> Iterator[Pool]:
    """Open the place where tasks run.

    Parameters
    ----------
    kind : str
        ``threads``, ``local`` (processes on this machine) or ``scheduler`` (existing, by address).
    workers : int
        Ignored for an existing scheduler.
    memory_gb : float
        Limit of one local worker process.
    address : str, optional
        Of the existing scheduler.
    """
    if kind == "threads":
        threads = ThreadsPool(workers)
        try:
            yield threads
        finally:
            threads.close()
        return
    from distributed import Client, LocalCluster

    if kind == "scheduler":
        with _connect(Client, address) as client:
            yield DistributedPool(client, kind)
        return
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=f"{memory_gb}GB",
            dashboard_address=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield DistributedPool(client, kind)


def _connect(client_type: Any, address: str | None) -> Any:
    try:
        return client_type(address, timeout="20s")
    except (OSError, ValueError) as error:
        raise ConfigError(
            "cluster.address",
            [f"no scheduler answered at {address}: {error}; start one or use kind 'threads'"],
        ) from error
