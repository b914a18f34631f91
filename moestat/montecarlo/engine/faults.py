"""What can go wrong between a batch and its rows: an error of the work itself, or of what it runs on."""

from __future__ import annotations

from moestat.errors import MoestatError
from moestat.montecarlo.rows import Batch

#: Replications that a text names before it says how many more there are.
NAMED = 5


class WorkError(MoestatError):
    """The work raised an error: a mistake in it, as a fit that fails is a row. The text names the batch.

    Parameters
    ----------
    text : str
    trace : str
        Where it was raised, as the worker saw it; comes with the traceback.
    """

    def __init__(self, text: str, trace: str = "") -> None:
        super().__init__(text)
        self.trace = trace
        if trace:
            self.add_note(f"\nIn the worker:\n{trace}")


class EngineError(MoestatError):
    """What the batches run on is gone, or cannot be had; what was delivered is safe."""


def named(batch: Batch) -> str:
    """What a batch is called: ``n=100, replications 0, 1``."""
    first = ", ".join(map(str, batch.replications[:NAMED]))
    more = len(batch.replications) - NAMED
    return f"n={batch.n}, replication{'s' * (len(batch.replications) > 1)} {first}" + (
        f" and {more} more" if more > 0 else ""
    )
