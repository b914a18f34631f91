"""The driver: sends batches, delivers what comes back, and brings a study to its end whatever happens on the way.

All decisions are made in one thread, the caller's, and all deliveries as well. The store is what survives; nothing here
needs to: after any end, a plan of what is missing goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from time import monotonic
from typing import Any

from moestat.montecarlo.engine.calls import Lost, Raised, Reply, Work, said, unpacked
from moestat.montecarlo.engine.engines import Engine, Pool
from moestat.montecarlo.engine.faults import EngineError, WorkError, named
from moestat.montecarlo.engine.interruption import GRACE, Abandoned, Interruption
from moestat.montecarlo.engine.isolation import Group, Suspects
from moestat.montecarlo.engine.planning import Plan
from moestat.montecarlo.engine.reporting import Report, Standing, reporting
from moestat.montecarlo.engine.workplace import TICK, Workplace
from moestat.montecarlo.rows import Batch, Finished

#: So many replications that kill their workers, one after the other and none between them that does not, are no bad
#: luck of the data.
CRASHES = 10

#: A batch waits for a worker, ready to be taken up, for so many that are at work.
SLOTS_PER_SPARE = 4

Deliver = Callable[[Finished], object]
Crashed = Callable[[Batch, str], Finished]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    rows : int
        That were delivered, those of crashed replications among them.
    missing : int
        Rows of the plan that were not.
    crashed : int
        Replications that killed their workers.
    interrupted : bool
        By Ctrl-C or SIGTERM.
    out_of_time : bool
        Whether there was no time for all of it.
    seconds : float
    """

    rows: int
    missing: int
    crashed: int
    interrupted: bool
    out_of_time: bool
    seconds: float


def drive(
    plan: Plan,
    work: Work,
    engine: Engine,
    deliver: Deliver,
    *,
    crashed: Crashed,
    progress: bool | Report | None = False,
    max_time: float | None = None,
    grace: float = GRACE,
) -> Outcome:
    """Run what a plan lacks.

    Parameters
    ----------
    plan : Plan
        It is used up.
    work : callable
        Called as ``work(batch)``, in a worker; gives the `Finished` batch. For other processes it is pickled, by value
        where it cannot be imported.
    engine : Engine
        `Serial`, `Processes`, `Cluster` or `Executors`.
    deliver : callable
        Called as ``deliver(finished)``, in the caller's thread, with each batch that is done; for instance appends it
        to a store. A crashed replication comes as a batch of its own. Ctrl-C does not interrupt it.
    crashed : callable
        Called as ``crashed(batch, reason)``, gives the rows of a batch of one replication that killed its workers.
    progress : bool or callable
        A bar on a terminal and lines elsewhere; or a function of a `Standing`.
    max_time : float, optional
        Seconds after which no batch is begun.
    grace : float
        Seconds that running batches get after an interrupt.

    Returns
    -------
    Outcome

    Raises
    ------
    WorkError
        When the work raises, after the batches that ran beside it were delivered; or is not to be loaded.
    EngineError
        When nothing can be run: workers cannot start, or the cluster is gone; or when all replications kill their
        workers.
    """
    began = monotonic()
    with reporting(progress) as report, Interruption(grace) as interruption:
        with Workplace(engine, work, interruption) as place:
            driver = _Driver(plan, place, interruption, deliver, crashed)
            driver.deadline = None if max_time is None else began + max_time
            driver.run(lambda: report(_standing(plan, place, began)))
        return Outcome(
            plan.rows_done,
            plan.rows - plan.rows_done,
            driver.crashes,
            interruption.asked,
            plan.rows_done < plan.rows and driver.late and not interruption.asked,
            monotonic() - began,
        )


def _standing(plan: Plan, place: Workplace, began: float) -> Standing:
    return Standing(plan.rows_done, plan.rows, monotonic() - began, plan.seconds_left(place.slots))


class _Driver:
    """Batches go out in rounds. A round is refilled until something fails, and a group of suspects is a round."""

    def __init__(
        self, plan: Plan, place: Workplace, interruption: Interruption, deliver: Deliver, crashed: Crashed
    ) -> None:
        self._plan, self._place, self._interruption = plan, place, interruption
        self._deliver, self._crashed = deliver, crashed
        self.deadline: float | None = None
        self.crashes = 0
        self._sent: dict[Future[Any], Batch] = {}
        self._pool: Pool | None = None
        self._suspects = Suspects()
        self._group: Group = ()
        self._failed: list[tuple[Batch, Lost]] = []
        self._raised: tuple[Batch, Raised] | None = None
        self._in_a_row = 0

    @property
    def late(self) -> bool:
        """Whether there is no time for another batch."""
        return self.deadline is not None and monotonic() >= self.deadline

    def run(self, report: Callable[[], None]) -> None:
        """To the end, or as far as may be."""
        report()
        while not self._interruption.over:
            if not self._sent:
                self._judge()
            self._begin()
            if not self._sent:
                break
            self._collect()
            report()
        if self._raised is not None:
            batch, error = self._raised
            raise WorkError(
                f"the work went wrong in the batch of {named(batch)}: {error.text}. An error of a fit is a row; this "
                "is a mistake in the work. What was delivered is stored.",
                error.trace,
            )

    # ------------------------------------------------------------------------------ sending
    def _begin(self) -> None:
        """Send what may be sent now. After a failure nothing is, until all that is in flight has come back."""
        if self._interruption.asked or self._raised or self._failed or self._group or self.late:
            return
        if self._suspects:
            self._try_group()
        else:
            self._refill()

    def _refill(self) -> None:
        if not self._sent:
            self._pool = None if self._plan.begun else self._place.pool()
        while self._pool is not None and not self._failed and len(self._sent) < self._limit():
            batch = None if self._interruption.asked else self._plan.next(self._place.slots)
            if batch is None:
                return
            self._send(batch)

    def _limit(self) -> int:
        """Batches in flight: those that run and a few that wait for a worker, so that none waits for a batch."""
        slots = self._place.slots
        return 1 if self._pool is None or self._pool.inline else slots + max(1, slots // SLOTS_PER_SPARE)

    def _try_group(self) -> None:
        self._group = self._suspects.next()
        self._pool = self._place.pool(len(self._group))
        for batch in self._group:
            self._send(batch)

    def _send(self, batch: Batch) -> None:
        if self._pool is None:
            return  # interrupted while workers were starting
        try:
            with self._interruption.abandonable() if self._pool.inline else nullcontext():
                self._sent[self._pool.submit(batch)] = batch
        except Abandoned:
            return
        except Exception as error:  # it broke since the last look
            self._failed.append((batch, self._lost(error)))

    # ---------------------------------------------------------------------------- receiving
    def _collect(self) -> None:
        done = wait(self._sent, timeout=TICK, return_when=FIRST_COMPLETED).done
        if not done:
            self._place.look_after()
        for future in done:
            self._receive(self._sent.pop(future), future)

    def _receive(self, batch: Batch, future: Future[Any]) -> None:
        reply = self._reply(future)
        if isinstance(reply, Lost):
            self._failed.append((batch, reply))
        elif isinstance(reply, Raised):
            self._raised = self._raised or (batch, reply)
        elif problem := _problem(batch, reply.finished):
            self._raised = self._raised or (batch, Raised(problem, ""))
        else:
            self._in_a_row = 0
            self._deliver(reply.finished)
            self._plan.finished(batch, reply.seconds)

    def _reply(self, future: Future[Any]) -> Reply:
        try:
            return unpacked(future.result())
        except Exception as error:
            return self._lost(error)

    def _lost(self, error: Exception) -> Lost:
        return Lost(said(error)) if self._pool is None else self._pool.lost(error)

    # ------------------------------------------------------------------------------ judging
    def _judge(self) -> None:
        """At the end of a round: what failed is under suspicion, or guilty."""
        group, failed = self._group, self._failed
        self._group, self._failed = (), []
        if not failed:
            return
        batches, lost = tuple(batch for batch, _ in failed), failed[0][1]
        if not group:
            self._suspects.accuse(batches)
        elif (guilty := self._suspects.failed(group, batches, lost.workers)) is not None:
            self._record(guilty, lost.reason)

    def _record(self, batch: Batch, reason: str) -> None:
        self.crashes, self._in_a_row = self.crashes + 1, self._in_a_row + 1
        self._deliver(self._crashed(batch, reason))
        self._plan.finished(batch)
        if self._in_a_row >= CRASHES:
            raise EngineError(
                f"{CRASHES} replications in a row killed their workers, the last of them {named(batch)}: {reason}. "
                "They are stored as crashed. Look for what they have in common, such as memory, before you go on."
            )


def _problem(batch: Batch, finished: Any) -> str:
    """What is wrong with what the work gave; empty where nothing is."""
    if not isinstance(finished, Finished):
        return f"it must give a Finished; got {finished!r}"
    wanted, given = sorted(product(batch.cells, batch.replications)), len(finished.rows)
    if sorted((row.cell, row.replication) for row in finished.rows) == wanted:
        return ""
    return f"it must give one row for each replication of each cell, {len(wanted)} in all; got {given} and not these"
