"""From starting points to solutions: short EM on all, the most promising finished, equals merged.

Every start's outcome is kept, whatever became of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import ClassVar, Protocol

import numpy as np

from moestat.certificate import OPEN_ENDED, Optimum, Status, examine
from moestat.data import Block
from moestat.model import MixtureOfExperts
from moestat.progress import Report, silent
from moestat.representative import canonical
from moestat.screening import Screen, as_it_stands, may_reach, promise
from moestat.solvers import (
    EM,
    AcrossTies,
    LeastSquaresNewton,
    Problem,
    SampleFirst,
    Solution,
    Solver,
    TrustRegionNewton,
    default_solver,
    go_on,
    relaxed,
    solve,
)
from moestat.solvers.default import NEWTON
from moestat.solvers.newton import NewtonState
from moestat.starts import GIVEN, Start, lost_experts, reseed
from moestat.typing import FloatArray

#: Steps of EM that every start gets before the most promising are finished.
SHORT_RUN = EM(max_iter=15, rtol=1e-9)

#: The same for least squares.
SHORT_NEWTON = TrustRegionNewton(max_iter=15)

#: From so many rows on a start that is alone begins on a sample of them.
SAMPLED_ROWS = 4000

#: Up to this many rows every start is finished; beyond, fewer in proportion, and at least `MIN_FINISHED`.
FINISH_ALL_ROWS = 20_000
MIN_FINISHED = 5

#: How often an expert that loses its rows is placed anew before it is reported as empty.
RESEEDS = 3

#: Short runs that agree to this, in log-likelihood relative to its size and in canonical parameters, are one.
SAME_RUN = 1e-9
SAME_POINT = 1e-6

#: Log-likelihoods that agree to this, relative to their size, belong to one solution; on ridges and on the way to
#: infinity they are known less well, and so is the kind of the end point.
SAME_LOGLIK = 1e-9
SAME_SUPREMUM = 1e-7
VAGUE = (Status.FLAT_MAXIMUM, Status.RUNAWAY, Status.SADDLE, Status.NOT_CONVERGED)

#: How often the default number of starts is made again when no start found a maximum that is not a spike.
RESCUES = 2

#: Where the likelihood jumps, so many of the best ends are looked around, in a race that half of them leave each time.
RUNNERS = 8

#: ``n_starts="auto"``: starts come in batches until the best solution was reached so often and no other solution is
#: expected to be left, or this many were made.
BATCH = 10
OFTEN_ENOUGH = 5
MOST_STARTS = 200


class Law(Protocol):
    """Where data-driven starts come from: endless starting points, and the sketch they are made from."""

    @property
    def rows(self) -> Block: ...
    @property
    def seed(self) -> int: ...
    def __iter__(self) -> Iterator[Start]: ...


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one start; two outcomes are the same only when they are one.

    seen is the state on all rows where a run on a sample ended, and short says the same; led (P,) is where it was
    before it climbed to the sample's maximum.
    """

    start: Start
    short: Solution
    reseeded: int = 0
    seen: NewtonState | None = None
    led: FloatArray | None = None
    final: Solution | None = None
    optimum: Optimum | None = None


@dataclass(eq=False)
class Search:
    """Runs of a solver from many starts.

    Parameters
    ----------
    model : MixtureOfExperts
    problem : Problem
    law : Law
        Where data-driven starts come from, and the sketch that lost experts are placed anew on.
    solver : Solver, optional
        A solver of the caller's runs from the start itself, as a published recipe would; by default all starts
        get a short EM, and the most promising go on with the `default_solver`.
    report : callable
        Told how far the search has come: stage, number of starts done, number of starts.
    """

    model: MixtureOfExperts
    problem: Problem
    law: Law
    solver: Solver | None = None
    report: Report = silent
    outcomes: list[Outcome] = field(default_factory=list)
    gave_up: bool = False

    def run(self, given: list[Start], n_starts: int) -> None:
        """Given starts, then a number of data-driven ones."""
        self._try([*given, *islice(self.law, n_starts)])

    def run_default(self, n_starts: int) -> None:
        """Data-driven starts, and as many again, once or twice, when all of them end in spikes or nowhere."""
        stream = iter(self.law)
        for _ in range(1 + RESCUES):
            self._try(list(islice(stream, n_starts)))
            status = _optimum(self.best).status
            settled = status.rank <= Status.RUNAWAY.rank or (self._rough and status is Status.NOT_CONVERGED)
            if settled or self.problem.passes.terms.n_experts == 1:
                return

    def run_until_found_often(self, given: list[Start]) -> None:
        """Batches of starts until the best solution was reached `OFTEN_ENOUGH` times and none is thought to be left.

        After n starts with w solutions, w (n - 1) / (n - w - 2) solutions are expected in all, and the search
        ends when that is less than w + 1/2 (Boender and Rinnooy Kan 1987, Mathematical Programming 37).
        """
        stream = iter(self.law)
        batch = [*given, *islice(stream, BATCH)]
        while batch:
            self._try(batch)
            self.gave_up = not self._found_often_enough() and len(self.outcomes) >= MOST_STARTS
            done = self.gave_up or self._found_often_enough()
            batch = [] if done else list(islice(stream, BATCH))

    def _found_often_enough(self) -> bool:
        n, found = len(self.finished), len(self.solutions)
        all_found = n > found + 2 and found * (n - 1) / (n - found - 2) < found + 0.5
        return all_found and len(self.group_of(self.best)) >= OFTEN_ENOUGH

    # ------------------------------------------------------------------------------- running
    def _try(self, starts: list[Start]) -> None:
        if self.solver is not None or len(starts) + len(self.outcomes) == 1:
            solver = self.solver or self._single
            runs = (Outcome(start, solve(self.problem, solver, start.theta)) for start in starts)
            self.outcomes += self._reported("runs", (self._examined(run, run.short) for run in runs), len(starts))
            return
        short = (self._short_run(len(self.outcomes) + i, start) for i, start in enumerate(starts))
        self.outcomes += self._reported("short runs", short, len(starts))
        self._finish_promising()

    def _reported(self, stage: str, outcomes: Iterator[Outcome], total: int) -> list[Outcome]:
        """All outcomes, each reported as soon as it is there."""
        self.report(stage, 0, total)
        made = []
        for outcome in outcomes:
            made.append(outcome)
            self.report(stage, len(made), total)
        return made

    @property
    def _finisher(self) -> Solver:
        """The solver that carries a start to its end."""
        return default_solver(self.problem)

    @property
    def _single(self) -> Solver:
        """The solver of a start that is alone."""
        large = self.problem.passes.source.n_rows >= SAMPLED_ROWS and self.problem.passes.terms.gate.continuous
        return SampleFirst() if large else self._finisher

    @cached_property
    def _screen(self) -> Screen | None:
        """Samples of the rows, where there are many."""
        return Screen.of(self.problem)

    def _short_run(self, number: int, start: Start) -> Outcome:
        """A short run on all rows, or on a sample and what that looks like on all rows."""
        if self._screen is None or start.family == GIVEN:
            short, times = self._kept_alive(self.problem, number, start.theta)
            return Outcome(start, short, reseeded=times)
        short, times = self._kept_alive(self._screen.few, number, start.theta)
        seen = self._screen.seen(short.theta)
        return Outcome(start, as_it_stands(seen, short.stop), reseeded=times, seen=seen, led=short.theta)

    def _kept_alive(self, problem: Problem, number: int, theta: FloatArray) -> tuple[Solution, int]:
        """EM for a few steps; an expert that loses its rows gets others, a few times, and how often."""
        short = self._led(problem, theta)
        rng = np.random.default_rng(np.random.SeedSequence(self.law.seed, spawn_key=(number, 1)))
        times = 0
        while times < RESEEDS and (lost := lost_experts(problem, short.theta)).size:
            short = self._led(problem, reseed(problem, self.law.rows, short.theta, lost, rng))
            times += 1
        return short, times

    #: What a short run takes its steps with.
    _stepper: ClassVar[Solver] = SHORT_RUN

    def _led(self, problem: Problem, theta: FloatArray) -> Solution:
        """A few steps; where experts are switched off, by denser gates or directly, as leads higher."""
        direct = solve(problem, self._stepper, theta)
        if not (denser := relaxed(problem)):
            return direct
        for dense in denser:
            theta = solve(dense, self._stepper, theta).theta
        return max(direct, solve(problem, self._stepper, theta), key=lambda run: run.loglik)

    def _finish_promising(self) -> None:
        """Finish the most promising runs, and go on for as long as none of them is a strict maximum."""
        order = sorted(range(len(self.outcomes)), key=lambda i: -_promise(self.outcomes[i]))
        wanted, done, interior = self._n_wanted, 0, False
        twins = _Twins(self._screen.few if self._screen else self.problem)
        for rank, i in enumerate(order):
            # a sample shows so many more runs that end at one point that these count as one
            enough = interior and (done if self._screen else rank) >= wanted
            if enough and not (self._screen and self._may_be_best(self.outcomes[i], twins)):
                continue
            self.report("finishing", done, max(wanted, done + 1))
            self.outcomes[i], is_new = self._finished_once(self.outcomes[i], twins, doubtful=rank < wanted)
            interior |= _optimum(self.outcomes[i]).status.trusted
            done += is_new or not self._screen
        self._deepen()
        self.report("finishing", done, done)

    def _may_be_best(self, outcome: Outcome, twins: _Twins) -> bool:
        """Whether a run seen on a sample may lead higher than the best; one whose end is known costs nothing."""
        known = outcome.final is not None or twins.of(outcome.short) is not None
        return known or (outcome.seen is not None and may_reach(outcome.seen, _height(self.best)))

    def _finished_once(self, outcome: Outcome, twins: _Twins, doubtful: bool) -> tuple[Outcome, bool]:
        """The outcome carried to its end, or to that of a twin; whether it has gone there itself.

        Runs that meet on a small sample need not do so on all rows: doubtful ones go on from where they were before.
        """
        twin, ends, seen = twins.of(outcome.short), [outcome.short], outcome.seen
        if outcome.final is None and self._screen and seen and (twin is None or doubtful):
            start = seen.theta if outcome.led is None or not doubtful else outcome.led
            nearer = self._screen.nearer(seen, start)
            if nearer is not None:
                seen = nearer
                ends.append(as_it_stands(seen, outcome.short.stop))
                twin = twins.of(ends[-1])
        if outcome.final is not None:
            finished = outcome
        elif twin is not None:
            finished = replace(outcome, final=twin.final, optimum=twin.optimum, seen=None)
        else:
            finished = replace(self._finished(replace(outcome, short=ends[-1], seen=seen)), short=outcome.short)
        for end in ends:
            twins.add(end, finished)
        return finished, twin is None

    def _deepen(self) -> None:
        """Where the likelihood jumps, look around the best ends for others nearby that are better, longest at the best.

        Which end leads to the best of all is not seen at once: they race, and as the field shrinks, the walks grow.
        """
        if self.problem.passes.terms.gate.continuous:
            return
        runners, walks = [group[0] for group in self.solutions][:RUNNERS], 1
        while len(runners) > 1:
            solver = AcrossTies(walks=walks, crossing=False, seed=walks)
            runners = sorted((self._deeper(runner, solver) for runner in runners), key=_preference)
            distinct = [one for i, one in enumerate(runners) if not any(self._alike(one, o) for o in runners[:i])]
            within = [one for one in distinct if _height(one) >= _height(distinct[0]) - self._reach]
            runners, walks = within[: (len(runners) + 1) // 2], 2 * walks
        for runner in runners:
            self._deeper(runner, AcrossTies())

    @property
    def _reach(self) -> float:
        """By how much the best may be ahead of what still runs: a BIC penalty of the whole model."""
        one_row = self.problem.weight_of_a_row
        return 0.5 * one_row * float(np.log(self.problem.total_weight / one_row)) * self.problem.passes.terms.size

    def _alike(self, one: Outcome, other: Outcome) -> bool:
        """Whether two ends are one solution."""
        return _same(self.problem, one, other)

    def _deeper(self, outcome: Outcome, solver: Solver) -> Outcome:
        """The outcome after another solver has gone on from its end; it takes the place of the old one."""
        deeper = solve(self.problem, solver, _final(outcome).theta)
        deeper = replace(deeper, trace=_final(outcome).trace + deeper.trace[1:])
        examined = self._examined(outcome, deeper)
        self.outcomes = [examined if one is outcome else one for one in self.outcomes]
        return examined

    @property
    def _n_wanted(self) -> int:
        n = len(self.outcomes)
        rows = self.problem.total_weight / self.problem.weight_of_a_row  # a weight of two is two rows
        share = min(1.0, FINISH_ALL_ROWS / rows)
        return min(n, max(MIN_FINISHED, round(share * n)))

    def _finished(self, outcome: Outcome) -> Outcome:
        if outcome.seen is not None and outcome.seen.model is not None:
            final = go_on(self.problem, NEWTON, outcome.seen)
        else:
            final = solve(self.problem, self._finisher, outcome.short.theta)
        return self._examined(replace(outcome, seen=None), replace(final, trace=outcome.short.trace + final.trace[1:]))

    def _examined(self, outcome: Outcome, final: Solution) -> Outcome:
        source = self.problem.passes.source
        names, sums = self.model.names(source.schema), final.second_order
        optimum, _ = examine(self.problem, final.theta, names, self.problem.shift, sums)
        return replace(outcome, final=replace(final, second_order=None), optimum=optimum)

    # ------------------------------------------------------------------------------- solutions
    @property
    def finished(self) -> list[Outcome]:
        """Outcomes that were carried to their end."""
        return [o for o in self.outcomes if o.optimum is not None]

    @property
    def best(self) -> Outcome:
        """The solution to report: a strict maximum, unless it is implausibly low.

        A flat maximum or a supremum at infinity takes its place only when it is higher by more than the BIC
        penalty of the whole model, log(rows) / 2 for each parameter: then the strict maximum is a local one
        that no reader would want. Where no end is a strict maximum, or where the experts may drift without end, the
        same goes for ends short of convergence. Where the model has kinks or jumps, at which no gradient vanishes,
        such an end need only be higher by the penalty of one parameter: it may be a maximum as good as any.
        """
        preferred, terms = min(self.finished, key=_preference), self.problem.passes.terms
        one_row, trusted = self.problem.weight_of_a_row, _optimum(preferred).status.trusted
        penalty = 0.5 * one_row * np.log(self.problem.total_weight / one_row)
        margins = dict.fromkeys(OPEN_ENDED, penalty * _optimum(preferred).n_identified)
        if not trusted or terms.expert.drifts:
            margins[Status.NOT_CONVERGED] = penalty * _optimum(preferred).n_identified
        if trusted and self._rough:
            margins[Status.NOT_CONVERGED] = penalty
        ahead = _height(preferred)
        rivals = [o for o in self.finished if _height(o) - ahead > margins.get(_optimum(o).status, np.inf)]
        return max(rivals, key=_height, default=preferred)

    @property
    def _rough(self) -> bool:
        """Whether the likelihood has kinks or jumps, at which ascent may end with reason."""
        terms = self.problem.passes.terms
        return not (terms.smooth and terms.gate.continuous)

    @property
    def solutions(self) -> list[list[Outcome]]:
        """Outcomes grouped by solution (kind and log-likelihood), in order of preference."""
        groups: list[list[Outcome]] = []
        for outcome in sorted(self.finished, key=_preference):
            group = next((group for group in groups if _same(self.problem, group[0], outcome)), None)
            if group is None:
                groups.append([outcome])
            else:
                group.append(outcome)
        return groups

    def group_of(self, outcome: Outcome) -> list[Outcome]:
        """All outcomes with the same solution."""
        return next(group for group in self.solutions if any(o is outcome for o in group))


class SquaresSearch(Search):
    """The same for least squares, where Newton's method does all the work and no expert owns rows it could lose.

    Where the gate's weights jump, tries and walks across ties belong to the work.
    """

    _stepper = SHORT_NEWTON

    @property
    def _finisher(self) -> Solver:
        return LeastSquaresNewton() if self.problem.passes.terms.gate.continuous else super()._finisher

    @property
    def _single(self) -> Solver:
        return self._finisher

    def _short_run(self, number: int, start: Start) -> Outcome:
        return Outcome(start, self._led(self.problem, start.theta))


class _Twins:
    """Short runs that ended at one point: only one of them needs to go on."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._seen: list[tuple[Solution, FloatArray, Outcome]] = []

    def add(self, short: Solution, finished: Outcome) -> None:
        """Where a short run ended, and what became of it."""
        self._seen.append((short, canonical(self._problem, short.theta), finished))

    def of(self, short: Solution) -> Outcome | None:
        """A run seen before that ended where this one did."""
        level = short.loglik
        size = self._problem.total_weight + abs(level)
        near = [(seen, o) for run, seen, o in self._seen if abs(run.loglik - level) <= SAME_RUN * size]
        if not near:
            return None
        point = canonical(self._problem, short.theta)
        return next((o for seen, o in near if np.abs(seen - point).max(initial=0.0) <= SAME_POINT), None)


def _promise(outcome: Outcome) -> float:
    """How high a short run has come, or what it promises on all rows."""
    return outcome.short.loglik if outcome.seen is None else promise(outcome.seen)


def _optimum(outcome: Outcome) -> Optimum:
    assert outcome.optimum is not None
    return outcome.optimum


def _final(outcome: Outcome) -> Solution:
    assert outcome.final is not None
    return outcome.final


def _height(outcome: Outcome) -> float:
    """Log-likelihood of a solution, of one that runs away its supremum, free of the response's unit."""
    assert outcome.final is not None
    return outcome.final.loglik + _optimum(outcome).ahead


def _preference(outcome: Outcome) -> tuple[int, float]:
    return _optimum(outcome).status.rank, -_height(outcome)


def _same(problem: Problem, a: Outcome, b: Outcome) -> bool:
    """Whether two ends are one solution: of one height, and of one kind as far as kinds can be told on a ridge."""
    one, other = _optimum(a).status, _optimum(b).status
    vague = one in VAGUE and other in VAGUE
    size = problem.total_weight + abs(_height(a))
    tolerance = (SAME_SUPREMUM if vague else SAME_LOGLIK) * size + 1e-7 * problem.weight_of_a_row
    return (one is other or vague) and abs(_height(a) - _height(b)) <= tolerance
