"""The kinds of points at which a fit can end."""

from __future__ import annotations

from enum import Enum

#: A score below this per row, in standardised coordinates, counts as zero.
GRADIENT_TOLERANCE = 1e-8


class Status(Enum):
    """Kinds of end points, best first; the value is how a certificate says it."""

    STRICT_MAXIMUM = "strict interior maximum"
    AT_BOUND = "maximum on the user's bounds"
    AT_TIES = "local maximum at switching ties"
    FLAT_MAXIMUM = "maximum with flat directions"
    RUNAWAY = "supremum at infinity"
    SPIKE = "maximum behind a few rows (a spike)"
    AT_FLOOR = "maximum on the variance floor (a spike)"
    SADDLE = "saddle point"
    NOT_CONVERGED = "not converged"

    @property
    def rank(self) -> int:
        """Order in which solutions are preferred, before their log-likelihood; kinds of one rank are equals."""
        equals = {
            Status.AT_BOUND: Status.STRICT_MAXIMUM,
            Status.AT_TIES: Status.STRICT_MAXIMUM,
            Status.RUNAWAY: Status.FLAT_MAXIMUM,
        }
        return list(Status).index(equals.get(self, self))

    @property
    def trusted(self) -> bool:
        """Whether such a point is the maximiser that theory speaks of."""
        return self.rank == 0


#: Kinds without a finite, unique maximiser whose log-likelihood is bounded all the same.
OPEN_ENDED = (Status.FLAT_MAXIMUM, Status.RUNAWAY)

#: Kinds that rest on a few rows.
SPIKES = (Status.SPIKE, Status.AT_FLOOR)
