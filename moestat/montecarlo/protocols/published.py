"""The recipe of published programs: EM from near the truth, the best of a few tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from moestat.errors import InputError
from moestat.montecarlo.fits import FittedModel
from moestat.montecarlo.formulas import Formula, as_formula
from moestat.montecarlo.protocols.base import End, Protocol, Task, check_near_truth
from moestat.montecarlo.protocols.ends import data_driven, highest, in_working_units, near_truth, runs
from moestat.montecarlo.reading import Table, at
from moestat.montecarlo.truth import Truth
from moestat.solvers import SOLVERS, Rules, Solver
from moestat.starts import NearTruth

#: Stopping rules by their names in a study file, and the setting of `moestat.solvers.Rules` that each is.
RULES = {"relative": "rtol", "absolute": "atol", "parameters": "xtol"}


@dataclass(frozen=True)
class StartNearTruth:
    """Copies of the true experts with normal noise, as `moestat.starts.NearTruth` draws them.

    Parameters
    ----------
    sd : Formula or mapping of str to Formula
        Standard deviation of the noise as a function of n; one for all parameters, or by dotted field names.
    split_mass : bool
        Whether copies of one expert share its mass.
    """

    sd: Formula | Mapping[str, Formula] = field(default_factory=lambda: Formula("0.005 * n**-0.083"))
    split_mass: bool = False

    def at(self, n: int) -> NearTruth:
        """The law at n rows."""
        sd: Any = self.sd.at(n) if isinstance(self.sd, Formula) else {k: f.at(n) for k, f in self.sd.items()}
        return NearTruth(sd=sd, exponent=0.0, split_mass=self.split_mass)

    def check(self, fit: FittedModel, truth: Truth, sizes: Sequence[int]) -> None:
        """Refuse names that are no fields, and noise that has no size."""
        fields = [path for path, _, _ in fit.model.layout(truth.schema).leaves()]
        for name in self.sd if isinstance(self.sd, Mapping) else ():
            if not any(f"{path}.".startswith(f"{name}.") for path in fields):
                raise InputError(f"start.sd names the unknown field {name!r}; the model has: {', '.join(fields)}.")
        with at("start"):
            for n in sizes:
                self.at(n)


@dataclass(frozen=True)
class StoppingRule:
    """A solver and when it stops.

    Parameters
    ----------
    kind : str
        Of `moestat.solvers.SOLVERS`, one with the classical rules.
    tol : float
    rule : {"relative", "absolute", "parameters"}
        Of what ``tol`` bounds the last step: the log-likelihood's gain over its size, the gain, or the parameters'
        largest move.
    max_iter : int
    """

    kind: str = "em"
    tol: float = 1e-6
    rule: str = "relative"
    max_iter: int = 2000

    def solver(self) -> Solver:
        """It, with no rule beside."""
        off: dict[str, Any] = {name: None for name in (*RULES.values(), "gtol")}
        kind: Any = SOLVERS[self.kind]
        return kind(**off | {RULES[self.rule]: self.tol, "max_iter": self.max_iter, "raw": True})  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Published(Protocol):
    """A published recipe: a local optimum near the truth, not the maximum likelihood estimate.

    Parameters
    ----------
    name : str
    start : StartNearTruth or None
        The law of the starts; None for starts made from the data.
    solver : StoppingRule
    tries : int
        The end of the highest likelihood among so many is taken.
    bounded : bool
        Whether the bounds of the fitted model hold; published programs have none.
    fits : tuple of str, optional
        Names of the models it is for; all when left out.
    """

    name: str = "published"
    start: StartNearTruth | None = field(default_factory=StartNearTruth)
    solver: StoppingRule = field(default_factory=StoppingRule)
    tries: int = 1
    bounded: bool = False
    fits: tuple[str, ...] | None = None
    kind: ClassVar[str] = "published"

    def fit(self, task: Task) -> End:
        """The best of the tries."""
        problem = task.problem(self.bounded)
        if self.start is None:
            starts = data_driven(task, problem, self.tries)
        else:
            starts = near_truth(task, self.start.at(task.n), "tries", self.tries)
        return highest(task, problem, runs(problem, self.solver.solver(), in_working_units(task, problem, starts)))

    def check(self, fit: FittedModel, truth: Truth, sizes: Sequence[int]) -> None:
        """Its starts need the truth, and noise of some size for every sample; and it climbs a likelihood."""
        if fit.objective != "likelihood":
            raise InputError(f"{self.name!r} maximises the likelihood; {fit.name!r} is a fit by {fit.objective}.")
        if self.start is not None:
            check_near_truth(f"protocol {self.name!r}", fit, truth)
            self.start.check(fit, truth, sizes)

    @classmethod
    def read(cls, table: Table, name: str, fits: tuple[str, ...] | None) -> Published:
        """From its table."""
        start = _read_start(table.table("start", {}))
        solver = _read_solver(table.table("solver", {}))
        tries = table.whole("tries", 1, least=1, most=10_000)
        return cls(name, start, solver, tries, table.flag("bounded", False), fits)


def _read_start(table: Table) -> StartNearTruth | None:
    if table.choice("kind", ["near_truth", "data"], "near_truth") == "data":
        table.done()
        return None
    given = table.take("sd", "0.005 * n**-0.083")
    sd: Any
    if isinstance(given, Mapping):
        inner = Table(given, table.at("sd"))
        sd = {name: inner.read(name, as_formula) for name in given}
    else:
        sd = table.read("sd", as_formula, "0.005 * n**-0.083")
    split_mass = table.flag("split_mass", False)
    table.done()
    return StartNearTruth(sd, split_mass)


def _read_solver(table: Table) -> StoppingRule:
    classical = [name for name, kind in SOLVERS.items() if issubclass(kind, Rules)]
    rule = StoppingRule(
        kind=table.choice("kind", classical, "em"),
        tol=table.number("tol", 1e-6, above=0.0),
        rule=table.choice("rule", list(RULES), "relative"),
        max_iter=table.whole("max_iter", 2000, least=1, most=10**7),
    )
    table.done()
    return rule
