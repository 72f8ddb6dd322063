"""Ours beside the strongest peers: one process, the same arrays, only ratios."""

from __future__ import annotations

import ctypes
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

THREADS = 2
"""Threads of every row that says (2)."""

STRIPS = 8
"""Strips of rows per call of a kernel in threads: a few for each, so that none waits long."""

QUICK_MARGIN = 1.5
"""How far a quick run may miss a goal: its samples are short."""

QUICK_SAMPLE_S = 0.02
OTHERS_CPU = 0.25
"""CPU used by other processes during a sample above which it is taken again."""

RETRIES = 2
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_HEAP_UP_TO = 2**25
"""Where glibc's own adjustment of the threshold ends in a process that frees large arrays."""
_SMALL = 2**16

NOT_INSTALLED = "peer not installed"
COPY = "copy"


class Disagreement(Exception):
    """Two entrants do not answer the same question alike: their rates mean nothing."""


class Entrant(NamedTuple):
    """One way to do the work.

    ``run`` takes nothing and returns what is compared. A peer imports its library inside ``run``:
    where that fails the line says so. A peer too slow for all units does fewer of them (``units``).
    Entrants that write into a given array need one each, as all results are compared afterwards.
    """

    name: str
    run: Callable[[], Any]
    units: int | None = None
    compared: bool = True


class Goal(NamedTuple):
    """Least rate of ours over the peer's; of one of ours, or of all."""

    peer: str
    at_least: float
    entrant: str | None = None


class Line(NamedTuple):
    """One row of the table; ``verdict`` is ok, short, disagrees, failed or empty (no goal)."""

    stage: str
    entrant: str
    peer: str
    agreement: str
    ratio: float
    bytes_per_unit: float
    peer_bytes_per_unit: float
    unit: str
    goal: float | None
    verdict: str
    others_cpu: float = 0.0


class _Sample(NamedTuple):
    seconds: float
    others_cpu: float


def race(
    stage: str,
    ours: Sequence[Entrant],
    peers: Sequence[Entrant],
    *,
    units: int,
    agreement: Callable[[Any, Any], str],
    goals: Sequence[Goal] = (),
    unit: str = "px",
    rounds: int = 3,
    sample_s: float = 0.25,
    quick: bool = False,
) -> list[Line]:
    """Compare first, then time what agrees, there and back again.

    Parameters
    ----------
    stage : str
    ours, peers : sequence of Entrant
        Every one of ours gets a line with every peer.
    units : int
        Of work in one call.
    agreement : callable
        (result of ours, result of the peer) to a text such as "max 3e-6"; raises
        :class:`Disagreement`.
    goals : sequence of Goal
    unit : str
    rounds : int
        Each runs A B C and then C B A.
    sample_s : float
        Calls are repeated until a sample is this long.
    quick : bool
        One round of short samples with a margin on the goals: a smoke test.

    Returns
    -------
    list of Line
        The ratio is the median of the paired ratios.
    """
    if quick:
        rounds, sample_s = 1, QUICK_SAMPLE_S
    texts, memory = _compare(ours, peers, units, agreement)
    taking_part = [e for e in (*ours, *peers) if _runs(e.name, ours, texts)]
    samples = _samples(taking_part, rounds, sample_s, retries=0 if quick else RETRIES)
    margin = QUICK_MARGIN if quick else 1.0
    lines = []
    for own in ours:
        for peer in peers:
            text, agreed = texts[own.name, peer.name]
            line = Line(
                stage, own.name, peer.name, text, float("nan"), memory[own.name],
                memory.get(peer.name, float("nan")), unit, _goal(goals, own, peer), "",
            )  # fmt: skip
            lines.append(_judged(line, own, peer, units, samples, agreed, margin))
    return lines


def _compare(
    ours: Sequence[Entrant],
    peers: Sequence[Entrant],
    units: int,
    agreement: Callable[[Any, Any], str],
) -> tuple[dict[tuple[str, str], tuple[str, bool]], dict[str, float]]:
    """Agreement of each pair as text and verdict, and bytes per unit of each entrant."""
    memory: dict[str, float] = {}
    results = {}
    for own in ours:
        results[own.name], memory[own.name] = _measured(own, units)
    texts = {}
    for peer in peers:
        try:
            result, memory[peer.name] = _measured(peer, units)
        except ModuleNotFoundError:
            texts |= {(own.name, peer.name): (NOT_INSTALLED, False) for own in ours}
            continue
        for own in ours:
            texts[own.name, peer.name] = ("", True)
            if peer.compared and own.compared:
                texts[own.name, peer.name] = _agreed(agreement, results[own.name], result)
        del result
    return texts, memory


def _agreed(agreement: Callable[[Any, Any], str], ours: Any, peer: Any) -> tuple[str, bool]:
    try:
        return agreement(ours, peer), True
    except Disagreement as problem:
        return str(problem), False


def _measured(entrant: Entrant, units: int) -> tuple[Any, float]:
    """Result, and bytes per unit of a second call: the first one compiles."""
    with _arrays_in_maps():
        entrant.run()
        gc.collect()
        result, high = high_water(entrant.run)
    return result, high / (entrant.units or units)


def high_water(run: Callable[[], Any]) -> tuple[Any, float]:
    """Result of a call and how far it raised the resident memory, bytes; NaN where unknown."""
    status = Path("/proc/self/status")
    try:
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return run(), float("nan")
    before = _status_bytes(status, "VmRSS")
    result = run()
    high = _status_bytes(status, "VmHWM")
    return result, float(max(0, high - before))


@contextmanager
def _arrays_in_maps() -> Iterator[None]:
    """Give arrays maps of their own: what one call leaves in the heap would hide the next.

    Threads have heaps of their own, whose free end ``malloc_trim`` leaves alone: it is given back
    when an array is freed there, which the call before the measured one does.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_THRESHOLD, _SMALL)
    mallopt(_TRIM_THRESHOLD, _SMALL)
    try:
        yield
    finally:
        mallopt(_MMAP_THRESHOLD, _HEAP_UP_TO)
        mallopt(_TRIM_THRESHOLD, 2 * _HEAP_UP_TO)


def _status_bytes(status: Path, field: str) -> int:
    line = next(text for text in status.read_text().splitlines() if text.startswith(field))
    return 1024 * int(line.split()[1])


def _runs(
    name: str, ours: Sequence[Entrant], texts: dict[tuple[str, str], tuple[str, bool]]
) -> bool:
    """Whether an entrant agrees with anybody."""
    return any(agreed for pair, (_, agreed) in texts.items() if name in pair) or (
        not texts and any(own.name == name for own in ours)
    )


def _samples(
    entrants: Sequence[Entrant], rounds: int, sample_s: float, *, retries: int
) -> dict[str, list[_Sample]]:
    """Seconds of one call of each entrant, in passes there and back."""
    repeats = {entrant.name: _repeats(entrant.run, sample_s) for entrant in entrants}
    samples: dict[str, list[_Sample]] = {entrant.name: [] for entrant in entrants}
    for _ in range(rounds):
        for entrant in [*entrants, *reversed(entrants)]:
            taken = [_sample(entrant.run, repeats[entrant.name])]
            while taken[-1].others_cpu > OTHERS_CPU and len(taken) <= retries:
                taken.append(_sample(entrant.run, repeats[entrant.name]))
            samples[entrant.name].append(min(taken, key=lambda sample: sample.others_cpu))
    return samples


def _repeats(run: Callable[[], Any], sample_s: float) -> int:
    took = _sample(run, 1).seconds
    return max(1, int(np.ceil(sample_s / max(took, 1e-6))))


def _sample(run: Callable[[], Any], repeats: int) -> _Sample:
    busy, own, start = _busy_s(), time.process_time(), time.perf_counter()
    for _ in range(repeats):
        run()
    took = max(time.perf_counter() - start, 1e-9)
    others = (_busy_s() - busy) - (time.process_time() - own)
    return _Sample(took / repeats, max(0.0, others) / took)


def _busy_s() -> float:
    """CPU seconds of all processes of the machine so far; 0 where that is not told."""
    try:
        first = Path("/proc/stat").read_text().split("\n", 1)[0]
    except OSError:
        return 0.0
    ticks = [int(field) for field in first.split()[1:]]
    busy = sum(ticks[:3]) + sum(ticks[5:7])
    return busy / os.sysconf("SC_CLK_TCK")


def _goal(goals: Sequence[Goal], own: Entrant, peer: Entrant) -> float | None:
    fits = [g for g in goals if g.peer == peer.name and g.entrant in (None, own.name)]
    named = [goal for goal in fits if goal.entrant is not None]
    return (named or fits)[0].at_least if fits else None


def _judged(
    line: Line,
    own: Entrant,
    peer: Entrant,
    units: int,
    samples: dict[str, list[_Sample]],
    agreed: bool,
    margin: float,
) -> Line:
    if not agreed:
        return line._replace(verdict="" if line.agreement == NOT_INSTALLED else "disagrees")
    share = (own.units or units) / (peer.units or units)
    pairs = list(zip(samples[own.name], samples[peer.name], strict=True))
    ratio = statistics.median(share * b.seconds / a.seconds for a, b in pairs)
    others = max(sample.others_cpu for pair in pairs for sample in pair)
    verdict = ""
    if line.goal is not None:
        verdict = "ok" if ratio * margin >= line.goal else "short"
    return line._replace(ratio=ratio, verdict=verdict, others_cpu=others)


def markdown(lines: Sequence[Line]) -> str:
    """Lines as a Markdown table, and how busy the machine was."""
    head = ["stage", "ours", "peer", "agreement", "ratio", "bytes", "of the peer", "goal", ""]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for line in lines:
        goal = "" if line.goal is None else f">= {line.goal:g}"
        size, peer_size = (
            "" if np.isnan(value) else f"{value:.3g} B/{line.unit}"
            for value in (line.bytes_per_unit, line.peer_bytes_per_unit)
        )
        ratio = "" if np.isnan(line.ratio) else f"{line.ratio:.3g}"
        cells = [line.stage, line.entrant, line.peer, line.agreement, ratio, size, peer_size]
        rows.append("| " + " | ".join([*cells, goal, line.verdict]) + " |")
    busiest = max((line.others_cpu for line in lines), default=0.0)
    rows += ["", f"ratio = rate of ours / rate of the peer; others used up to {busiest:.1f} CPU"]
    return "\n".join(rows)


def kernel_in_threads(
    kernel: Callable[..., Any], calls: Sequence[tuple[Any, ...]], threads: int = THREADS
) -> Callable[[], list[Any]]:
    """A serial nogil kernel over strips of rows in Python threads that stay alive.

    Parameters
    ----------
    kernel : callable
    calls : sequence of tuple
        Arguments of the kernel for each strip; views, so that nothing is copied.
    threads : int

    Returns
    -------
    callable
        Runs all calls and returns their results in order.
    """
    pool = ThreadPoolExecutor(threads)

    def run() -> list[Any]:
        return list(pool.map(lambda arguments: kernel(*arguments), calls))

    return run


def strips_of(
    *arrays: NDArray[Any], axis: int = -2, count: int = STRIPS
) -> Iterator[tuple[NDArray[Any], ...]]:
    """Views of strips of rows of arrays that share the axis, counted from the end."""
    rows = arrays[0].shape[axis]
    edges = np.linspace(0, rows, min(count, rows) + 1).astype(int).tolist()
    for first, last in pairwise(edges):
        place = (Ellipsis, slice(first, last), *[slice(None)] * (-1 - axis))
        yield tuple(array[place] for array in arrays)


def in_dask_threads(
    make: Callable[[], Any], threads: int = THREADS, *, joined: bool = True
) -> Callable[[], Any]:
    """The public way: build the lazy result anew and compute it in dask's threads.

    ``joined=False`` leaves the chunks of the result apart, as a job does that stores them.
    """

    def run() -> Any:
        import dask

        with dask.config.set(scheduler="threads", num_workers=threads):
            made = make()
            return (dask.compute(made) if joined else dask.persist(made))[0]

    return run


def copy_entrant(array: NDArray[Any], out: NDArray[Any] | None = None) -> Entrant:
    """Copy an array into one that is there already, in two threads: what the memory allows."""
    target = np.empty_like(array) if out is None else out
    axis = -2 if array.ndim > 1 else -1
    calls = [(into, source) for source, into in strips_of(array, target, axis=axis)]
    run = kernel_in_threads(np.copyto, calls)
    return Entrant(COPY, run, compared=False)
