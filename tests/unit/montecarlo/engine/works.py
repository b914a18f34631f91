"""Works that are cheap, and works that misbehave; workers import them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from moestat.montecarlo.engine import Plan, drive
from moestat.montecarlo.rows import CRASHED, OK, Batch, Finished, Row

CELLS = ("a", "b")


def rows(batch: Batch, outcome: str = OK, words: str = "") -> tuple[Row, ...]:
    """A row for each replication of each cell, with a number that tells them apart."""
    return tuple(
        Row(cell, r, outcome, "", np.array([np.nan if outcome == CRASHED else 1e6 * batch.n + r]), words)
        for r in batch.replications
        for cell in batch.cells
    )


def finished(batch: Batch, **what: str) -> Finished:
    """The batch, done by this process."""
    made = rows(batch, **what)
    return Finished(made, np.full(len(made), 1e-3), str(os.getpid()), "{}")


def crashed(batch: Batch, reason: str) -> Finished:
    """The rows of a replication that killed its workers."""
    return finished(batch, outcome=CRASHED, words=reason)


@dataclass(frozen=True)
class Slow:
    """Sleeps for each replication; a file says that it has begun."""

    seconds: float = 0.0
    begun: str = ""

    def __call__(self, batch: Batch) -> Finished:
        if self.begun:
            Path(self.begun).touch()
        time.sleep(self.seconds * len(batch.replications))
        return finished(batch)


@dataclass(frozen=True)
class Fatal:
    """Kills its worker at some replications: always, or once if there is a file to remember that."""

    at: tuple[int, ...]
    how: str = "kill"
    once: str = ""

    def __call__(self, batch: Batch) -> Finished:
        if set(self.at) & set(batch.replications) and not (self.once and Path(self.once).exists()):
            if self.once:
                Path(self.once).touch()
            if self.how == "exit":
                os._exit(3)
            os.kill(os.getpid(), signal.SIGKILL)
        return finished(batch)


class Stubborn:
    """Pickled, but never read again."""

    def __reduce__(self) -> tuple[object, ...]:
        return refuse, ()


def refuse() -> None:
    """What reading it comes to."""
    raise ValueError("not to be read")


def unsendable(at: int, kind: str, batch: Batch) -> Finished:
    """A result that does not come through at one replication."""
    if at in batch.replications:
        return Finished((Stubborn() if kind == "read" else (lambda: None),), np.zeros(1), "", "")  # type: ignore[arg-type]
    return finished(batch)


def mistaken(at: int, how: str, batch: Batch) -> Finished:
    """A mistake in the work at one replication."""
    if at not in batch.replications:
        return finished(batch)
    if how == "exit":
        raise SystemExit(2)
    if how == "nothing":
        return None  # type: ignore[return-value]
    if how == "few":
        return Finished(rows(batch)[1:], np.zeros(1), "", "")
    raise ZeroDivisionError("by zero")


def told(batch: Batch) -> Finished:
    """What its process is like, as words."""
    import threadpoolctl

    from moestat.threads import n_threads

    threads = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    ignored = [signal.getsignal(each) == signal.SIG_IGN for each in (signal.SIGINT, signal.SIGTERM)]
    return finished(batch, words=f"{max(threads, default=1)} {n_threads()} {all(ignored)}")


@dataclass
class Store:
    """Keeps what is delivered, in memory."""

    taken: list[Row] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    sizes: list[int] = field(default_factory=list)

    def __call__(self, batch: Finished) -> None:
        self.taken += batch.rows
        self.hosts.add(batch.host)
        self.sizes.append(len(batch.rows))

    @property
    def digests(self) -> list[bytes]:
        return sorted(row.digest for row in self.taken)

    @property
    def crashes(self) -> list[int]:
        return sorted({row.replication for row in self.taken if row.outcome == CRASHED})


def wanted(sizes: tuple[int, ...] = (100, 200), replications: int = 20) -> dict[int, dict[int, tuple[str, ...]]]:
    """Both cells of all replications, and of the last one only the second cell."""
    return {n: {r: CELLS if r < replications - 1 else CELLS[1:] for r in range(replications)} for n in sizes}


def expected(what: dict[int, dict[int, tuple[str, ...]]]) -> list[bytes]:
    """What must be delivered, whoever works."""
    return sorted(
        row.digest for n, each in what.items() for r, cells in each.items() for row in rows(Batch(n, (r,), cells))
    )


def run(engine, work, what=None, **options):
    """Drive a small plan, and give the outcome and what was delivered."""
    store = Store()
    return drive(Plan(what or wanted(), seconds=0.05), work, engine, store, crashed=crashed, **options), store
