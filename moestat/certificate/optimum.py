"""Records of the verdict: the kind of end point, the evidence, and what other starts reached."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from moestat.certificate.measures import MEASURES, Measure
from moestat.certificate.status import OPEN_ENDED, SPIKES, Status
from moestat.certificate.wording import verdict
from moestat.typing import BoolArray, FloatArray

#: Share of their size by which two log-likelihoods must differ to count as different.
DISTINCT_LOGLIK = 1e-8

#: Level of the statement about solutions that no start met.
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Optimum:
    """A point and what it is.

    Parameters
    ----------
    status : Status
    loglik : float
        Sum over rows, in nats and in the units of the raw response.
    gradient : float
        Infinity norm of the projected score per row, in standardised (working) coordinates.
    fine_gradient : float
        The same in finer units where a row tells more than one about a parameter: the round-off of a score
        grows with the information, so this is what is compared with zero.
    eigenvalues : ndarray
        Of the observed information per row, modulo the declared invariances, held parameters, active bounds and
        floors; ascending.
    dimension : int
        Number of free parameters modulo invariances and related columns, wherever the point lies.
    invariances : int
        Number of declared invariances set aside.
    declared : tuple of str
        These in words.
    flat : tuple of str
        Flat directions beyond the declared ones, in words.
    runaway : tuple of str
        Directions along which the log-likelihood rises for ever towards its supremum, in words.
    lost : ndarray (f, P)
        Both kinds of directions, of length one, in working coordinates.
    floors : tuple of str
        Names of parameters on their floor.
    bounds : tuple of str
        Names of parameters on a bound of the user's that holds them back.
    empty : tuple of int
        Experts (from 1) with almost no mass.
    spikes : tuple of int
        Experts (from 1) that are spikes: they rest on a few rows, and their variance is free to sink.
    few : tuple of (int, int)
        Experts (from 1) that rest on few distinct rows, spikes or not, and how many these are.
    masses : ndarray (K,)
        Expected number of rows of each expert.
    movable : ndarray of bool (P,)
        Parameters that are neither held nor on a bound or floor.
    ahead : float
        What the log-likelihood has still to gain along the rays; zero where nothing runs away.
    monotone : bool
        Whether the log-likelihood never fell along the rays, as far as they were followed.
    partition : tuple of float
        Where something runs away: rows that each expert takes for itself in the limit, then the rows shared.
    towards : str
        What the gate becomes where it runs away to a limit that it knows of.
    ties : tuple of str
        Rows that are about to change their experts and hold the ascent back, in words.
    held : ndarray (t, P)
        Derivatives of the margins by which these keep their experts, in working coordinates.
    jumps : bool
        Whether the likelihood jumps where rows change their experts, so that the verdict is a local one.
    kinks : bool
        Whether weights or means have kinks, at which a maximum has a gradient that is not zero.
    """

    status: Status
    loglik: float
    gradient: float
    fine_gradient: float
    eigenvalues: FloatArray
    dimension: int
    invariances: int
    declared: tuple[str, ...]
    flat: tuple[str, ...]
    runaway: tuple[str, ...]
    lost: FloatArray = field(repr=False)
    floors: tuple[str, ...]
    bounds: tuple[str, ...]
    empty: tuple[int, ...]
    spikes: tuple[int, ...]
    few: tuple[tuple[int, int], ...]
    masses: FloatArray
    movable: BoolArray = field(repr=False)
    ahead: float
    monotone: bool
    partition: tuple[float, ...]
    towards: str = ""
    ties: tuple[str, ...] = ()
    held: FloatArray = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    jumps: bool = False
    kinks: bool = False

    @property
    def limit(self) -> float:
        """Supremum of the log-likelihood along the rays; ``loglik`` itself where nothing runs away."""
        return self.loglik + self.ahead

    @property
    def n_identified(self) -> int:
        """Number of parameters that the model has to spend: all but invariances and flat directions.

        A direction that runs away counts: its parameter is determined, at infinity. So do parameters on a bound.
        """
        return self.dimension - len(self.flat)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for storage."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Optimum:
        """The inverse of `to_dict`."""
        movable = np.array(values["movable"], dtype=bool)
        restored: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        restored |= {
            "status": Status[values["status"]],
            "eigenvalues": np.array(values["eigenvalues"], dtype=np.float64),
            "masses": np.array(values["masses"], dtype=np.float64),
            "lost": np.array(values["lost"], dtype=np.float64).reshape(-1, movable.size),
            "held": np.array(values["held"], dtype=np.float64).reshape(-1, movable.size),
            "movable": movable,
            "few": tuple((k, rows) for k, rows in values["few"]),
        }
        return Optimum(**restored)


@dataclass(frozen=True)
class Rival:
    """A solution that other starts reached: its kind, log-likelihood and how many starts ended there."""

    status: Status
    loglik: float
    n_starts: int


@dataclass(frozen=True, eq=False)
class Certificate:
    """The verdict on a fit; ``print`` it.

    Parameters
    ----------
    optimum : Optimum
        The reported solution.
    n_starts : int
        Number of starts made.
    n_finished : int
        Number of starts carried to their end.
    n_reached : int
        Number of finished starts that ended at the reported solution.
    n_reseeded : int
        Number of starts in which an expert lost its rows and was placed anew.
    rivals : tuple of Rival
        What the others reached.
    stop : str
        Why the solver stopped.
    n_rows : float
        Number of rows (sum of weights).
    n_experts : int
    gave_up : bool
        Whether an automatic search ended at its largest number of starts, before it was content.
    deficient : tuple of str
        Columns that are constant or linear combinations of others, in words.
    joint : bool
        Whether the likelihood is one of the gate's covariates and the response together.
    objective : str
        What was fitted, by its name in `moestat.fit`. Of least squares, log-likelihoods stand for
        -n/2 log(RSS / n + floor).
    floor : float
        Of least squares, that floor: below it residuals are rounding.
    """

    optimum: Optimum
    n_starts: int
    n_finished: int
    n_reached: int
    n_reseeded: int
    rivals: tuple[Rival, ...]
    stop: str
    n_rows: float
    n_experts: int
    gave_up: bool = False
    deficient: tuple[str, ...] = ()
    joint: bool = False
    objective: str = "likelihood"
    floor: float = 0.0

    @property
    def measure(self) -> Measure:
        """What was maximised, or minimised, in words and figures of a reader."""
        return MEASURES[self.objective]

    def reading(self, level: Any) -> Any:
        """A log-likelihood, or what stands for one, as a reader knows it: as it is, or as a sum of squares."""
        return self.measure.reading(level, self.n_rows, self.floor)

    @property
    def status(self) -> Status:
        """The kind of optimum."""
        return self.optimum.status

    @property
    def loglik(self) -> float:
        """Log-likelihood of the reported solution (a sum, in nats)."""
        return self.optimum.loglik

    @property
    def grad_norm(self) -> float:
        """Infinity norm of the projected score per row, in standardised coordinates."""
        return self.optimum.gradient

    @property
    def eigenvalues(self) -> FloatArray:
        """Eigenvalues of the information per row, modulo the declared invariances."""
        return self.optimum.eigenvalues

    @property
    def trusted(self) -> bool:
        """Whether the solution is a strict maximum (inside, or on the user's bounds) and no start went higher.

        Spikes count as higher only where they crowd the solution out; see `higher`.
        """
        return self.status.trusted and not self.higher

    @property
    def higher(self) -> tuple[Rival, ...]:
        """Rivals of higher log-likelihood that the reported solution should not hide.

        Flat maxima and suprema at infinity; of least squares also ends short of convergence, as they are no spikes: a
        sum of squares has a bound. And spikes where more starts ended in them than at the solution and they
        are higher by more than the BIC penalty of the whole model, as where a few rows stand out from all others.
        """
        least = self.loglik + DISTINCT_LOGLIK * (self.n_rows + abs(self.loglik))
        penalty = 0.5 * np.log(max(self.n_rows, 1.0)) * self.optimum.n_identified
        spikes = [r for r in self.rivals if r.status in SPIKES and r.loglik > least + penalty]
        crowded_out = sum(r.n_starts for r in spikes) > self.n_reached
        kinds = OPEN_ENDED if self.measure.has_floors else (*OPEN_ENDED, Status.NOT_CONVERGED)
        open_ended = (r for r in self.rivals if r.status in kinds and r.loglik > least)
        return (*open_ended, *(spikes if crowded_out else ()))

    @property
    def unseen(self) -> float:
        """Largest share of starts that could lead to a better solution although none did, with 95 % confidence.

        With m independent starts carried to their end, a solution to which a share p of all starts lead is
        missed with probability (1 - p)^m; this is the p at which that is 5 %.
        """
        return float(1.0 - (1.0 - CONFIDENCE) ** (1.0 / self.n_finished))

    def __str__(self) -> str:
        return "\n".join(verdict(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.to_dict() == other.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for storage."""
        own = {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name not in ("optimum", "rivals")}
        rivals = [[r.status.name, r.loglik, r.n_starts] for r in self.rivals]
        return own | {"optimum": self.optimum.to_dict(), "rivals": rivals}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Certificate:
        """The inverse of `to_dict`."""
        rivals = tuple(Rival(Status[name], loglik, count) for name, loglik, count in values["rivals"])
        given = {"optimum": Optimum.from_dict(values["optimum"]), "rivals": rivals}
        return Certificate(**values | given | {"deficient": tuple(values["deficient"])})


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Status):
        return value.name
    return list(value) if isinstance(value, tuple) else value
