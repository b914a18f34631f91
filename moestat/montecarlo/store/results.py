"""One digest of all results, computed from rows in one order."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from moestat.montecarlo.rows import Cell
from moestat.montecarlo.store.catalogue import cell_body
from moestat.montecarlo.store.digests import sized


class ResultsDigest:
    """SHA-256 over cells in their order, and over the digests of their rows in the order of the replications.

    A cell without rows adds nothing: it is no result.
    """

    def __init__(self) -> None:
        self._found = sha256()

    def add(self, cell: Cell, digests: Sequence[bytes]) -> None:
        """The next cell, with the digests of its rows."""
        if digests:
            self._found.update(sized(cell_body(cell).encode()))
            self._found.update(sized(b"".join(digests)))

    def hexdigest(self) -> str:
        """The digest in hexadecimal digits."""
        return self._found.hexdigest()
