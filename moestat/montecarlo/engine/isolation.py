"""Which replication kills its worker? Batches under suspicion are run by themselves, and halved as long as they fail.

When a worker dies, all that was in flight may be the cause, and most of it is not. It is run again as a group, with
nothing beside it: a death by chance is over with that. Of a group that fails again, what failed is halved, down to one
batch, whose replications are halved in turn, down to one. One that kills several workers with nothing beside it is
guilty. Batches that have done nothing are cleared on the way.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from moestat.montecarlo.rows import Batch

#: Workers that a replication must have killed.
KILLS = 3

Group = tuple[Batch, ...]


class Suspects:
    """Groups of batches under suspicion; the last one accused is tried first."""

    def __init__(self) -> None:
        self._groups: list[Group] = []
        self._kills: Counter[tuple[int, int]] = Counter()

    def __bool__(self) -> bool:
        return bool(self._groups)

    def accuse(self, batches: Group) -> None:
        """Batches failed beside each other."""
        self._groups.append(batches)

    def next(self) -> Group:
        """The group that is to be run next, with nothing beside it."""
        return self._groups.pop()

    def failed(self, group: Group, batches: Group, workers: int) -> Batch | None:
        """Of a group that was run by itself, some batches failed, and with them workers; the guilty one, if certain."""
        if len(group) == 1 and len(group[0].replications) == 1:
            return self._again(group[0], workers)
        self._groups += [part for part in reversed(halved(batches)) if part]
        return None

    def _again(self, batch: Batch, workers: int) -> Batch | None:
        key = batch.n, batch.replications[0]
        self._kills[key] += workers
        if self._kills[key] >= KILLS:
            return batch
        self._groups.append((batch,))
        return None


def halved(batches: Group) -> tuple[Group, Group]:
    """Two groups: half of the batches each, or half of the replications of a single batch."""
    if len(batches) > 1:
        middle = len(batches) // 2
        return batches[:middle], batches[middle:]
    replications, middle = batches[0].replications, len(batches[0].replications) // 2
    if not middle:
        return batches, ()
    first, second = replications[:middle], replications[middle:]
    return (replace(batches[0], replications=first),), (replace(batches[0], replications=second),)
