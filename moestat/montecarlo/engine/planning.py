"""Which batch comes next, and how long the rest will take.

All sizes advance at equal fractions of what they lack: a study that is stopped has about as many replications
everywhere, and the time left is not that of the cheap ones. A batch holds as many replications as take about a second;
as long as nobody knows how many these are, it holds one. Results do not depend on any of this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from math import ceil

from moestat.errors import InputError
from moestat.montecarlo.engine.shards import Shard
from moestat.montecarlo.rows import Batch

#: Seconds that a batch should take: many times what it costs to send one, and few to wait for after an interrupt.
SECONDS = 1.0

#: No batch is a larger share than this of what its size lacks, nor has more replications.
LARGEST_SHARE, LARGEST = 0.05, 1000

#: Towards the end, every worker still gets this many batches.
LAST_ROUNDS = 2

#: What a batch's seconds still count in an estimate after the next batch: the first ones also load and compile.
MEMORY = 0.8


class Plan:
    """What is missing, and what of it to run next.

    Parameters
    ----------
    wanted : mapping
        Of sample sizes to mappings of replications to the digests of the cells that are wanted of each.
    shard : Shard, optional
        Leave out the replications of other shards.
    seconds : float
        That a batch should take.

    Raises
    ------
    InputError
        When seconds is not positive.
    """

    def __init__(
        self, wanted: Mapping[int, Mapping[int, Iterable[str]]], *, shard: Shard | None = None, seconds: float = SECONDS
    ) -> None:
        if not seconds > 0.0:
            raise InputError(f"seconds must be positive, the time that a batch should take; got {seconds!r}.")
        self._seconds = seconds
        self._queues = _queues(wanted, shard)
        self._learned = 0

    @property
    def rows(self) -> int:
        """Rows of the whole plan."""
        return sum(queue.total * len(queue.cells) for queue in self._queues.values())

    @property
    def rows_done(self) -> int:
        """Rows that were delivered."""
        return sum(queue.done * len(queue.cells) for queue in self._queues.values())

    @property
    def begun(self) -> bool:
        """Whether every batch has been given out."""
        return not any(queue.left for queue in self._queues.values())

    def next(self, workers: int) -> Batch | None:
        """The batch that is to be run next by one of so many workers; None where all have been begun."""
        queues = [queue for queue in self._queues.values() if queue.left]
        if not queues:
            return None
        queue = min(queues, key=lambda queue: (queue.fraction, -queue.n))
        return queue.take(self._count(queue, workers))

    def finished(self, batch: Batch, seconds: float | None = None) -> None:
        """Take note that a batch was delivered, and of the time that it took where that is typical of others."""
        queue = self._queues[batch.n, batch.cells]
        queue.done += len(batch.replications)
        if seconds is not None:
            self._learned += 1
            queue.learn(len(batch.replications), seconds)

    def seconds_left(self, workers: int) -> float | None:
        """How long so many workers need for what is not delivered; None as long as little is known of that.

        The first batch of a process compiles or loads kernels, and tells nothing of the others.
        """
        work = self._work_left()
        return None if work is None or self._learned <= max(workers, 1) else work / max(workers, 1)

    def _count(self, queue: _Queue, workers: int) -> int:
        cost, left = queue.cost, self._work_left()
        if cost is None or left is None:
            return 1
        seconds = min(self._seconds, left / (LAST_ROUNDS * max(workers, 1)))
        largest = min(LARGEST, ceil(LARGEST_SHARE * queue.total))
        return max(1, min(largest, round(seconds / cost) if cost > 0.0 else largest))

    def _work_left(self) -> float | None:
        """Seconds of one worker; a size of which nothing is known costs as its rows of data do elsewhere."""
        known = [queue for queue in self._queues.values() if queue.cost is not None]
        if not known:
            return None
        each = sum(queue.cost or 0.0 for queue in known) / sum(queue.volume for queue in known)
        return sum(
            (queue.total - queue.done) * (each * queue.volume if queue.cost is None else queue.cost)
            for queue in self._queues.values()
        )


class _Queue:
    """Replications of one size that lack the same cells, and what one of them costs."""

    def __init__(self, n: int, cells: tuple[str, ...]) -> None:
        self.n, self.cells = n, cells
        self.left: deque[int] = deque()
        self.total = self.done = 0
        self._seconds = self._replications = 0.0

    def add(self, replication: int) -> None:
        self.left.append(replication)
        self.total += 1

    def take(self, count: int) -> Batch:
        replications = tuple(self.left.popleft() for _ in range(min(count, len(self.left))))
        return Batch(self.n, replications, self.cells)

    def learn(self, replications: int, seconds: float) -> None:
        self._seconds = MEMORY * self._seconds + seconds
        self._replications = MEMORY * self._replications + replications

    @property
    def fraction(self) -> float:
        """Of its replications, those that have been begun."""
        return 1.0 - len(self.left) / self.total

    @property
    def volume(self) -> int:
        """Rows of data that one replication's fits read."""
        return self.n * len(self.cells)

    @property
    def cost(self) -> float | None:
        """Seconds for each replication, by its latest batches."""
        return self._seconds / self._replications if self._replications else None


def _queues(
    wanted: Mapping[int, Mapping[int, Iterable[str]]], shard: Shard | None
) -> dict[tuple[int, tuple[str, ...]], _Queue]:
    found: dict[tuple[int, tuple[str, ...]], _Queue] = {}
    for n, replications in wanted.items():
        for replication, digests in sorted(replications.items()):
            cells = tuple(digests)
            if cells and (shard is None or shard.takes(replication)):
                if (n, cells) not in found:
                    found[n, cells] = _Queue(n, cells)
                found[n, cells].add(replication)
    return found
