"""One batch after the other, in the thread that asks for them."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from threadpoolctl import threadpool_limits

from moestat.montecarlo.engine.calls import Direct, Lost, Work, said
from moestat.montecarlo.rows import Batch


class Serial:
    """Runs batches in this process; one that kills it ends the study, which the next run takes up again."""

    name = "this process"

    def open(self, work: Work, slots: int | None = None) -> _Here:
        """The calling thread, as a pool."""
        return _Here(work)


class _Here:
    slots, inline, partial, broken = 1, True, False, False

    def __init__(self, work: Work) -> None:
        self._call = Direct(work)
        self._limits = threadpool_limits(limits=1)  # as in workers: the same sums in the same order

    def ready(self) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(None)
        return future

    def submit(self, batch: Batch) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(self._call(batch))
        return future

    def lost(self, error: BaseException) -> Lost:
        return Lost(said(error))

    def close(self, at_once: bool) -> None:
        self._limits.restore_original_limits()
