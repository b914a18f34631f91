"""The maximum likelihood estimate: starts from the data and from others' ends, each climbed to a certified end."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from moestat.certificate import OPEN_ENDED, SPIKES
from moestat.errors import ConvergenceWarning, InputError
from moestat.fitting import fit
from moestat.model import MoEParams
from moestat.montecarlo.fits import FittedModel
from moestat.montecarlo.protocols.base import TRUTH, End, Protocol, Task, check_near_truth
from moestat.montecarlo.protocols.ends import SAME_LOGLIK, data_driven, near_truth, reached
from moestat.montecarlo.reading import Table
from moestat.montecarlo.truth import Truth
from moestat.prepared import Ends, Prepared
from moestat.starts import NearTruth
from moestat.typing import FloatArray

#: Copies of one true expert stay together for ever: beside the exact copy stands one with noise of this size.
BESIDE_TRUTH = NearTruth(sd=0.05, exponent=0.0, split_mass=True)
EXACT_TRUTH = NearTruth(sd=0.0, split_mass=True)


@dataclass(frozen=True)
class MLE(Protocol):
    """The certified maximum likelihood estimate: the best of many starts, each followed to its end.

    Parameters
    ----------
    name : str
    n_starts : int
        Number of starts made from the data.
    polish_from : tuple of str
        Protocols whose end points on the same data are starts too, and ``"truth"``: the estimate is never below these,
        as far as they lie within the bounds.
    screen_from : int
        From so many rows on, starts made from the data first climb on ``screen_rows`` of them, and the ``finish``
        best different ends go on to all rows. 0 never does.
    screen_rows, finish : int
    fits : tuple of str, optional
        Names of the models it is for; all when left out.
    """

    name: str = "mle"
    n_starts: int = 12
    polish_from: tuple[str, ...] = ()
    screen_from: int = 50_000
    screen_rows: int = 10_000
    finish: int = 5
    fits: tuple[str, ...] | None = None
    kind: ClassVar[str] = "mle"

    def __post_init__(self) -> None:
        if 0 < self.screen_from < self.screen_rows:
            raise InputError(
                f"screen_rows={self.screen_rows} must not be more than screen_from={self.screen_from}: it is a part of "
                "so many rows."
            )

    def fit(self, task: Task) -> End:
        """Fit one data set."""
        return self.fit_many([task])[0]

    def fit_many(self, tasks: Sequence[Task]) -> list[End]:
        """Compiled where the model has a compiled form; otherwise as `moestat.fit` does it."""
        first = tasks[0]
        if first.fit.objective == "likelihood" and first.fit.model.n_experts > 1:
            prepared = first.fit.prepared(first.schema)
            if prepared.compiled:
                return self._compiled(prepared, tasks)
        return [self._general(task) for task in tasks]

    def check(self, fit: FittedModel, truth: Truth, sizes: Sequence[int]) -> None:
        """The truth must be a member of the model to be a start."""
        if TRUTH in self.polish_from:
            check_near_truth(f"protocol {self.name!r}, polish_from", fit, truth)

    @classmethod
    def read(cls, table: Table, name: str, fits: tuple[str, ...] | None) -> MLE:
        """From its table."""
        return cls(
            name=name,
            n_starts=table.whole("n_starts", cls.n_starts, least=1, most=10_000),
            polish_from=table.texts("polish_from", ()),
            screen_from=table.whole("screen_from", cls.screen_from),
            screen_rows=table.whole("screen_rows", cls.screen_rows, least=100),
            finish=table.whole("finish", cls.finish, least=1, most=10_000),
            fits=fits,
        )

    # ------------------------------------------------------------------------------- compiled fits
    def _compiled(self, prepared: Prepared, tasks: Sequence[Task]) -> list[End]:
        given = [self._given(task) for task in tasks]
        made = [data_driven(task, task.problem(), self.n_starts) for task in tasks]
        if self.screen_from and tasks[0].n >= self.screen_from:
            made = [self._screened(prepared, task, starts) for task, starts in zip(tasks, made, strict=True)]
        counts = [len(own) + len(starts) for own, starts in zip(given, made, strict=True)]
        if len(set(counts)) > 1:  # ends of protocols that failed are missing
            return [self._compiled(prepared, [task])[0] for task in tasks]
        starts = np.array([[*own, *more] for own, more in zip(given, made, strict=True)])
        low, high = prepared.box
        ends = prepared.fit_many(
            np.stack([task.X for task in tasks]), np.stack([task.y for task in tasks]), start=np.clip(starts, low, high)
        )
        n_starts = counts[0] - len(made[0]) + self.n_starts
        return [_end_of(prepared, ends, i, n_starts, task.n) for i, task in enumerate(tasks)]

    def _screened(self, prepared: Prepared, task: Task, starts: list[FloatArray]) -> list[FloatArray]:
        """The best different ends on some of the rows, spread evenly."""
        low, high = prepared.box
        every = np.linspace(0, task.n - 1, self.screen_rows).astype(np.int64)
        ends = prepared.fit_many(task.X[every][None], task.y[every][None], start=np.clip(np.array(starts), low, high))
        order = np.argsort(-ends.loglik[0], kind="stable")
        kept: list[int] = []
        for i in order:
            level = ends.loglik[0, i]
            if np.isfinite(level) and not any(_same(level, ends.loglik[0, j], len(every)) for j in kept):
                kept.append(int(i))
        kept = (kept + [int(i) for i in order if int(i) not in kept])[: self.finish]
        return [ends.theta[0, i] for i in kept]

    def _given(self, task: Task) -> list[FloatArray]:
        """End points of others, and the truth, packed."""
        layout = task.fit.model.layout(task.schema)
        own = [layout.pack(task.ends[name]) for name in self.polish_from if name in task.ends]
        return own + (self._truths(task) if TRUTH in self.polish_from else [])

    @staticmethod
    def _truths(task: Task) -> list[FloatArray]:
        exact = near_truth(task, EXACT_TRUTH, "truth", 1)
        over = task.fit.model.n_experts > task.truth.model.n_experts
        return exact + (near_truth(task, BESIDE_TRUTH, "beside the truth", 1) if over else [])

    # ------------------------------------------------------------------------------- the general way
    def _general(self, task: Task) -> End:
        model, schema = task.fit.model, task.schema
        layout = model.layout(schema)
        given: list[MoEParams] = [layout.unpack(start) for start in _inside(task, self._given(task))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the verdict says as much
            results = fit(
                model,
                task.fit.rows(task.X, task.y, schema),
                n_starts=self.n_starts,
                seed=task.seed_of("starts"),
                start=given or None,
                bounds=task.fit.bounds,
                objective=task.fit.objective,
            )
        certificate = results.certificate
        optimum = certificate.optimum
        return End(
            params=results.params,
            loglik=certificate.loglik,
            status=certificate.status,
            gradient=certificate.grad_norm,
            smallest_eigenvalue=float(optimum.eigenvalues.min(initial=np.inf)),
            n_iter=len(results.trace) - 1,
            n_starts=certificate.n_starts,
            n_reached=certificate.n_reached,
            n_bounds=len(optimum.bounds),
            trusted=certificate.trusted,
        )


def _inside(task: Task, starts: list[FloatArray]) -> list[FloatArray]:
    """The nearest points of the box; a start of the user's outside would be refused."""
    if not task.fit.bounds or not starts:
        return starts
    low, high = task.fit.prepared(task.schema).box
    return [np.clip(start, low, high) for start in starts]


def _end_of(prepared: Prepared, ends: Ends, i: int, n_starts: int, n: int) -> End:
    best = int(ends.best[i])
    low, high = prepared.box
    theta, levels, status = ends.theta[i, best], ends.loglik[i], ends.status[i, best]
    above = levels > levels[best] + SAME_LOGLIK * (n + abs(levels[best]))
    higher = {kind for kind in ends.status[i, above] if kind in (*OPEN_ENDED, *SPIKES)}
    alike = np.array([level for level, kind in zip(levels, ends.status[i], strict=True) if kind.rank == status.rank])
    return End(
        params=ends.params(i),
        loglik=float(levels[best]),
        status=status,
        gradient=float(ends.gradient[i, best]),
        smallest_eigenvalue=float(ends.smallest_eigenvalue[i, best]),
        n_iter=int(ends.n_iter[i, best]),
        n_starts=n_starts,
        n_reached=reached(alike, n),
        n_bounds=int(((theta <= low) | (theta >= high)).sum()),
        trusted=status.trusted and not higher & set(OPEN_ENDED),  # spikes have no bound: any fit has them
        notes=tuple(sorted(f"higher than it lies a {kind.value}" for kind in higher)),
    )


def _same(first: float, second: float, n: int) -> bool:
    return bool(abs(first - second) <= SAME_LOGLIK * (n + abs(second)))
