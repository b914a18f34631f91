"""One digest of all results, computed from rows in one order."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from moestat.montecarlo.rows import Cell
from moestat.montecarlo.store.catalogue import cell_body
from moestat.montecarlo.store.digests import sized


def joint(digests: Sequence[bytes]) -> bytes:
    """One digest of the digests of a cell's rows; empty where there are none."""
    return sha256(b"".join(digests)).digest() if digests else b""


class ResultsDigest:
    """SHA-256 over cells in their order, and over the digests of their rows in the order of the replications.

    A cell without rows adds nothing: it is no result.
    """

    def __init__(self) -> None:
        self._found = sha256()

    def add(self, cell: Cell, digests: Sequence[bytes]) -> None:
        """The next cell, with the digests of its rows."""
        self.add_joint(cell, joint(digests))

    def add_joint(self, cell: Cell, own: bytes) -> None:
        """The next cell, with the `joint` digest of its rows."""
        if own:
            self._found.update(sized(cell_body(cell).encode()))
            self._found.update(sized(own))

    def hexdigest(self) -> str:
        """The digest in hexadecimal digits."""
        return self._found.hexdigest()
