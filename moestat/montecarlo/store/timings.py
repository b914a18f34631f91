"""What rows took: no result, so kept and read apart from them."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.montecarlo.store import reading, schema
from moestat.montecarlo.store.catalogue import Catalogue
from moestat.montecarlo.store.records import BrokenSealError, Timing

if TYPE_CHECKING:
    import pandas as pd


def timings(connection: sqlite3.Connection, texts: Catalogue) -> pd.DataFrame:
    """A line for each row, batch by batch."""
    import pandas as pd

    batches = [reading.keys_of(entry) for entry in reading.entries(connection)]
    took = list(reading.records(connection, Timing, schema.TIMINGS))
    if [one.id for one in took] != list(range(1, len(batches) + 1)):
        raise BrokenSealError(f"there are {len(took)} timings of {len(batches)} batches")
    keys = np.concatenate([np.empty(0, dtype=np.int64), *batches])
    sizes = [batch.size for batch in batches]
    cells = [texts.cells[number] for number in (keys >> schema.REPLICATION_BITS).tolist()]
    columns: dict[str, Any] = {
        "batch": np.repeat(np.arange(1, len(batches) + 1), sizes),
        "fit": [cell.fit for cell in cells],
        "protocol": [cell.protocol for cell in cells],
        "n": np.array([cell.n for cell in cells], dtype=np.int64),
        "replication": keys & schema.MASK,
        "seconds": np.frombuffer(b"".join(one.seconds for one in took), dtype="<f8"),
        "host": np.repeat(np.array([one.host for one in took], dtype=object), sizes),
        "finished": np.repeat(np.array([one.finished for one in took], dtype=float), sizes),
    }
    return pd.DataFrame(columns)
