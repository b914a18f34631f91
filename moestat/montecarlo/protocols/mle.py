"""The maximum likelihood estimate: starts from the data and from others' ends, each climbed to a certified end."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from moestat.certificate import OPEN_ENDED, SPIKES
from moestat.errors import ConvergenceWarning, InputError
from moestat.fitting import fit
from moestat.montecarlo.fits import FittedModel
from moestat.montecarlo.protocols.base import TRUTH, End, Protocol, Task, check_near_truth
from moestat.montecarlo.protocols.ends import SAME_LOGLIK, data_driven, near_truth, reached
from moestat.montecarlo.reading import Table
from moestat.montecarlo.truth import Truth
from moestat.prepared import Ends, Prepared
from moestat.starts import NearTruth
from moestat.typing import FloatArray

#: Copies of one true expert stay together for ever: beside the exact copy stands one with noise of this size.
NOISE = 0.05


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
        as far as they lie within the bounds and are no spikes. Otherwise the best kind of point is preferred to a
        higher one, as in `moestat.fit`.
    screen_from : int
        From so many rows on, starts made from the data first climb on ``screen_rows`` of them, and the ``finish``
        best different ends go on to all rows; starts that agree are then counted among these. 0 never does. Models
        without a compiled form are searched as `moestat.fit` does it, which screens from 100,000 rows on.
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

    # ------------------------------------------------------------------------------- starts
    def _given(self, task: Task) -> list[Given]:
        """End points of others, and the truth, inside the bounds."""
        layout = task.fit.model.layout(task.schema)
        found = [
            Given(layout.pack(task.ends[name].params), task.ends[name].loglik)
            for name in self.polish_from
            if name in task.ends
        ]
        found += _truths(task) if TRUTH in self.polish_from else []
        low, high = task.fit.prepared(task.schema).box if task.fit.bounds else (-np.inf, np.inf)
        return [replace(one, start=np.clip(one.start, low, high)) for one in found]

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

    # ------------------------------------------------------------------------------- compiled fits
    def _compiled(self, prepared: Prepared, tasks: Sequence[Task]) -> list[End]:
        given = [self._given(task) for task in tasks]
        made = [data_driven(task, task.problem(), self.n_starts) for task in tasks]
        if self.screen_from and tasks[0].n >= self.screen_from:
            made = [self._screened(prepared, task, starts) for task, starts in zip(tasks, made, strict=True)]
        counts = [len(own) + len(starts) for own, starts in zip(given, made, strict=True)]
        if len(set(counts)) > 1:  # ends of protocols that failed are missing
            return [self._compiled(prepared, [task])[0] for task in tasks]
        starts = np.array([[*(g.start for g in own), *more] for own, more in zip(given, made, strict=True)])
        ends = _climbed(prepared, tasks, starts)
        floors = [max((one.level for one in own), default=-np.inf) for own in given]
        return [_end_of(prepared, ends, i, counts[0], task.n, floors[i]) for i, task in enumerate(tasks)]

    # ------------------------------------------------------------------------------- the general way
    def _general(self, task: Task) -> End:
        """The search of `moestat.fit`; and the given starts, each to its end."""
        given = self._given(task)
        if task.fit.objective != "likelihood":
            return self._searched(task, given)
        found = self._searched(task, ())
        if not given:
            return found
        prepared = task.fit.prepared(task.schema)
        ends = _climbed(prepared, [task], np.array([[one.start for one in given]]))
        floor = max(one.level for one in given)
        return _better(found, _end_of(prepared, ends, 0, len(given), task.n, floor), floor, task.n)

    def _searched(self, task: Task, given: Sequence[Given]) -> End:
        layout = task.fit.model.layout(task.schema)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the verdict says as much
            results = fit(
                task.fit.model,
                task.fit.rows(task.X, task.y, task.schema),
                n_starts=self.n_starts,
                seed=task.seed_of("starts"),
                start=[layout.unpack(one.start) for one in given] or None,
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


@dataclass(frozen=True, eq=False)
class Given:
    """A start (P,), packed in the user's units, and the log-likelihood that the estimate should not lie below."""

    start: FloatArray
    level: float


def _truths(task: Task) -> list[Given]:
    """The truth, its experts copied where more are fitted; then with noise as well, which parts the copies."""
    model, truth = task.fit.model, task.truth
    over = model.n_experts > truth.model.n_experts
    exact = _near(task, 0.0, "truth", over)
    level = model.loglik(model.layout(task.schema).unpack(exact), task.X, task.y) if truth.noise_sd is None else -np.inf
    return [Given(exact, level), *([Given(_near(task, NOISE, "beside the truth", over), -np.inf)] if over else [])]


def _near(task: Task, sd: float, word: str, over: bool) -> FloatArray:
    """A start near the truth; copies share the mass of their expert where the gate lets them."""
    try:
        return near_truth(task, NearTruth(sd=sd, exponent=0.0, split_mass=over), word, 1)[0]
    except InputError:
        return near_truth(task, NearTruth(sd=sd, exponent=0.0), word, 1)[0]


# --------------------------------------------------------------------------------------- choosing
def _climbed(prepared: Prepared, tasks: Sequence[Task], starts: FloatArray) -> Ends:
    """Every start (R, S, P) of every data set followed to its end."""
    X, y = (np.stack([getattr(task, name) for task in tasks]) for name in ("X", "y"))
    return prepared.fit_many(X, y, start=np.clip(starts, *prepared.box))


def _end_of(prepared: Prepared, ends: Ends, i: int, n_starts: int, n: int, floor: float) -> End:
    best = _preferred(ends, i, floor, n)
    low, high = prepared.box
    theta, levels, status = ends.theta[i, best], ends.loglik[i], ends.status[i, best]
    above = levels > levels[best] + _tolerance(levels[best], n)
    higher = {kind for kind in ends.status[i, above] if kind in (*OPEN_ENDED, *SPIKES)}
    alike = np.array([level for level, kind in zip(levels, ends.status[i], strict=True) if kind.rank == status.rank])
    return End(
        params=ends.params(i, best),
        loglik=float(levels[best]),
        status=status,
        gradient=float(ends.gradient[i, best]),
        smallest_eigenvalue=float(ends.smallest_eigenvalue[i, best]),
        n_iter=int(ends.n_iter[i, best]),
        n_starts=n_starts,
        n_reached=reached(alike, n),
        n_bounds=int(((theta <= low) | (theta >= high)).sum()),
        trusted=status.trusted and not higher & set(OPEN_ENDED),  # spikes have no bound: any fit has them
        shortfall=_below(float(levels[best]), floor, n),
        notes=tuple(sorted(f"higher than it lies a {kind.value}" for kind in higher)),
    )


def _preferred(ends: Ends, i: int, floor: float, n: int) -> int:
    """The best kind of point, there the highest; the highest of any kind but spikes where that lies below the floor."""
    best, levels = int(ends.best[i]), ends.loglik[i]
    if not _below(float(levels[best]), floor, n):
        return best
    level = np.where([kind in SPIKES for kind in ends.status[i]], -np.inf, levels)
    top = int(level.argmax())
    return top if level[top] > levels[best] else best


def _better(found: End, polished: End, floor: float, n: int) -> End:
    """The end of a search, or that of given starts: by the same rule."""
    higher = polished.loglik > found.loglik + _tolerance(found.loglik, n)
    as_good = polished.status.rank <= found.status.rank
    needed = _below(found.loglik, floor, n) > 0.0 and polished.status not in SPIKES
    taken = polished if higher and (as_good or needed) else found
    both = _same(found.loglik, polished.loglik, n)
    return replace(
        taken,
        n_starts=found.n_starts + polished.n_starts,
        n_reached=taken.n_reached + ((found if taken is polished else polished).n_reached if both else 0),
        shortfall=_below(taken.loglik, floor, n),
    )


def _below(level: float, floor: float, n: int) -> float:
    """By how much a log-likelihood lies below another; nothing where both are the same."""
    return 0.0 if level >= floor - _tolerance(floor, n) else float(floor - level)


def _tolerance(level: float, n: int) -> float:
    return SAME_LOGLIK * (n + abs(level)) if np.isfinite(level) else 0.0


def _same(first: float, second: float, n: int) -> bool:
    return bool(abs(first - second) <= _tolerance(second, n))
