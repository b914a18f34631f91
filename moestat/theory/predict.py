"""What rate to expect for a gate, an expert and a number of experts, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moestat.component import Expert, Gate
from moestat.errors import InputError
from moestat.expressions import spoken
from moestat.gates.hierarchical import Hierarchical
from moestat.gates.topk import TopK
from moestat.model import MixtureOfExperts
from moestat.theory.identities import Interactions, by_pieces, interactions, paragraph
from moestat.theory.rates import ROOT, Rate, rate_of
from moestat.theory.rbar import is_conjecture, rbar
from moestat.theory.ridges import Ridge, largest_cell, ridge_of, shares_out
from moestat.theory.theorems import ENOUGH, ENTRIES, HERE, TOO_FEW, Entry, Source, Status

SPECIFICATIONS = ("exact", "over")
OBJECTIVES = ("likelihood", "least_squares")
VARIANTS = ("published", "sharp")

#: What a fit on an exactly flat ridge has in the place of a rate.
NONE = Rate(None, words="none: the parameters are not identified")


@dataclass(frozen=True)
class Prediction:
    """What theory says; prints in plain words.

    Parameters
    ----------
    gate, expert : str
    specification : {"exact", "over"}
    n_experts, n_true : int or None
        Fitted and true numbers of experts.
    cell : int
        m, the fitted atoms that share a true one.
    loss, density : Rate or None
        Of the Voronoi loss and of the density's distance; ``None`` where no theorem is known.
    rates : mapping of str to Rate
        Of each parameter, in a cell of m atoms.
    status : Status or None
    theorem : str
    source : Source or None
    why : str
    regime : str
        Which of the theory's cases.
    notes : tuple of str
    others : tuple of str
        Other regimes and variants that there are.
    identities : Interactions or None
        What `interactions` found, where no theorem is known.
    """

    gate: str
    expert: str
    specification: str
    n_experts: int | None
    n_true: int | None
    cell: int
    loss: Rate | None
    density: Rate | None
    rates: Mapping[str, Rate]
    status: Status | None
    theorem: str
    source: Source | None
    why: str
    regime: str = ""
    notes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    identities: Interactions | None = field(default=None, repr=False)

    @property
    def known(self) -> bool:
        """Whether there is an entry for it."""
        return self.status is not None

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def predicted_rate(
    gate: Gate | str,
    expert: Expert | str | tuple[Expert | str, ...],
    *,
    specification: str | None = None,
    n_experts: int | None = None,
    n_true: int | None = None,
    cell: int | None = None,
    regime: str | None = None,
    objective: str = "likelihood",
    variant: str = "published",
) -> Prediction:
    """The rate that theory predicts, its reason and its source.

    Parameters
    ----------
    gate : Gate or str
    expert : Expert, str or tuple of them
        Components, or expressions such as ``"topk(n_active=2)"``.
    specification : {"exact", "over"}, optional
        Whether as many experts are fitted as there are in truth, or more. Told by ``n_experts`` and ``n_true`` where
        both are given, and otherwise taken to be exact.
    n_experts : int, optional
        Number of fitted experts.
    n_true : int, optional
        Number of true experts.
    cell : int, optional
        Fitted atoms that share a true one: by default as many as can, n_experts - n_true + 1, or 2.
    regime : str, optional
        Which case of the theorem, where parameters of the truth decide; the usual one when left out, and of top-K gates
        the one that the numbers of experts tell.
    objective : {"likelihood", "least_squares"}
    variant : {"published", "sharp"}
        Published powers, or those believed to be sharp.

    Returns
    -------
    Prediction
        With what `interactions` finds, where no theorem is known.

    Examples
    --------
    >>> import moestat as ms
    >>> rate = ms.theory.predicted_rate("softmax", "gaussian", n_experts=3, n_true=2)
    >>> print(rate.rates["gate.slopes"], rate.status.value, rate.source)
    n^{-1/8} published upper bound Nguyen, Nguyen and Ho (2023), arXiv 2305.03288
    """
    _check_choice("objective", objective, OBJECTIVES)
    _check_choice("variant", variant, VARIANTS)
    specification = _specification(specification, n_experts, n_true)
    model = MixtureOfExperts(
        gate=gate, expert=expert, n_experts=len(expert) if isinstance(expert, tuple) else n_experts or 4
    )
    m = _cell(cell, specification, largest_cell(model.gate, n_experts, n_true))
    at = _Question(model, specification, n_experts, n_true, m, objective)
    if (ridge := ridge_of(model.gate, n_experts, n_true)) is not None:
        return _on_ridge(at, ridge)
    if unasked := _outside(at):
        return _unanswered(at, unasked)
    fitting = [entry for entry in ENTRIES if _fits(entry, at)]
    chosen = _chosen(fitting, _regime(at, fitting) if regime is None else regime, variant)
    return _unknown(at) if chosen is None else _answer(at, chosen, fitting)


@dataclass(frozen=True)
class _Question:
    """What was asked."""

    model: MixtureOfExperts
    specification: str
    n_experts: int | None
    n_true: int | None
    cell: int
    objective: str

    @property
    def asked(self) -> dict[str, Any]:
        """Its part of the answer."""
        names = {"gate": spoken(self.model.gate), "expert": spoken(self.model.expert)}
        sizes = {"n_experts": self.n_experts, "n_true": self.n_true, "cell": self.cell}
        return {**names, "specification": self.specification, **sizes}


def _fits(entry: Entry, at: _Question) -> bool:
    return (
        (entry.specification, entry.objective) == (at.specification, at.objective)
        and entry.gate.fits(at.model.gate)
        and entry.expert.fits(at.model.expert)
    )


def _outside(at: _Question) -> str:
    """Why the theory has no such case, if it has none."""
    gate = at.model.gate
    if isinstance(gate, Hierarchical) and at.n_experts is not None and at.n_true is not None:
        n_groups = len(gate.sizes(at.n_experts))
        if at.n_true < n_groups:
            return (
                f"there are {n_groups} groups for {at.n_true} true experts, and theorems on hierarchical gates take "
                "the number of groups for known"
            )
    return ""


def _regime(at: _Question, fitting: Iterable[Entry]) -> str | None:
    """The case that the numbers of experts tell."""
    missing = _missing(at)
    if missing is None or not any(entry.regime == TOO_FEW for entry in fitting):
        return None
    return TOO_FEW if missing > 0 else ENOUGH


def _missing(at: _Question) -> int | None:
    """How many active experts a top-K gate lacks at least to cover one true one, whatever the cells."""
    if not isinstance(at.model.gate, TopK) or at.n_experts is None or at.n_true is None:
        return None
    return at.n_experts - at.n_true + 1 - at.model.gate.active(at.n_experts)


def _of_numbers(at: _Question, entry: Entry) -> tuple[str, ...]:
    """What the numbers of experts say about an entry."""
    missing, notes = _missing(at), []
    if missing is not None and entry.regime == ENOUGH and missing <= 0:
        notes.append(f"Here they suffice for truths with at most {1 - missing} active.")
    if missing is not None and entry.regime == TOO_FEW and missing > 0:
        notes.append(f"Here at least {missing} more would be needed, for a truth with one active expert.")
    if at.n_true == 1 and at.specification == "exact" and shares_out(at.model.gate):
        notes.append("One expert has all the weight: the gate's parameters mean nothing, and have no rate.")
    return tuple(notes)


def _chosen(fitting: list[Entry], regime: str | None, variant: str) -> Entry | None:
    if not fitting:
        return None
    regimes = list(dict.fromkeys(entry.regime for entry in fitting))
    if regime is not None and regime not in regimes:
        raise InputError(f"regime must be one of {regimes} here; got {regime!r}.")
    wanted = regimes[0] if regime is None else regime
    of_regime = [entry for entry in fitting if entry.regime == wanted]
    return next((entry for entry in of_regime if entry.variant == variant), of_regime[0])


def _answer(at: _Question, entry: Entry, fitting: Iterable[Entry]) -> Prediction:
    m = at.cell
    others = [f"regime={e.regime!r}" for e in fitting if e.regime != entry.regime and e.regime]
    others += [f"variant={e.variant!r}" for e in fitting if e.variant != entry.variant and e.regime == entry.regime]
    notes = entry.notes + _of_numbers(at, entry)
    rates = {name: rate_of(power, m) for name, power in entry.powers.items()} | dict(entry.rates)
    if at.n_true == 1 and at.specification == "exact" and shares_out(at.model.gate):
        rates = {name: rate for name, rate in rates.items() if not name.startswith("gate")}
    if is_conjecture(m) and any(power.system for power in entry.powers.values()):
        notes += (f"rbar({m}) = {rbar(m)} is a CONJECTURE; proved here is that it is at least 8, published 7.",)
    return Prediction(
        **at.asked,
        loss=entry.loss,
        density=entry.density,
        rates=rates,
        status=entry.status,
        theorem=entry.theorem,
        source=entry.source,
        why=entry.why,
        regime=entry.regime,
        notes=notes,
        others=tuple(dict.fromkeys(others)),
    )


def _on_ridge(at: _Question, ridge: Ridge) -> Prediction:
    return Prediction(
        **at.asked,
        loss=NONE,
        density=ROOT,
        rates={},
        status=Status.DERIVED,
        theorem=ridge.how,
        source=HERE,
        why=ridge.why,
        notes=(ridge.note,),
    )


def _unknown(at: _Question) -> Prediction:
    if why := by_pieces(at.model.gate):
        return _unanswered(at, f"no theorem known, and the derivatives gave no answer: {why}")
    found: Interactions | None = None
    try:
        found = interactions(at.model.gate, at.model.expert, objective=at.objective)
    except InputError as error:
        why = f"no theorem known, and the derivatives gave no answer: {error}"
    else:
        why = "no theorem known; interactions found are below"
    return _unanswered(at, why, found)


def _unanswered(at: _Question, why: str, found: Interactions | None = None) -> Prediction:
    return Prediction(
        **at.asked,
        loss=None,
        density=None,
        rates={},
        status=None,
        theorem="",
        source=None,
        why=why,
        identities=found,
    )


# --------------------------------------------------------------------------------------- arguments
def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be one of {list(choices)}; got {value!r}.")


def _specification(given: str | None, n_experts: int | None, n_true: int | None) -> str:
    for name, value in (("n_experts", n_experts), ("n_true", n_true)):
        if value is not None and not _is_count(value):
            raise InputError(f"{name} must be a whole number of at least 1; got {value!r}.")
    if given is not None:
        _check_choice("specification", given, SPECIFICATIONS)
    if n_experts is None or n_true is None:
        return given or "exact"
    if n_experts < n_true:
        raise InputError(
            f"n_experts={n_experts} is less than n_true={n_true}: no such model holds the truth, and its fit tends to "
            "the nearest member, for which there is no Voronoi loss. Fit at least as many experts."
        )
    told = "exact" if n_experts == n_true else "over"
    if given not in (None, told):
        raise InputError(
            f"specification={given!r} does not go with n_experts={n_experts}, n_true={n_true}, which is {told!r}."
        )
    return told


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)


def _cell(cell: int | None, specification: str, largest: int | None) -> int:
    if specification == "exact":
        if cell not in (None, 1):
            raise InputError(f"cell must be 1 in an exactly specified model; got {cell!r}.")
        return 1
    if cell is None:
        return largest or 2
    if not _is_count(cell) or cell < 2 or (largest is not None and cell > largest):
        upper = "" if largest is None else f" and at most {largest}, all experts but one for each other true one"
        raise InputError(f"cell must be a whole number of at least 2{upper}; got {cell!r}.")
    return int(cell)


# --------------------------------------------------------------------------------------- in words
def _lines(p: Prediction) -> list[str]:
    size = f", {p.n_experts} fitted" if p.n_experts else ""
    size += f" for {p.n_true} true" if p.n_true else ""
    specified = "over-specified" if p.specification == "over" else "exactly specified"
    head = f"{p.gate} gate, {p.expert} experts{size}: {specified}"
    if not p.known:
        lines = [f"{head}. No theorem known."]
        return [*lines, str(p.identities)] if p.identities is not None else [*lines, p.why]
    lines = [f"{head}{', ' + p.regime if p.regime else ''}."]
    lines.append(f"  loss                  {with_log(p.loss)}")
    cells = f"  where {p.cell} fitted atoms share a true one (alone: n^{{-1/2}}), up to logarithms:"
    if p.rates:
        lines.append(cells if p.specification == "over" else "  up to logarithms:")
    width = max((len(name) for name in p.rates), default=0)
    lines += [f"    {name:{max(width, 19)}s} {rate}" for name, rate in p.rates.items()]
    said = [f"Why: {p.why}.", f"Status: {p.status.value if p.status else ''} ({p.theorem}).", f"Source: {p.source}."]
    said += [f"Note: {note}" for note in p.notes]
    if p.others:
        said.append(f"Other cases: {', '.join(p.others)}.")
    return [*lines, *map(paragraph, said)]


def with_log(rate: Rate | None) -> str:
    """A loss with its logarithm, when it has one."""
    if rate is None:
        return "unknown"
    if rate.log_power and rate.log_power == rate.exponent:
        return f"(log n / n)^{{{rate.exponent}}}"
    return str(rate)
