"""Threads of one fit: how many there are, and how they share out the parts of a pass.

What they compute does not depend on how many they are: a pass over many rows falls into parts by its size alone, every
part has its own sums, and these are added in the order of the parts.

A setting holds for the process. Worker processes use one thread, as their siblings use the other processors.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from functools import lru_cache
from threading import local
from typing import Any, TypeVar

import numpy as np

from moestat.errors import InputError

T = TypeVar("T")
R = TypeVar("R")

#: Environment variable that says how many threads there are, where the program does not.
VARIABLE = "MOESTAT_THREADS"

#: Fewer parts than this for each thread are not worth waking it.
PARTS_PER_THREAD = 2

_chosen: int | None = None
_chosen_here: ContextVar[int | None] = ContextVar("threads", default=None)
_worker = local()


def set_threads(n: int | None) -> None:
    """Set how many threads a pass over many rows may use, in the whole process.

    Parameters
    ----------
    n : int or None
        At least 1. None, the setting at the beginning, stands for the environment variable ``MOESTAT_THREADS`` or,
        where there is none, for the number of processors that the process may use.

    Raises
    ------
    InputError
        When n is neither.

    See Also
    --------
    limit : the same for a while.
    """
    global _chosen
    _chosen = _checked(n)


@contextmanager
def limit(n: int | None) -> Iterator[None]:
    """Within a ``with`` statement, another number of threads for the fits of this thread of the caller's.

    Parameters
    ----------
    n : int or None
        As `set_threads` takes it; None leaves the number as it is.

    Raises
    ------
    InputError
        When n is neither.
    """
    token = _chosen_here.set(_chosen_here.get() if n is None else _checked(n))
    try:
        yield
    finally:
        _chosen_here.reset(token)


def n_threads() -> int:
    """How many threads a pass over many rows uses here, the caller's among them.

    Returns
    -------
    int
        What `limit`, `set_threads` or ``MOESTAT_THREADS`` say, in this order; the number of usable processors where
        none does. One in worker processes, whatever they say, and in threads of our own.

    Raises
    ------
    InputError
        When ``MOESTAT_THREADS`` is asked and is not a whole number of at least 1.
    """
    if multiprocessing.parent_process() is not None or getattr(_worker, "is_ours", False):
        return 1
    chosen = _chosen_here.get() or _chosen or _of_environment()
    return usable_processors() if chosen is None else chosen


def usable_processors() -> int:
    """Processors that the process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(work: Callable[[T], R], parts: Sequence[T]) -> Iterator[R]:
    """Yield work(part) for every part, in the order of the parts, worked out by several threads where these pay.

    The calling thread works as well, and needs no other to come to the end: threads that are busy elsewhere, or cannot
    be had any more, are not waited for. An error is raised in the place of the result.
    """
    helpers = min(len(parts) // PARTS_PER_THREAD, n_threads()) - 1 if len(parts) > 1 else 0
    return _shared_out(work, parts, helpers) if helpers > 0 else map(work, parts)


def _shared_out(work: Callable[[T], R], parts: Sequence[T], helpers: int) -> Iterator[R]:
    results: deque[Future[R]] = deque(Future() for _ in parts)
    left = deque(zip(parts, results, strict=True))
    try:
        _call(helpers, work, left)
        while results:
            while not results[0].done() and _work_on_one(work, left):
                pass
            yield results.popleft().result()  # nobody keeps what was handed over
    finally:
        left.clear()  # after an error or an interrupt, helpers end with the parts that they are at


def _call(helpers: int, work: Callable[[T], R], left: deque[tuple[T, Future[R]]]) -> None:
    """Ask for helpers, who find NumPy's error state and our limits as the caller has them."""
    with suppress(RuntimeError):  # at the interpreter's end, or beyond the system's limits, there are none
        pool = _pool(n_threads() - 1)
        for _ in range(helpers):
            pool.submit(copy_context().run, _work_on_all, work, left)


def _work_on_all(work: Callable[[T], R], left: deque[tuple[T, Future[R]]]) -> None:
    while _work_on_one(work, left):
        pass


def _work_on_one(work: Callable[[T], R], left: deque[tuple[T, Future[R]]]) -> bool:
    """Take the first part that is left, and say whether there was one."""
    try:
        part, result = left.popleft()
    except IndexError:
        return False
    try:
        result.set_result(work(part))
    except BaseException as error:
        result.set_exception(error)
        if not isinstance(error, Exception):
            raise
    return True


@lru_cache(maxsize=1)
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="moestat", initializer=_become_ours)


def _become_ours() -> None:
    _worker.is_ours = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads stay behind when a process is forked


# ------------------------------------------------------------------------------------- validation
def _checked(n: Any) -> int | None:
    if n is not None and (isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1):
        raise InputError(
            f"n must be a whole number of threads, at least 1, or None for as many as there are processors; got {n!r}."
        )
    return None if n is None else int(n)


def _of_environment() -> int | None:
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise InputError(
            f"the environment variable {VARIABLE} must be a whole number of at least 1; got {text!r}. "
            "Correct it, or unset it to use as many threads as there are processors."
        )
    return int(text)
