"""What a study measures: one row for each replication of each cell, and what is kept beside the rows.

A cell is a sample size, a fitted model and a protocol. Its rows have the same columns of numbers, and words for what is
no number. Timings and hosts are not results: two machines that agree on every row took different times over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from moestat.typing import FloatArray

#: A replication that was measured, one whose protocol raised an error, and one that killed its process.
OK, ERROR, CRASHED = "ok", "error", "crashed"

#: Bytes of a digest.
DIGEST_SIZE = 16


@dataclass(frozen=True)
class Cell:
    """A sample size, a fitted model and a protocol.

    Parameters
    ----------
    n : int
        Number of rows of the data.
    fit, protocol : str
        Their names in the study.
    text : str
        Canonical text of everything that the cell's numbers depend on (JSON).
    columns : tuple of str
        Names of its numbers.
    """

    n: int
    fit: str
    protocol: str
    text: str
    columns: tuple[str, ...]

    @property
    def digest(self) -> str:
        """What tells this cell from any other, in hexadecimal digits: a digest of its text."""
        return blake2b(self.text.encode(), digest_size=DIGEST_SIZE).hexdigest()

    @property
    def label(self) -> str:
        """How the cell is called: ``K2/mle/n=1000``."""
        return f"{self.fit}/{self.protocol}/n={self.n}"


@dataclass(frozen=True, eq=False)
class Row:
    """One replication of one cell.

    Parameters
    ----------
    cell : str
        The cell's digest.
    replication : int
        Counted from 0.
    outcome : str
        `OK`, `ERROR` or `CRASHED`.
    status : str
        Name of the `moestat.certificate.Status` where the fit ended; empty where there was no end.
    numbers : ndarray (C,)
        By the columns of the cell; NaN where there is none.
    words : str
        What is no number (JSON, an object): the error, the warnings; empty where there is nothing to say.
    """

    cell: str
    replication: int
    outcome: str
    status: str
    numbers: FloatArray
    words: str

    @property
    def digest(self) -> bytes:
        """Of all of it, the same on every platform."""
        found = blake2b(digest_size=DIGEST_SIZE)
        for text in (self.cell, str(self.replication), self.outcome, self.status, self.words):
            data = text.encode()
            found.update(len(data).to_bytes(8, "little"))
            found.update(data)
        found.update(np.ascontiguousarray(self.numbers, dtype="<f8").tobytes())
        return found.digest()


@dataclass(frozen=True)
class Batch:
    """Replications of one sample size that are run in one go, and the cells that are wanted of each of them.

    Parameters
    ----------
    n : int
        Number of rows of the data.
    replications : tuple of int
    cells : tuple of str
        Digests.
    """

    n: int
    replications: tuple[int, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Finished:
    """What became of a batch: a row for each replication of each of its cells.

    Parameters
    ----------
    rows : tuple of Row
    seconds : ndarray (len(rows),)
        Wall time that each row took.
    host : str
        Where: name of the machine and of the process.
    versions : str
        Of moestat and of what it computes with, and the kind of machine (JSON, an object).
    """

    rows: tuple[Row, ...]
    seconds: FloatArray
    host: str
    versions: str
