import math
import threading
from concurrent.futures import Future

import pytest

from rs_monitor.cluster import IN_FLIGHT_PER_WORKER, Outcome, ThreadsPool, open_pool, run_tasks


class LastFirstPool:
    """Ends the task started last; counts what is under way."""

    def __init__(self, workers):
        self.workers = workers
        self.most = 0
        self.started = 0
        self.ended = 0

    def submit(self, function, task):
        self.started += 1
        self.most = max(self.most, self.started - self.ended)
        future = Future()
        try:
            future.set_result(function(task))
        except ValueError as error:
            future.set_exception(error)
        return future

    def wait_any(self, futures):
        self.ended += 1
        return {futures[-1]}

    def shape(self):
        return {}


def test_outcomes_stand_in_the_order_of_the_tasks():
    pool = LastFirstPool(1)
    ended = []
    outcomes = run_tasks(pool, lambda task: task * 10, range(11), ended.append)
    assert [outcome.value for outcome in outcomes] == [10 * task for task in range(11)]
    assert sorted(ended) == list(range(11))
    assert ended != sorted(ended)


@pytest.mark.parametrize("workers", [1, 3])
def test_few_tasks_are_in_flight(workers):
    pool = LastFirstPool(workers)
    run_tasks(pool, abs, range(50))
    assert pool.most == workers * IN_FLIGHT_PER_WORKER
    assert pool.started == 50


def test_an_error_ends_its_own_task_only():
    ended = []
    with open_pool("threads", workers=2, memory_gb=1) as pool:
        outcomes = run_tasks(pool, math.sqrt, [4.0, -1.0, 9.0], ended.append)
    assert [outcome.value for outcome in outcomes] == [2.0, None, 3.0]
    assert isinstance(outcomes[1].error, ValueError)
    assert outcomes[0] == Outcome(2.0, None)
    assert sorted(ended) == [-1.0, 4.0, 9.0]


def test_no_task_gives_no_outcome():
    assert run_tasks(LastFirstPool(2), abs, []) == []


def test_a_task_may_return_nothing():
    outcomes = run_tasks(LastFirstPool(1), lambda _: None, [1, 2])
    assert outcomes == [Outcome(None, None)] * 2


def test_threads_run_side_by_side():
    meet = threading.Barrier(2, timeout=20)
    pool = ThreadsPool(2)
    outcomes = run_tasks(pool, lambda _: meet.wait() >= 0, [1, 2])
    pool.close()
    assert [outcome.value for outcome in outcomes] == [True, True]
    assert pool.shape() == {"kind": "threads", "workers": 2}


@pytest.mark.slow
def test_two_processes_give_what_threads_give():
    tasks = [4.0, -1.0, *(float(k * k) for k in range(20))]
    with open_pool("local", workers=2, memory_gb=1) as pool:
        assert pool.shape() == {"kind": "local", "workers": 2}
        outcomes = run_tasks(pool, math.sqrt, tasks)
    assert [outcome.value for outcome in outcomes] == [2.0, None, *map(float, range(20))]
    assert isinstance(outcomes[1].error, ValueError)
