"""Worker processes on this machine, by loky.

They are new interpreters, not forks. Each uses one thread. Ctrl-C and a scheduler's SIGTERM, which reach all processes
of a terminal or of a job, are for the driver, which finishes what runs; workers ignore both. A worker whose driver is
gone has nobody to work for and ends by itself: the queue that it waits at would never tell.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from time import sleep
from typing import Any

import numpy as np
from loky import ProcessPoolExecutor

from moestat.errors import InputError
from moestat.montecarlo.engine.calls import Lost, Work
from moestat.montecarlo.engine.engines import Remote
from moestat.montecarlo.rows import Batch
from moestat.threads import VARIABLE, usable_processors

#: What tells the libraries of a worker to use one thread, from their first moment.
ONE_THREAD = {
    name: "1"
    for name in (
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
        *("NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS", VARIABLE),
    )
}

#: loky replaces workers that grow by more bytes than this: by default by 3e8, as much as one large sample may need.
GROWTH = {"LOKY_MAX_MEMORY_LEAK_SIZE": "4e9"}

#: Seconds between two looks for the driver.
LOOK = 0.5

#: For the driver alone.
SIGNALS = {signal.SIGINT, signal.SIGTERM}


class Processes:
    """Runs batches in worker processes.

    Parameters
    ----------
    workers : int, optional
        How many; by default one for each processor that this process may use.

    Raises
    ------
    InputError
        When it is not a whole number of at least 1.
    """

    name = "worker processes"

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and (
            isinstance(workers, bool) or not isinstance(workers, int | np.integer) or workers < 1
        ):
            raise InputError(f"workers must be a whole number of processes, at least 1; got {workers!r}.")
        self.workers = usable_processors() if workers is None else int(workers)

    def open(self, work: Work, slots: int | None = None) -> _Workers:
        """New processes, which start when they are first needed."""
        pool = _Workers(work, min(self.workers, slots or self.workers))
        pool.partial = pool.slots < self.workers
        return pool


class _Workers(Remote):
    def __init__(self, work: Work, slots: int) -> None:
        self._loky = ProcessPoolExecutor(
            slots, initializer=begin, initargs=(os.getpid(),), env={**GROWTH, **os.environ, **ONE_THREAD}
        )
        super().__init__(self._loky, work, slots)

    def ready(self) -> Future[Any]:
        with held_back():
            return super().ready()

    def submit(self, batch: Batch) -> Future[Any]:
        with held_back():
            return super().submit(batch)

    def lost(self, error: BaseException) -> Lost:
        lost = super().lost(error)
        ends = re.findall(r"[A-Z]+\(-?[0-9]+\)", str(error))
        return Lost(f"the worker process died: {', '.join(ends)}") if ends else lost

    def close(self, at_once: bool) -> None:
        self._loky.shutdown(wait=True, kill_workers=at_once)


@contextmanager
def held_back() -> Iterator[None]:
    """Signals for the driver wait a moment, and never reach processes that are started in it: these inherit that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin(driver: int) -> None:
    """What a worker does first."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    Thread(target=_end_with, args=(driver,), daemon=True).start()


def _end_with(driver: int) -> None:
    while os.getppid() == driver:
        sleep(LOOK)
    os._exit(1)
