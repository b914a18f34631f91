"""Interactions of a gate and an expert: relations among the derivatives of an atom, found numerically.

An atom is u(x, y; theta) = exp(h(x)) f(y | x), its mass left out. Proofs of convergence rates expand the fitted density
about the true one in the derivatives D^alpha u. Where these are linearly independent functions of (x, y), parameters
are estimated at n^{-1/2}, or n^{-1/4} where several fitted atoms share a true one. A relation among them, a partial
differential equation that u obeys, makes changes of some parameters cancel, and their estimates slow:

    d2/db2 = 2 d/dnu                  a Gaussian's intercept and variance, with every gate (the heat equation)
    d2/(dbeta_1 db) = d/da            a softmax gate's slope, an expert's intercept and slope   [arXiv 2305.03288]

Nothing is looked up: the family is evaluated on random rows, at random parameters, for any component that has value,
`jac` and `curv`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import comb
from textwrap import fill
from typing import Any

import numpy as np

from moestat.component import Expert, Gate
from moestat.coordinates import Affine, Coordinates
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.expressions import spoken
from moestat.gates.tsallis import Tsallis
from moestat.model import MixtureOfExperts
from moestat.params import LOG_LARGEST, Layout
from moestat.terms import Terms
from moestat.theory.flat import chosen
from moestat.theory.jets import Atom, Order, from_natural
from moestat.theory.relations import Dependence, Relation, Symbolic, essential, relations, residual, symbolic
from moestat.typing import FloatArray, IntArray

#: Highest order of the derivatives.
HIGHEST = 3

#: Rows beyond the number of derivatives, and standard deviation of the covariates.
MORE_ROWS, SPREAD = 60, 3.0

#: Largest share of its terms by which an identity may fail on fresh rows.
VERIFIED = 1e-10

#: The same for third derivatives, which are interpolated.
VERIFIED_THIRD = 1e-7

#: How many times more independent derivatives must keep of their length than dependent ones.
CLEAR = 1e3

#: Identities that a report lists one by one.
LISTED = 12

#: Classes of a categorical response.
CLASSES = 3


#: What is left of a dependent derivative at most to be called rounding.
ROUNDING = 1e-12

#: Width of printed paragraphs.
WIDTH = 112


def paragraph(text: str) -> str:
    """A sentence or several, in lines."""
    return fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


@dataclass(frozen=True)
class Identity:
    """A relation among derivatives of an atom that holds for all x and y.

    Parameters
    ----------
    text : str
        Such as ``∂²u/∂gate.x1 ∂expert.const = ∂u/∂expert.x1``.
    leading : tuple of str
        Parameters of the derivative on the left.
    terms : mapping of tuple to float
        Coefficients of those on the right, at the parameters of `Interactions`.
    follows : bool
        Whether it is a consequence of the identities before it.
    residual : float
        Its largest failure on fresh rows, as a share of its largest term.
    recognised : bool
        Whether its coefficients are known as expressions in the parameters; its text has their values otherwise.
    """

    text: str
    leading: tuple[str, ...]
    terms: Mapping[tuple[str, ...], float]
    follows: bool
    residual: float
    recognised: bool = True

    @property
    def order(self) -> int:
        """The order of its highest derivative."""
        return max(map(len, self.derivatives))

    @property
    def parameters(self) -> frozenset[str]:
        """All parameters that it differentiates by."""
        return frozenset(name for names in self.derivatives for name in names)

    @property
    def parts(self) -> frozenset[str]:
        """Whose these are: gate, expert or both."""
        return frozenset(name.split(".")[0] for name in self.parameters)

    @property
    def derivatives(self) -> tuple[tuple[str, ...], ...]:
        """All derivatives in it."""
        return (self.leading, *self.terms)

    @property
    def squares(self) -> frozenset[str]:
        """Parameters whose own second derivative is in it."""
        return frozenset(d[0] for d in self.derivatives if len(d) == 2 and d[0] == d[1])

    @property
    def harmless(self) -> bool:
        """Whether it has mixed second derivatives only, of two different parameters each.

        The squares of all deviations are then as well determined as without it, and bound their products.
        """
        return all(len(set(d)) == len(d) == 2 for d in self.derivatives)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Interactions:
    """What `interactions` found; prints as a report.

    Parameters
    ----------
    gate, expert : str
    order : int
    identities : tuple of Identity
    rank, size : int
        Rank of the family of derivatives, and how many there are.
    gap : tuple of float
        Shares of their lengths that independent derivatives kept at least, and dependent ones at most.
    parameters : mapping of str to float
        The point: parameters of the atom in the user's units.
    """

    gate: str
    expert: str
    order: int
    identities: tuple[Identity, ...]
    rank: int
    size: int
    gap: tuple[float, float]
    parameters: Mapping[str, float]

    @property
    def essential(self) -> tuple[Identity, ...]:
        """Identities that do not follow from others."""
        return tuple(i for i in self.identities if not i.follows)

    @property
    def of_gate(self) -> tuple[Identity, ...]:
        """Those that the gate takes part in, but for harmless and bounded ones."""
        return tuple(i for i in self.essential if "gate" in i.parts and not i.harmless and i not in self.bounded)

    @property
    def bounded(self) -> tuple[Identity, ...]:
        """Those of one parameter's second derivative and mixed ones, of parameters whose own second ones are free.

        What determines the squares of the latter bounds their products, and with these the square of the former.
        """
        bound = {name for i in self.essential for name in i.squares}
        return tuple(i for i in self.essential if _one_square(i) and not bound & (i.parameters - i.squares))

    @property
    def first_order(self) -> tuple[Identity, ...]:
        """Those among first derivatives: parameters that are not told apart even by a model of the right size."""
        return tuple(i for i in self.essential if i.order == 1 and i.leading)

    @property
    def implications(self) -> tuple[str, ...]:
        """What the identities mean for rates, in words."""
        return tuple(_implications(self))

    def __str__(self) -> str:
        lines = [f"Interactions of {self.gate} and {self.expert}, derivatives up to order {self.order}:"]
        listed = [identity.text for identity in self.essential if identity.recognised]
        lines += [f"  {text}" for text in listed[:LISTED]] or (["  none"] if not self.essential else [])
        if more := len(listed[LISTED:]):
            lines.append(f"  and {more} more")
        if numbers := len(self.essential) - len(listed):
            lines.append(f"  ({numbers} left out, whose coefficients are no simple expressions: see .essential)")
        if consequences := len(self.identities) - len(self.essential):
            lines.append(f"  ({consequences} consequence{'s' if consequences > 1 else ''} left out)")
        kept, lost = self.gap
        rest = "nothing but rounding" if lost < ROUNDING else f"{lost:.0e} at most"
        rank = f"Rank {self.rank} of {self.size}: independent derivatives keep {kept:.0e} of their length at least, "
        return "\n".join([*lines, *map(paragraph, (f"{rank}dependent ones {rest}.", *self.implications))])


def interactions(
    gate: Gate | str,
    expert: Expert | str,
    *,
    order: int = 2,
    n_features: int = 2,
    n_experts: int = 4,
    at: Mapping[str, Any] | None = None,
    objective: str = "likelihood",
    seed: int = 0,
) -> Interactions:
    """Linear relations among the derivatives of an atom of this gate and this expert.

    Parameters
    ----------
    gate : Gate or str
    expert : Expert or str
    order : int
        Highest order of the derivatives, 1 to 3.
    n_features : int
        Number of covariates.
    n_experts : int
        Number of experts of the model; it matters for gates that couple them.
    at : mapping, optional
        Fields held at values, such as ``{"gate.centres": 0.0}``, or parameters of the atom by the names that are
        printed, such as ``"gate.x1.centre"``, to look at special points; the others are random.
    objective : {"likelihood", "least_squares"}
        Whether the atom has the expert's density, or its mean.
    seed : int

    Returns
    -------
    Interactions

    Examples
    --------
    >>> import moestat as ms
    >>> print(ms.theory.interactions("constant", "gaussian").essential[0])
    ∂²u/∂expert.const² = 2 ∂u/∂expert.variance
    """
    if order not in range(1, HIGHEST + 1) or isinstance(order, bool):
        raise InputError(f"order must be 1, 2 or 3, the highest order of derivatives; got {order!r}.")
    if objective not in ("likelihood", "least_squares"):
        raise InputError(f"objective must be 'likelihood' or 'least_squares'; got {objective!r}.")
    if isinstance(n_features, bool) or not isinstance(n_features, int | np.integer) or n_features < 1:
        raise InputError(f"n_features must be a whole number of at least 1; got {n_features!r}.")
    model = MixtureOfExperts(gate=gate, expert=expert, n_experts=n_experts)
    of_mean = objective == "least_squares"
    points = [_Point.draw(model, int(n_features), at or {}, of_mean, order, [seed, n]) for n in range(3)]
    found = [_whole(point) for point in points[:2]]
    naturals = [point.natural for point in points[:2]]
    known = [symbolic(relation, _twin(relation, found[1]), naturals) for relation in found[0].relations]
    # at held values the coefficients as functions are not known
    generators = known if not at else [None] * len(known)
    new = essential(found[0].relations, generators, naturals[0])
    elsewhere = points[0].on_rows_of(points[2])
    identities = tuple(
        _identity(relation, points[0].names, written, not is_new, residual(relation, points[0].orders, elsewhere))
        for relation, written, is_new in zip(found[0].relations, known, new, strict=True)
    )
    _check(identities, found[0], order, by_pieces(model.gate))
    return Interactions(
        spoken(model.gate),
        spoken(model.expert),
        order,
        identities,
        found[0].rank,
        found[0].size,
        (found[0].kept, found[0].lost),
        points[0].named,
    )


def by_pieces(gate: Gate) -> str:
    """Why a gate has no one set of relations, where that is known of it."""
    if not isinstance(gate, Tsallis):
        return ""
    return (
        f"{gate.name} weights are algebraic in the scores, by another formula for every set of experts that are "
        "switched on: relations among derivatives hold on the rows of one set and fail on those of another."
    )


def _check(identities: Iterable[Identity], found: Dependence, order: int, known: str) -> None:
    worst = max((identity.residual for identity in identities), default=0.0)
    if worst <= (VERIFIED if order < HIGHEST else VERIFIED_THIRD) and found.kept >= CLEAR * found.lost:
        return
    raise InputError(
        f"no clear answer: independent derivatives keep {found.kept:.0e} of their length, dependent ones "
        f"{found.lost:.0e}, and a relation fails on fresh rows by {worst:.0e} of its size. "
        + (
            known[:1].upper() + known[1:]
            or "The gate is nearly linear on these rows, or has different relations on different rows; try another "
            "seed, other n_features, or a lower order."
        )
    )


# --------------------------------------------------------------------------------------- random points
@dataclass(frozen=True)
class _Point:
    """Parameters, rows, and the family of derivatives there."""

    names: list[str]
    theta: FloatArray
    layout: Layout
    kept: IntArray
    orders: list[Order]
    columns: FloatArray
    atom: Atom
    order: int

    @property
    def named(self) -> dict[str, float]:
        """Parameters by which the atom is differentiated, in the user's units."""
        return {self.names[i]: float(self.natural[i]) for i in self.kept}

    @property
    def natural(self) -> FloatArray:
        """All parameters in the user's units."""
        return self.layout.natural(self.theta)

    def on_rows_of(self, other: _Point) -> FloatArray:
        """The family at these parameters on the other's rows."""
        return replace(self.atom, block=other.atom.block).family(self.theta, self.kept, self.order)[1]

    @staticmethod
    def draw(
        model: MixtureOfExperts, d: int, at: Mapping[str, Any], of_mean: bool, order: int, seed: list[int]
    ) -> _Point:
        rng = np.random.default_rng(seed)
        schema = _schema(model, d)
        layout = model.layout(schema)
        theta = _parameters(layout, at, _short(model.names(schema)), rng)
        coordinates = Coordinates(Affine.identity(d), Affine.identity(d), Affine.identity(len(schema.responses)))
        terms = model.terms(schema, coordinates)
        probe = _rows(model, terms, theta, schema, 40, rng)
        theta, masses = _without_mass(Atom(terms, probe, of_mean=of_mean), theta)
        kept = _moving(Atom(terms, probe, of_mean=of_mean), theta, masses | _siblings(layout, terms))
        if not kept.size:
            raise InputError(
                f"an atom of the {model.gate.name} gate and {model.expert.name} expert has no parameters but its mass, "
                "so there is nothing to differentiate by."
            )
        size = sum(comb(len(kept) + n - 1, n) for n in range(order + 1))
        block = _rows(model, terms, theta, schema, size + MORE_ROWS, rng)
        atom = Atom(terms, block, of_mean=of_mean)
        orders, columns = atom.family(theta, kept, order)
        names = _short(model.names(schema))
        return _Point(names, theta, layout, kept, orders, columns, atom, order)


def _schema(model: MixtureOfExperts, d: int) -> Schema:
    names = tuple(f"x{i + 1}" for i in range(d))
    classes = tuple(range(CLASSES)) if model.expert.categorical else None
    return Schema(names, names, ("y",), classes)


def _parameters(layout: Layout, at: Mapping[str, Any], names: list[str], rng: np.random.Generator) -> FloatArray:
    """Random parameters of moderate size, some fields held."""
    theta = rng.uniform(0.35, 1.1, layout.size)
    signs = np.where(layout.positive, 1.0, rng.choice([-1.0, 1.0], layout.size))
    natural = layout.natural(theta * signs)
    for path, value in at.items():
        natural[_position(layout, path, names)] = value
    return from_natural(layout, natural)


def _position(layout: Layout, path: str, names: list[str]) -> IntArray:
    """Positions of a field, or of a parameter by its printed name."""
    if path in names:
        return np.array([names.index(path)])
    try:
        return layout.index(path)
    except InputError as error:
        printed = [name for name in names if "[" not in name]
        raise InputError(f"at: {error} Parameters of the atom have names too: {', '.join(printed)}.") from None


def _rows(
    model: MixtureOfExperts, terms: Terms, theta: FloatArray, schema: Schema, n: int, rng: np.random.Generator
) -> Block:
    """Rows on which the first expert is switched on, responses drawn from it."""
    blocks: list[Block] = []
    found = 0
    for _ in range(50):
        block = _draw(terms, theta, schema, n, rng)
        value = np.empty((model.n_experts, n))
        terms.gate.value(theta[terms.gate_columns], block, value)
        keep = np.flatnonzero(value[0] > -LOG_LARGEST)
        blocks.append(chosen(block, keep))
        found += keep.size
        if found >= n:
            return chosen(_joined(blocks), np.arange(n))
    raise InputError(f"the {model.gate.name} gate switches its first expert off nearly everywhere; try another seed.")


def _draw(terms: Terms, theta: FloatArray, schema: Schema, n: int, rng: np.random.Generator) -> Block:
    X = np.vstack([np.ones(n), SPREAD * rng.standard_normal((len(schema.features), n))])
    empty = Block(X, X, np.zeros((len(schema.responses), n)), np.zeros(n), np.ones(n))
    local = theta[terms.expert_columns]
    y = terms.expert.draw(local, empty, np.zeros(n, dtype=np.int64), rng)
    return empty._replace(Y=np.ascontiguousarray(y, dtype=np.float64))


def _joined(blocks: list[Block]) -> Block:
    X, Z, Y = (np.concatenate([getattr(b, part) for b in blocks], axis=1) for part in ("X", "Z", "Y"))
    return Block(X, Z, Y, *(np.concatenate([getattr(b, part) for b in blocks]) for part in ("offset", "weight")))


def _without_mass(atom: Atom, theta: FloatArray) -> tuple[FloatArray, set[int]]:
    """The mass of the atom put aside: parameters that move its logit by the same on all rows, and these at zero."""
    h, _ = atom.jets(theta)
    spread = np.ptp(h.first, axis=1)
    size = np.abs(h.first).max(axis=1)
    masses = {int(i) for i in np.flatnonzero((size > 0) & (spread <= 1e-12 * size))}
    masses = {i for i in masses if i < atom.terms.n_gate and not atom.terms.layout.positive[i]}
    theta = theta.copy()
    theta[list(masses)] = 0.0
    return theta, masses


def _siblings(layout: Layout, terms: Terms) -> set[int]:
    """Parameters of other experts that a coupling gate's canonical form holds at zero: translations, known as such."""
    owned = {start + i for _, slot, start in layout.leaves() if slot.axes[:1] == ("expert",) for i in range(slot.size)}
    return owned & {int(i) for i in terms.pinned} & {int(i) for i in terms.gate_columns[0]}


def _moving(atom: Atom, theta: FloatArray, aside: set[int]) -> IntArray:
    """Positions of the parameters that the atom depends on, but for those set aside."""
    jets = atom.jets(theta)
    moves = np.max([np.abs(jet.first).max(axis=1) for jet in jets], axis=0) > 0
    return np.array([i for i in np.flatnonzero(moves) if int(i) not in aside], dtype=np.int64)


def _short(names: list[str]) -> list[str]:
    """Names without the number of the first expert, whose atom it is."""
    return [name.replace("[1].", ".", 1) for name in names]


# --------------------------------------------------------------------------------------- from relations to identities
def _whole(point: _Point) -> Dependence:
    return relations(point.orders, point.columns)


def _twin(relation: Relation, elsewhere: Dependence) -> Relation | None:
    """The relation for the same derivative at other parameters."""
    return next((other for other in elsewhere.relations if other.leading == relation.leading), None)


def _identity(relation: Relation, names: list[str], known: Symbolic | None, follows: bool, failure: float) -> Identity:
    written = {order: f"{c:.6g}" for order, c in relation.terms.items()}
    if known is not None:
        written = {order: replace(c, factor=-c.factor).text(names) for order, c in known[1:]}
    right = [(coefficient, _derivative(order, names)) for order, coefficient in written.items()]
    return Identity(
        f"{_derivative(relation.leading, names)} = {_sum(right)}",
        tuple(names[i] for i in relation.leading),
        {tuple(names[i] for i in order): c for order, c in relation.terms.items()},
        follows,
        failure,
        known is not None,
    )


def _derivative(order: Order, names: list[str]) -> str:
    """``∂²u/∂gate.x1 ∂expert.const``; the atom itself is u."""
    if not order:
        return "u"
    below = " ".join(
        f"∂{names[i]}" + (_raised(order.count(i)) if order.count(i) > 1 else "") for i in sorted(set(order))
    )
    return f"∂{_raised(len(order)) if len(order) > 1 else ''}u/{below}"


def _raised(n: int) -> str:
    return {2: "²", 3: "³"}[n]


def _sum(terms: list[tuple[str, str]]) -> str:
    if not terms:
        return "0"
    text = ""
    for n, (coefficient, of) in enumerate(terms):
        negative = coefficient.startswith("-")
        size = coefficient.removeprefix("-")
        size = "" if size == "1" else f"({size}) " if " " in size else f"{size} "
        sign = ("-" if negative else "") if n == 0 else (" - " if negative else " + ")
        text += f"{sign}{size}{of}"
    return text


def _implications(found: Interactions) -> list[str]:
    """What the identities mean for rates."""
    if found.first_order:
        names = _listed(i.parameters for i in found.first_order)
        return [
            f"First derivatives are dependent: {names} are not told apart even by a model of the right size. Expect "
            "rates slower than any power of n for these, or a direction that is exactly flat.",
        ]
    lines = ["First derivatives are independent: with the right number of experts every parameter has n^{-1/2}."]
    if found.order < 2:
        return lines
    if found.of_gate:
        names = _listed(i.parameters for i in found.of_gate)
        lines.append(f"The gate interacts: changes of {names} make up for each other.")
    else:
        lines.append("The gate adds no interaction: only what the expert has of its own is left.")
    if any(i.harmless for i in found.essential):
        lines.append(
            "Identities of mixed derivatives alone are harmless: squares of deviations bound their products "
            "(derived here)."
        )
    if found.bounded:
        lines.append(
            "Identities of one square and products of parameters whose own squares are free are harmless where two "
            "fitted atoms share a true one: what bounds squares bounds products (derived here; of more not known)."
        )
    slow = [i for i in found.essential if i.squares and i not in found.bounded]
    if not slow:
        return [
            *lines,
            "No "
            + ("other " if found.bounded else "")
            + "identity has the second derivative in one parameter: where several fitted atoms share a true one, all "
            "parameters have n^{-1/4} (derived here).",
        ]
    names = _listed(i.parameters for i in slow)
    lines.append(
        f"Second derivatives in {_listed(i.squares for i in slow)} are not independent of others: where m fitted atoms "
        f"share a true one, {names} may be slower than n^{{-1/4}}"
        + (" (a Gaussian's location n^{-1/(2 rbar(m))}, its variance n^{-1/rbar(m)})." if _heat(slow) else ".")
    )
    return lines


def _one_square(identity: Identity) -> bool:
    """Whether it has second derivatives only, one of them in a single parameter, and that in no other of its terms."""
    second = all(len(d) == 2 for d in identity.derivatives)
    mixed = [d for d in identity.derivatives if d[0] != d[-1]]
    (alone,) = identity.squares if len(identity.squares) == 1 else ("",)
    return second and bool(alone and mixed) and not any(alone in d for d in mixed)


def _heat(slow: list[Identity]) -> bool:
    """Whether the only one is the heat equation of a Gaussian."""
    values = list(slow[0].terms.values())
    return len(slow) == 1 and slow[0].parts == {"expert"} and len(values) == 1 and abs(values[0] - 2.0) < 1e-8


def _listed(names: Iterable[Iterable[str]]) -> str:
    """Names in order, joined."""
    return ", ".join(sorted({name for several in names for name in several}))
