"""A mixture of experts: settings only, neither data nor estimates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.special import logsumexp

from moestat.component import Component, Dims
from moestat.coordinates import Affine, ColumnMap, Coordinates
from moestat.data import Block, BlockSource, Data, Schema
from moestat.design import Designs, measure
from moestat.errors import InputError
from moestat.experts import EXPERTS, Expert, Mixed
from moestat.expressions import parse, parse_families
from moestat.gates import GATES, Gate
from moestat.params import Layout, Slot, covariance_names, leaf_names, n_multiplied, product_names
from moestat.passes import Passes
from moestat.query import Query, query_block
from moestat.terms import Terms, Tile
from moestat.typing import BoolArray, FloatArray, IntArray
from moestat.validate import as_matrix


@dataclass(frozen=True)
class MoEParams:
    """Parameters of a mixture of experts in the user's units: the gate's record and the experts' record."""

    gate: Any
    expert: Any


@dataclass(frozen=True)
class Holding:
    """Which unconstrained parameters are held, and at which values in working coordinates."""

    free: BoolArray
    values: FloatArray

    def apply(self, theta: FloatArray) -> FloatArray:
        """``theta`` with the held entries put at their values."""
        return np.where(self.free, theta, self.values)


@dataclass(frozen=True, init=False, eq=False)
class MixtureOfExperts:
    """Conditional density ``p(y | x) = sum_k pi_k(z) f_k(y | x)``.

    Parameters
    ----------
    gate : Gate or str
        The gate, or an expression such as ``"softmax"`` (names: ``moestat.gates.GATES``).
    expert : Expert, str or tuple of them
        One family for all experts, or a tuple with one family per expert. Expressions have settings in
        parentheses, as ``"gaussian(variance='common')"`` (names: ``moestat.experts.EXPERTS``).
    n_experts : int
        Number of experts K.
    fixed : mapping, optional
        Parameter fields held at given values in the user's units, such as
        ``{"expert.variances": 1.0}`` or ``{"gate.slopes": 0.0}``.

    Examples
    --------
    >>> import moestat as ms
    >>> model = ms.MixtureOfExperts(gate=ms.gates.Softmax(), expert=ms.experts.Gaussian(), n_experts=2)
    """

    gate: Gate
    expert: Expert
    n_experts: int
    fixed: Mapping[str, Any] | None

    def __init__(
        self,
        *,
        gate: Gate | str = "softmax",
        expert: Expert | str | tuple[Expert | str, ...] = "gaussian",
        n_experts: int = 2,
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(n_experts, bool) or not isinstance(n_experts, int | np.integer) or n_experts < 1:
            raise InputError(f"n_experts must be a whole number of at least 1; got {n_experts!r}.")
        if fixed is not None and not isinstance(fixed, Mapping):
            raise InputError(f"fixed must map parameter fields to values, as {{'gate.slopes': 0.0}}; got {fixed!r}.")
        object.__setattr__(self, "gate", _named(gate, "gate", GATES, Gate))
        object.__setattr__(self, "expert", _one_expert(expert, int(n_experts)))
        object.__setattr__(self, "n_experts", int(n_experts))
        object.__setattr__(
            self, "fixed", None if not fixed else MappingProxyType({k: _kept(v) for k, v in fixed.items()})
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MixtureOfExperts):
            return NotImplemented
        mine, theirs = self.fixed or {}, other.fixed or {}
        same = (self.gate, self.expert, self.n_experts) == (other.gate, other.expert, other.n_experts)
        return same and set(mine) == set(theirs) and all(np.array_equal(mine[k], theirs[k]) for k in mine)

    def __hash__(self) -> int:
        return hash((self.gate, self.expert, self.n_experts, tuple(sorted(self.fixed or ()))))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied by its arguments: a read-only mapping can be neither."""
        fixed = None if self.fixed is None else dict(self.fixed)
        again = partial(MixtureOfExperts, gate=self.gate, expert=self.expert, n_experts=self.n_experts, fixed=fixed)
        return again, ()

    # ------------------------------------------------------------------------------- structure
    def dims(self, schema: Schema) -> tuple[Dims, Dims]:
        """Sizes of the gate's and the experts' parameters for data with these columns."""
        classes = len(schema.classes) if schema.classes is not None else 0
        K, m = self.n_experts, len(schema.responses)
        return Dims(K, len(schema.gate_features)), Dims(K, len(schema.features), m, classes)

    def layout(self, schema: Schema) -> Layout:
        """Layout of `MoEParams` in the flat unconstrained vector."""
        return self._layout(*self.dims(schema))

    def _layout(self, gate_dims: Dims, expert_dims: Dims) -> Layout:
        return Layout(MoEParams, (("gate", self.gate.layout(gate_dims)), ("expert", self.expert.layout(expert_dims))))

    def terms(self, schema: Schema, coordinates: Coordinates | None = None) -> Terms:
        """Gate and experts bound to their places in the flat vector, for rows in these coordinates (raw by default)."""
        return Terms.of(self.gate, self.expert, self.layout(schema), coordinates)

    def passes(self, source: BlockSource) -> Passes:
        """What is summed over the rows of a prepared source, and maximised."""
        return Passes(self.terms(source.schema, source.coordinates), source)

    def check_fields(self, schema: Schema, given: Mapping[str, Iterable[str]]) -> None:
        """Refuse fields, by the argument that names them, which are the model's and yet nothing that is fitted."""

    def names(self, schema: Schema) -> list[str]:
        """Names of the parameters in the order of the flat vector; experts count from 1."""
        classes = schema.classes[1:] if schema.classes is not None else ()
        labels: dict[str, dict[str, Any]] = {
            "gate": {
                "feature": schema.gate_features,
                "product": product_names(schema.gate_features),
                "covariance": covariance_names(schema.gate_features),
            },
            "expert": {
                "feature": schema.features,
                "class": classes,
                "response": schema.responses,
                "power": [f"power{q}" for q in range(2, 21)],
                "covariance": covariance_names(schema.responses),
            },
        }
        leaves = self.layout(schema).leaves()
        return [name for path, slot, _ in leaves for name in leaf_names(path, slot, labels[path.split(".")[0]])]

    # ------------------------------------------------------------------------------- parameters
    def params(self, *, gate: Any, expert: Any) -> MoEParams:
        """Parameters from plain arrays, shapes and supports checked.

        Parameters
        ----------
        gate, expert : mapping or record
            Fields by name, such as ``gate=dict(slopes=..., intercepts=...)``; a tuple of mappings when
            the model has one family per expert.

        Returns
        -------
        MoEParams
        """
        gate_dims = _infer_dims("gate", self.gate, self.n_experts, gate)
        expert_dims = _infer_dims("expert", self.expert, self.n_experts, expert)
        layout = self._layout(gate_dims, expert_dims)
        record = _build("params", layout, {"gate": gate, "expert": expert})
        layout.pack(record)
        return record  # type: ignore[no-any-return]

    def to_theta(self, params: MoEParams, schema: Schema, coordinates: Coordinates) -> FloatArray:
        """Unconstrained vector, in working coordinates, of parameters in the user's units."""
        self.layout(schema).pack(params)  # shapes first: rescaling would trip over them with less to say
        moved = MoEParams(
            gate=_rescaled_gate(self.gate, params.gate, coordinates.Z),
            expert=_rescaled_expert(self.expert, params.expert, coordinates.X, coordinates.y),
        )
        return self.layout(schema).pack(moved)

    def from_theta(self, theta: FloatArray, schema: Schema, coordinates: Coordinates) -> MoEParams:
        """Parameters in the user's units of an unconstrained vector in working coordinates."""
        params = self.layout(schema).unpack(theta)
        return MoEParams(
            gate=_rescaled_gate(self.gate, params.gate, coordinates.Z.inverse()),
            expert=_rescaled_expert(self.expert, params.expert, coordinates.X.inverse(), coordinates.y.inverse()),
        )

    def holding(self, schema: Schema, coordinates: Coordinates, rest: float = 0.0) -> Holding:
        """The held parameters of ``fixed`` in working coordinates; all others are put at ``rest``."""
        layout = self.layout(schema)
        free = np.ones(layout.size, dtype=bool)
        natural = layout.natural(np.full(layout.size, rest))
        slots = {path: slot for path, slot, _ in layout.leaves()}
        for path, value in (self.fixed or {}).items():
            index = layout.index(path)
            free[index] = False
            natural[index] = _held_entries(path, value, slots[path])
        record = _from_natural(layout, natural)
        return Holding(free, self.to_theta(record, schema, coordinates))

    # ------------------------------------------------------------------------------- data
    def data(
        self,
        X: Any,
        y: Any,
        Z: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
    ) -> Data:
        """Data for this model: categorical or not, in the coordinates its components can use."""
        rows = Data(X, y, Z, sample_weight, offset=offset, exposure=exposure, categorical=self.expert.categorical)
        return self.prepare(rows)  # type: ignore[return-value]

    def prepare(self, source: BlockSource, bounded: Sequence[str] = ()) -> BlockSource:
        """The source in coordinates that suit its covariates, and that the model allows; after the experts' checks.

        Covariates are centred, and mixed where they are nearly collinear, unless a component cannot follow, or
        a held field or one of the ``bounded`` fields (dotted names) would not stay in place.
        """
        self.expert.check(source)
        self._check_names(source)
        plain, about_means = self._unmixed(source, bounded)
        designs = measure(source, **about_means)
        mixed = self._mixed(source.schema, plain, designs, about_means, bounded)
        null = {part: self._relations(source.schema, mixed, designs, part) for part in ("gate", "expert")}
        return source.in_coordinates(replace(mixed, null_X=null["expert"], null_Z=null["gate"]))

    def _unmixed(self, source: BlockSource, bounded: Sequence[str]) -> tuple[Coordinates, dict[str, bool]]:
        """Shifts and scales of single columns, and whether the experts' and the gate's are about their means."""
        schema, moments = source.schema, source.moments
        X, Z = self.expert.coordinates(_affine(moments.X)), self.gate.coordinates(_affine(moments.Z))
        y = moments.y if self.expert.scales_response else Affine.identity(moments.y.size)
        y = y if self._shifts_response else y.without_location()
        astray = self._astray(schema, Coordinates(X, Z, y)) | self._entangled(schema, Coordinates(X, Z, y), bounded)
        if "gate" in astray:
            Z = Z.without_location()
        if "expert" in astray:
            X, y = X.without_location(), y.without_location()
        about_means = {"centred_X": "expert" not in astray, "centred_Z": "gate" not in astray}
        return Coordinates(X, Z, y), about_means

    @property
    def _shifts_response(self) -> bool:
        """Whether parameters can follow a shift of the response."""
        return self.expert.shifts_response

    def _mixed(
        self,
        schema: Schema,
        plain: Coordinates,
        designs: Designs,
        about_means: Mapping[str, bool],
        bounded: Sequence[str],
    ) -> Coordinates:
        """The same coordinates with nearly collinear columns mixed, where the components and their fields allow it."""
        X = designs.X.blend(_affine(plain.X), about_means["centred_X"]) if self.expert.mixable else None
        Z = designs.Z.blend(_affine(plain.Z), about_means["centred_Z"]) if self.gate.mixable else None
        if X is None and Z is None:
            return plain
        mixed = replace(plain, X=X or plain.X, Z=Z or plain.Z)
        entangled = self._entangled(schema, mixed, (*(self.fixed or ()), *bounded))
        return replace(
            plain,
            X=plain.X if "expert" in entangled else mixed.X,
            Z=plain.Z if "gate" in entangled else mixed.Z,
        )

    def _relations(self, schema: Schema, coordinates: Coordinates, designs: Designs, part: str) -> FloatArray | None:
        """Relations among the covariates of a part that leave something open, as `Coordinates` holds them."""
        if part == "gate" and self.n_experts == 1:
            return None
        component, design = (self.gate, designs.Z) if part == "gate" else (self.expert, designs.X)
        layout, free = self.layout(schema), self.holding(schema, coordinates).free
        own = component.predictors(layout.part(part)) + layout.start_of(part)
        if len(own) and not free[own[:, 1:]].any():
            return None
        rows = design.relations(constants=not len(own) or bool(free[own[:, 0]].any()))
        return rows if len(rows) else None

    def null_directions(self, schema: Schema, coordinates: Coordinates, *, raw: bool = False) -> FloatArray:
        """Directions (r, P) that no row of the fit tells from zero, because its covariates are linearly related.

        In working coordinates and of length one, or with ``raw`` in the user's units and of any length.
        """
        layout = self.layout(schema)
        found = [np.zeros((0, layout.size))]
        for part, component, at, relations in (
            ("gate", self.gate, coordinates.Z, coordinates.null_Z),
            ("expert", self.expert, coordinates.X, coordinates.null_X),
        ):
            if relations is not None:
                rows = component.null_directions(layout.part(part), relations if raw else at.relations(relations))
                first = layout.start_of(part)
                found.append(np.pad(rows, ((0, 0), (first, layout.size - first - rows.shape[1]))))
        rows = np.vstack(found)
        return rows if raw else _of_length_one(rows)

    def _check_names(self, source: BlockSource) -> None:
        """A covariate named like a parameter (const, variance) would give two parameters one name."""
        names = self.names(source.schema)
        repeated = sorted({name for name in names if names.count(name) > 1})
        for part, covariates in (("X", source.schema.features), ("Z", source.schema.gate_features)):
            for i, covariate in enumerate(covariates):
                if any(name.endswith(f".{covariate}") for name in repeated) and _is_constant(source, part, i):
                    raise InputError(
                        f"the covariate {covariate!r} is constant, and every expert and the gate have an intercept "
                        f"already, called const. Leave the column {covariate!r} out."
                    )
        if repeated:
            raise InputError(
                f"parameter names must be distinct; {repeated} would stand for several. "
                "Rename the covariate that is named like a parameter."
            )

    def _astray(self, schema: Schema, coordinates: Coordinates) -> set[str]:
        """Parts with a held field that would not stay put: a shift of the covariates mixes slopes into intercepts."""
        if not self.fixed:
            return set()
        one, other = (self.holding(schema, coordinates, rest) for rest in (0.0, 1.0))
        moved = ~one.free & (one.values != other.values)
        return {path.split(".")[0] for path in self.fixed if moved[self.layout(schema).index(path)].any()}

    def _entangled(self, schema: Schema, coordinates: Coordinates, paths: Sequence[str]) -> set[str]:
        """Parts with a field among these whose entries do not each depend on themselves alone."""
        layout = self.layout(schema)
        base = np.random.default_rng(0).uniform(0.5, 1.5, layout.size)
        pattern = Coordinates(coordinates.X.pattern(), coordinates.Z.pattern(), coordinates.y.pattern())

        def carried(theta: FloatArray) -> FloatArray:
            return self.to_theta(layout.unpack(theta), schema, pattern)

        found = set()
        here = carried(base) if paths else base
        for path in paths:
            index = layout.index(path).ravel()
            others = np.ones(layout.size, dtype=bool)
            others[index] = False
            moved = [(carried(base + others) != here)[index].any()]
            for i in index:
                alone = np.arange(layout.size) == i
                moved.append(((carried(base + alone) != here) & ~others & ~alone).any())
            if any(moved):
                found.add(path.split(".")[0])
        return found

    # ------------------------------------------------------------------------------- fronts over passes
    def loglik(
        self,
        params: MoEParams,
        X: Any,
        y: Any,
        Z: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
    ) -> float:
        """Log-likelihood: the sum over rows of ``sample_weight * log p(y | x)``, in nats.

        Parameters
        ----------
        params : MoEParams
        X : array-like (n, d)
        y : array-like (n,)
        Z : array-like (n, e), optional
            The gate's covariates; X when left out.
        sample_weight, offset, exposure : array-like (n,), optional

        Returns
        -------
        float
        """
        schema = self.schema_of(params)
        rows = Data(
            None if X is None else as_matrix("X", X),
            y,
            None if Z is None else as_matrix("Z", Z),
            sample_weight,
            offset=offset,
            exposure=exposure,
            categorical=self.expert.categorical,
            classes=_classes_of(y, schema),
        )
        return self.source_loglik(params, self.prepare(rows))

    def source_loglik(self, params: MoEParams, source: BlockSource) -> float:
        """Log-likelihood of a prepared source, in the units of the raw response."""
        theta = self.to_theta(params, source.schema, source.coordinates)
        total = self.passes(source).loglik(theta)
        return total + log_jacobian(source, joint=not self.gate.normalised)

    def evaluate(
        self, params: MoEParams, X: Any, Z: Any = None, *, y: Any = None, offset: Any = None, exposure: Any = None
    ) -> Tile:
        """Gate weights, and with ``y`` densities and responsibilities, of rows in raw units, (K, n) each."""
        terms, theta, block = self._query(params, X, Z, y=y, offset=offset, exposure=exposure)
        return next(terms.tiles(theta, [block]))

    def gate_weights(self, params: MoEParams, Z: Any) -> FloatArray:
        """Gate weights pi_k(z), (n, K)."""
        Z = as_matrix("Z", Z)
        X = np.zeros((len(Z), len(self.schema_of(params).features)))
        terms, theta, block = self._query(params, X, Z)
        return np.ascontiguousarray(terms.gate_weights(theta, block).T)

    def responsibilities(
        self, params: MoEParams, X: Any, y: Any, Z: Any = None, *, offset: Any = None, exposure: Any = None
    ) -> FloatArray:
        """Posterior probability of each expert given x and y, (n, K)."""
        return np.ascontiguousarray(self.evaluate(params, X, Z, y=y, offset=offset, exposure=exposure).R.T)

    def log_density(
        self, params: MoEParams, X: Any, y: Any, Z: Any = None, *, offset: Any = None, exposure: Any = None
    ) -> FloatArray:
        """log p(y | x) of every row, in nats, (n,)."""
        return log_densities(*self._query(params, X, Z, y=y, offset=offset, exposure=exposure))

    def predict(
        self, params: MoEParams, X: Any, Z: Any = None, *, offset: Any = None, exposure: Any = None
    ) -> FloatArray:
        """Conditional mean sum_k pi_k mu_k, (n,); class probabilities (n, C) for categorical experts."""
        return mixture_mean(*self._query(params, X, Z, offset=offset, exposure=exposure))

    def expert_means(
        self, params: MoEParams, X: Any, Z: Any = None, *, offset: Any = None, exposure: Any = None
    ) -> FloatArray:
        """Conditional mean of each expert, (n, K); class probabilities (n, K, C) for categorical experts."""
        terms, theta, block = self._query(params, X, Z, offset=offset, exposure=exposure)
        means = terms.expert.mean(theta[terms.expert_columns], block)
        return np.ascontiguousarray(np.moveaxis(means, -1, 0))

    def sample(
        self,
        params: MoEParams,
        X: Any,
        rng: np.random.Generator,
        Z: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
    ) -> FloatArray:
        """One response per row drawn from p(y | x).

        Parameters
        ----------
        params : MoEParams
        X : array-like (n, d)
        rng : numpy.random.Generator
        Z : array-like (n, e), optional
        offset, exposure : array-like (n,), optional

        Returns
        -------
        ndarray (n,), or class codes 0, ..., C - 1 for categorical experts
        """
        return draw(*self._query(params, X, Z, offset=offset, exposure=exposure), rng)

    def sample_with_experts(
        self,
        params: MoEParams,
        X: Any,
        rng: np.random.Generator,
        Z: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
    ) -> tuple[FloatArray, IntArray]:
        """The responses that `sample` draws, and the expert of each row: codes 0, ..., K - 1."""
        return draw_with_experts(*self._query(params, X, Z, offset=offset, exposure=exposure), rng)

    def _query(
        self, params: MoEParams, X: Any, Z: Any, *, y: Any = None, offset: Any = None, exposure: Any = None
    ) -> tuple[Terms, FloatArray, Block]:
        """Rows in raw units as a block; the columns of parameters have no names, so neither have the rows'."""
        schema = self.schema_of(params)
        X = None if X is None else as_matrix("X", X)
        Z = None if Z is None else as_matrix("Z", Z)
        block = query_block(schema, _raw_coordinates(schema), X, Z, y=y, offset=offset, exposure=exposure)
        if y is not None:
            rows = Query(schema, _raw_coordinates(schema), block, offset is not None, exposure is not None)
            self.expert.check_beside(rows)
        return self.terms(schema), self.layout(schema).pack(params), block

    def schema_of(self, params: MoEParams) -> Schema:
        """Columns implied by the shapes of the parameters."""
        if not isinstance(params, MoEParams):
            raise InputError(f"params must be made by model.params(...); got {type(params).__name__}.")
        gate = _infer_dims("gate", self.gate, self.n_experts, params.gate)
        expert = _infer_dims("expert", self.expert, self.n_experts, params.expert)
        if _is_blind(self.expert, self.n_experts):
            expert = replace(expert, n_features=gate.n_features)  # which the experts may have, and not use
        features = tuple(f"x{i + 1}" for i in range(expert.n_features))
        same = gate.n_features == expert.n_features or _is_blind(self.gate, self.n_experts)
        gate_features = features if same else tuple(f"z{i + 1}" for i in range(gate.n_features))
        classes = tuple(range(expert.n_classes)) if self.expert.categorical else None
        m = expert.n_responses
        responses = ("y",) if m == 1 else tuple(f"y{i + 1}" for i in range(m))
        return Schema(features, gate_features, responses, classes)


# --------------------------------------------------------------------------------------- shared with results
def log_jacobian(source: BlockSource, joint: bool = False) -> float:
    """What turns a log-likelihood in working units of y, or jointly of the gate's covariates and y, into raw units."""
    units = source.coordinates.y.scale
    if joint:
        units = np.concatenate([units, _affine(source.coordinates.Z).scale])
    return -source.total_weight * float(np.log(units).sum())


def mixture_mean(terms: Terms, theta: FloatArray, block: Block) -> FloatArray:
    """sum_k pi_k mu_k in working units: (n,), or (n, C)."""
    weights = terms.gate_weights(theta, block)
    means = terms.expert.mean(theta[terms.expert_columns], block)
    if means.ndim == 2:
        return np.asarray(np.einsum("kb,kb->b", weights, means))
    return np.asarray(np.einsum("kb,kcb->bc", weights, means))


def log_densities(terms: Terms, theta: FloatArray, block: Block) -> FloatArray:
    """log p(y | x) in working units (n,); minus infinity where every expert's density underflows."""
    tile = next(terms.tiles(theta, [block]))
    row = tile.row if terms.gate.normalised else tile.row - logsumexp(tile.H, axis=0)
    return np.where(np.isneginf(tile.E + tile.H).all(axis=0), -np.inf, row)


def draw(terms: Terms, theta: FloatArray, block: Block, rng: np.random.Generator) -> FloatArray:
    """One response per row in working units: (n,), or (n, m) for several responses."""
    return draw_with_experts(terms, theta, block, rng)[0]


def draw_with_experts(
    terms: Terms, theta: FloatArray, block: Block, rng: np.random.Generator
) -> tuple[FloatArray, IntArray]:
    """The same, and the expert of each row (n,): first the gate draws an expert, then the expert a response."""
    terms.gate.check_density()
    weights = terms.gate_weights(theta, block)
    uniform = rng.random(block.weight.size)
    chosen = (uniform > np.cumsum(weights, axis=0)[:-1]).sum(axis=0)
    drawn = terms.expert.draw(theta[terms.expert_columns], block, chosen, rng)
    return drawn[0] if len(drawn) == 1 else np.ascontiguousarray(drawn.T), chosen


# --------------------------------------------------------------------------------------- helpers
def _named(value: Any, what: str, registry: Mapping[str, Any], kind: type) -> Any:
    if isinstance(value, str):
        return parse(value, what, registry)
    if not isinstance(value, kind):
        a_class = isinstance(value, type) and issubclass(value, Component)
        hint = f" That is the class: write {value.__name__}()." if a_class else ""
        raise InputError(
            f"{what} must be one of {sorted(registry)} or an instance of {kind.__name__}; got {value!r}.{hint}"
        )
    return value


def _one_expert(value: Any, n_experts: int) -> Expert:
    if isinstance(value, str):
        value = parse_families(value, "expert", EXPERTS)
    if not isinstance(value, tuple | list):
        return _named(value, "expert", EXPERTS, Expert)  # type: ignore[no-any-return]
    if len(value) != n_experts:
        raise InputError(f"expert must be one family or a tuple of n_experts={n_experts} families; got {len(value)}.")
    return Mixed(tuple(_named(member, "expert", EXPERTS, Expert) for member in value))


def _kept(value: Any) -> Any:
    """A held value as it was given, safe from later changes."""
    try:
        array = np.array(value)
    except ValueError:
        raise InputError(f"fixed must hold numbers, or arrays whose rows have one length; got {value!r}.") from None
    array.setflags(write=False)
    return array if array.ndim else array.item()


def _classes_of(y: Any, schema: Schema) -> tuple[Any, ...] | None:
    """All classes of a categorical model when y holds their codes; else the labels have to speak for themselves."""
    if schema.classes is None:
        return None
    labels = set(np.asarray(y).ravel().tolist())
    return schema.classes if labels <= set(schema.classes) else None


def _raw_coordinates(schema: Schema) -> Coordinates:
    sizes = (len(schema.features), len(schema.gate_features), len(schema.responses))
    X, Z, y = (Affine.identity(size) for size in sizes)
    return Coordinates(X, Z, y)


def _is_constant(source: BlockSource, part: str, column: int) -> bool:
    """Whether a column of X or Z has one value in all rows that count."""
    values: set[float] = set()
    for block in source.blocks():
        rows = getattr(block, part)[1 + column]  # after the ones of the intercept
        values.update(np.unique(rows[block.weight > 0])[:2].tolist())
    return len(values) == 1


def _affine(at: ColumnMap) -> Affine:
    """A source's moments are of single columns."""
    assert isinstance(at, Affine)
    return at


def _of_length_one(rows: FloatArray) -> FloatArray:
    rows = rows / np.abs(rows).max(axis=1, keepdims=True, initial=0.0)  # squares stay within range
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _rescaled_gate(gate: Gate, params: Any, covariates: ColumnMap) -> Any:
    if covariates.same_as(Affine.identity(covariates.size)):
        return params
    return gate.rescale(params, covariates)


def _rescaled_expert(expert: Expert, params: Any, covariates: ColumnMap, response: Affine) -> Any:
    still = (Affine.identity(covariates.size), Affine.identity(response.size))
    if covariates.same_as(still[0]) and response.same_as(still[1]):
        return params
    return expert.rescale(params, covariates, response)


def _held_entries(path: str, value: Any, slot: Slot) -> FloatArray:
    """Reported entries of a held value: a number, or an array like the record's."""
    held = _broadcast(path, value, slot.record_shape)
    if not slot.support.fits(held):
        raise InputError(f"fixed[{path!r}] {slot.support.rule}; got {held.tolist()}.")
    return slot.support.entries(held)


def _broadcast(path: str, value: Any, shape: tuple[int, ...]) -> FloatArray:
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"fixed[{path!r}] must be a number or have shape {shape}; got {value!r}.") from None
    try:
        return np.broadcast_to(numbers, shape)
    except ValueError as error:
        got = np.asarray(value).shape
        raise InputError(f"fixed[{path!r}] must be a number or have shape {shape}; got shape {got}.") from error


def _from_natural(layout: Layout, natural: FloatArray) -> Any:
    theta = np.empty_like(natural)
    for path, slot, start in layout.leaves():
        chunk = natural[start : start + slot.size].reshape(slot.shape)
        if not slot.support.contains(chunk):
            raise InputError(f"fixed[{path!r}] {slot.support.rule}; got {_first_bad(slot, chunk)}.")
        theta[start : start + slot.size] = slot.support.free(chunk).ravel()
    return layout.unpack(theta)


def _first_bad(slot: Slot, entries: FloatArray) -> Any:
    """The first inadmissible number, or all of what is admissible only together."""
    if not slot.support.elementwise:
        return slot.support.record(entries).tolist()
    return next(value for value in entries.ravel().tolist() if not slot.support.contains(np.array(value)))


def _build(path: str, layout: Layout, given: Any) -> Any:
    """Record from nested mappings, sequences or records."""
    values: dict[str, Any] = {}
    for (name, entry), value in zip(layout.entries, _members(path, layout, given), strict=True):
        values[name] = value if isinstance(entry, Slot) else _build(f"{path}.{name}", entry, value)
    return layout.build(**values)


def _leaves(path: str, layout: Layout, given: Any) -> Iterator[tuple[str, Slot, Any]]:
    """(path, slot, value) of every field in nested mappings, sequences or records."""
    for (name, entry), value in zip(layout.entries, _members(path, layout, given), strict=True):
        if isinstance(entry, Slot):
            yield f"{path}.{name}", entry, value
        else:
            yield from _leaves(f"{path}.{name}", entry, value)


def _members(path: str, layout: Layout, given: Any) -> list[Any]:
    """The entries of a layout: fields by name, or one record per expert."""
    names = [name for name, _ in layout.entries]
    if names and names[0].isdigit():
        given = getattr(given, "members", given)
        if not isinstance(given, tuple | list) or len(given) != len(names):
            each = "expert" if path.endswith("expert") else path.rpartition(".")[2]
            raise InputError(f"{path} must be a tuple of {len(names)} records, one per {each}; got {given!r}.")
        return list(given)
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise InputError(f"{path} must have the fields {names}; got {list(given)}.")
        return [given[name] for name in names]
    missing = [name for name in names if not hasattr(given, name)]
    if missing:
        raise InputError(f"{path} must have the fields {names}; a {type(given).__name__} has no {missing}.")
    return [getattr(given, name) for name in names]


def _is_blind(component: Component, n_experts: int) -> bool:
    """Whether no parameter belongs to a covariate: then any number of them will do."""
    layout = component.layout(Dims(n_experts, 1, 1, 2))
    return not any({"feature", "product"} & set(slot.axes) for _, slot, _ in layout.leaves())


def _infer_dims(path: str, component: Component, n_experts: int, given: Any) -> Dims:
    """Number of covariates, responses and classes from the shapes of given parameters."""
    sizes = {"feature": 0, "response": 1, "class": 1, "product": 0}
    for leaf, slot, value in _leaves(path, component.layout(Dims(n_experts, 1, 1, 2)), given):
        try:
            shape = np.asarray(value, dtype=np.float64).shape
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{leaf} must be an array of numbers; got {value!r}.") from error
        axes = len(slot.record_shape)
        if len(shape) != axes:
            raise InputError(f"{leaf} must have {axes} axes {slot.axes}; got an array of shape {shape}.")
        for axis, size in zip(slot.axes, shape, strict=False):
            if axis in sizes:
                sizes[axis] = size
    return Dims(n_experts, sizes["feature"] or n_multiplied(sizes["product"]), sizes["response"], sizes["class"] + 1)
