"""Where batches run. An engine opens pools, and another one after each that broke; a pool runs batches."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Protocol

from moestat.montecarlo.engine.calls import Lost, Sent, Work, said
from moestat.montecarlo.rows import Batch


class Pool(Protocol):
    """Workers that are at hand."""

    @property
    def slots(self) -> int:
        """How many batches run at the same time; 0 where nobody is there at the moment."""

    @property
    def inline(self) -> bool:
        """Whether a batch runs within `submit`."""

    @property
    def partial(self) -> bool:
        """Whether it has fewer workers than its engine could give, as few were asked for."""

    @property
    def broken(self) -> bool:
        """Whether nothing can be run here any more."""

    def ready(self) -> Future[Any]:
        """What is done when a worker has loaded the work; its result is what went wrong, as a `Raised`, or None."""

    def submit(self, batch: Batch) -> Future[Any]:
        """Run a batch. The result is a reply; any exception is that of a worker or of the way to it."""

    def lost(self, error: BaseException) -> Lost:
        """What such an exception means for its batch, and, from here on, for the pool."""

    def close(self, at_once: bool) -> None:
        """Let go of the workers; at once, also of those at work."""


class Engine(Protocol):
    """What opens pools."""

    @property
    def name(self) -> str:
        """In words, for messages."""

    def open(self, work: Work, slots: int | None = None) -> Pool:
        """A pool for a work, with no more than so many workers where these would be started for it."""


class Remote:
    """A pool on an executor of the standard interface, whose workers are other processes.

    Parameters
    ----------
    executor : Executor
    work : callable
    slots : int
    """

    inline = partial = False

    def __init__(self, executor: Executor, work: Work, slots: int) -> None:
        self._executor, self._call, self._slots, self.broken = executor, Sent.of(work), slots, False

    @property
    def slots(self) -> int:
        """How many batches run at the same time."""
        return self._slots

    def ready(self) -> Future[Any]:
        """What is done when a worker has loaded the work."""
        return self._executor.submit(self._call.ready)

    def submit(self, batch: Batch) -> Future[Any]:
        """Run a batch in a worker."""
        return self._executor.submit(self._call, batch)

    def lost(self, error: BaseException) -> Lost:
        """A standard executor that raised is not used again."""
        self.broken = True
        return Lost(said(error))

    def close(self, at_once: bool) -> None:
        """Shut the executor down; the standard interface cannot stop workers at work, which are left behind."""
        self._executor.shutdown(wait=not at_once, cancel_futures=at_once)


class Executors:
    """Any executor of the standard interface whose workers are processes, such as those of other cluster libraries.

    Parameters
    ----------
    make : callable
        Makes an executor; called again after a break.
    slots : int
        How many batches it runs at the same time.
    """

    name = "the given executor"

    def __init__(self, make: Callable[[], Executor], slots: int) -> None:
        self._make, self._slots = make, slots

    def open(self, work: Work, slots: int | None = None) -> Remote:
        """A pool on a new executor."""
        return Remote(self._make(), work, self._slots)
