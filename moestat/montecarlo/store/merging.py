"""Shards of one study, made one store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from moestat.errors import InputError, MoestatWarning, warn
from moestat.montecarlo.rows import Cell, Finished
from moestat.montecarlo.store.catalogue import in_order
from moestat.montecarlo.store.connection import Journal
from moestat.montecarlo.store.differences import refuse_changes
from moestat.montecarlo.store.journal import Store


@dataclass(frozen=True)
class Merged:
    """What `merge` did.

    Parameters
    ----------
    added : int
        Rows that are new in the target.
    repeated : int
        Rows of the sources that were there already, and are the same.
    versions : tuple of str
        All combinations of versions in the target now.
    """

    added: int
    repeated: int
    versions: tuple[str, ...]


def merge(
    target: str | Path, sources: Iterable[str | Path], *, strict: bool = False, journal: Journal = "auto"
) -> Merged:
    """Add everything that other stores hold to one, which is made where there is none.

    Parameters
    ----------
    target : str or Path
    sources : iterable of str or Path
        They are only read.
    strict : bool
        Refuse stores that were filled by different versions; by default they give a warning.
    journal : {"auto", "wal", "delete"}
        See `Store.create`.

    Returns
    -------
    Merged

    Raises
    ------
    InputError
        When a cell of one is not what another holds under its name, when two have different rows for one replication,
        or when versions differ and ``strict`` is set. Nothing is written then.
    DamagedStoreError
        When one of them is damaged. Nothing is written then either.
    """
    goal, shards = Path(target), [Path(source) for source in sources]
    if not shards:
        raise InputError("sources must name at least one store.")
    if goal.resolve() in {shard.resolve() for shard in shards}:
        raise InputError(f"sources must not name the target {str(goal)!r}: it keeps what it has anyway.")
    with ExitStack() as stack:
        stores = [stack.enter_context(Store.open(shard, read_only=True)) for shard in shards]
        if goal.exists():
            store = stack.enter_context(Store.open(goal, journal=journal))
            _agree([store, *stores], strict)
        else:
            _agree(stores, strict)
            first = stores[0]
            store = stack.enter_context(Store.create(goal, first.study, first.cells(), journal=journal))
        return _added(store, stores)


def _agree(stores: Sequence[Store], strict: bool) -> None:
    """Refuse stores that contradict each other."""
    known: dict[str, Cell] = {}
    for store in stores:
        refuse_changes(known.values(), store.cells(), "another of the stores")
        known.update((cell.digest, cell) for cell in store.cells())
    _versions(stores, strict)
    for cell in in_order(known.values()):
        _same_rows(cell, stores)


def _versions(stores: Sequence[Store], strict: bool) -> None:
    found = sorted({text for store in stores for text, n in store.versions().items() if n})
    if len(found) < 2:
        return
    text = "The stores were filled by different versions: " + " | ".join(found)
    if strict:
        raise InputError(f"{text}. Nothing was written. Leave out strict to merge them all the same.")
    warn(f"{text}. Results of one machine and version repeat to the last bit, those of two need not.", MoestatWarning)


def _same_rows(cell: Cell, stores: Sequence[Store]) -> None:
    seen: dict[int, tuple[bytes, Store]] = {}
    for store in stores:
        if cell not in store.cells():
            continue
        rows = store.rows(cell)
        for replication, digest in zip(rows.replications.tolist(), rows.digests, strict=True):
            other, where = seen.setdefault(replication, (digest, store))
            if other != digest:
                raise InputError(
                    f"replication {replication} of the cell {cell.label} is one row in {str(where.path)!r} and another "
                    f"in {str(store.path)!r}. Nothing was written. `moestat study replay` shows which is right."
                )


def _added(target: Store, sources: Sequence[Store]) -> Merged:
    added = repeated = 0
    with target.all_or_nothing():
        for source in sources:
            known = {cell.digest: cell for cell in target.cells()}
            cells = [*known.values(), *(cell for cell in source.cells() if cell.digest not in known)]
            target.register(target.study, cells)
            for finished, ended in source.batches():
                fresh = np.array([target.lacks(row) for row in finished.rows], dtype=bool)
                added, repeated = added + int(fresh.sum()), repeated + int((~fresh).sum())
                if fresh.any():
                    target.append(_part(finished, fresh), ended=ended)
    return Merged(added, repeated, tuple(sorted(target.versions())))


def _part(finished: Finished, which: object) -> Finished:
    chosen = np.flatnonzero(np.asarray(which))
    return replace(finished, rows=tuple(finished.rows[i] for i in chosen), seconds=np.asarray(finished.seconds)[chosen])
