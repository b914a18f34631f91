"""The pool that batches run in at the moment: opened when it is needed, and again after a break."""

from __future__ import annotations

from concurrent.futures import Future, wait
from time import monotonic
from types import TracebackType
from typing import Any

from moestat.montecarlo.engine.calls import Raised, Work
from moestat.montecarlo.engine.engines import Engine, Pool
from moestat.montecarlo.engine.faults import EngineError, WorkError
from moestat.montecarlo.engine.interruption import Interruption

#: Times that workers may die before their first batch.
STARTS = 5

#: Seconds without any worker.
PATIENCE = 60.0

#: Seconds between two looks at what does not wake the driver by itself.
TICK = 0.2


class Workplace:
    """An engine at work; use it as a context manager, which lets go of all workers, and at once after an error.

    Parameters
    ----------
    engine : Engine
    work : callable
    interruption : Interruption
    """

    def __init__(self, engine: Engine, work: Work, interruption: Interruption) -> None:
        self._engine, self._work, self._interruption = engine, work, interruption
        self._pool: Pool | None = None
        self._peopled = monotonic()

    @property
    def slots(self) -> int:
        """Batches that run at the same time; at least 1."""
        return max(1, self._pool.slots) if self._pool is not None else 1

    def pool(self, slots: int | None = None) -> Pool | None:
        """A pool that works, for a few batches with fewer workers; None after an interrupt.

        Raises
        ------
        EngineError
            When workers die before they have done anything.
        WorkError
            When they cannot load the work.
        """
        if self._pool is not None and (self._pool.broken or not _suffices(self._pool, slots)):
            self.leave(at_once=self._pool.broken)
        return self._pool if self._pool is not None else self._opened(slots)

    def leave(self, at_once: bool) -> None:
        """Let go of the workers."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(at_once)

    def look_after(self) -> None:
        """Look whether there are workers at all.

        Raises
        ------
        EngineError
            When there have been none for a minute.
        """
        if self._pool is None or self._pool.slots > 0:
            self._peopled = monotonic()
        elif monotonic() - self._peopled > PATIENCE:
            raise EngineError(
                f"{self._engine.name} has had no worker for {PATIENCE:g} s. What was delivered is stored: start "
                "workers, and run again to go on."
            )

    def __enter__(self) -> Workplace:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave(at_once=kind is not None or self._interruption.asked)

    def _opened(self, slots: int | None) -> Pool | None:
        reason = ""
        for _ in range(STARTS):
            pool = self._pool = self._engine.open(self._work, slots)
            self._peopled = monotonic()
            try:
                future = pool.ready()
                if not self._waited(future):
                    return None
                problem = future.result()
            except EngineError:
                raise
            except Exception as error:
                reason = pool.lost(error).reason
                self.leave(at_once=True)
                continue
            if isinstance(problem, Raised):
                raise WorkError(f"workers cannot load the work: {problem.text}", problem.trace)
            return pool
        raise EngineError(
            f"{self._engine.name} cannot start: workers died {STARTS} times before they had done anything ({reason}). "
            "What was delivered is stored."
        )

    def _waited(self, future: Future[Any]) -> bool:
        while not wait([future], timeout=TICK).done:
            if self._interruption.asked:
                return False
            self.look_after()
        return True


def _suffices(pool: Pool, slots: int | None) -> bool:
    return not pool.partial or (slots is not None and slots <= pool.slots)
