"""The contract of a gate and of an expert.

A component is a function of a row, value and derivatives, written for blocks of rows:

    value     V (K, B)       the gate's logits h_k, or the experts' log densities b_k
    jac       J (K, q, B)    derivatives in each expert's *local* parameters; (1, q, B) when all share it
    curv(c)   (K, q, q)      sum_i c_ki d2 V_ki
    pull(c)   (K, q)         sum_i c_ki d V_ki

``columns`` (K, q) says where local parameter a of expert k sits in the component's flat unconstrained
vector; sharing is the same position in several rows. Every function receives ``local = theta[columns]``.
Likelihood, EM, exact Hessian, standard errors, sampling and prediction are written once on top.

An expert also offers its means: ``mean`` (K, B), ``mean_jac`` (K, q, B) and, where they are curved in the parameters,
``mean_curv(c)`` (K, q, q), the same sums of d2 mu_ki, which least squares need.

Functions may be compiled (``from moestat.kernels import jit``) or plain NumPy. A few rules follow from how
they are used. V may be -inf where an expert is switched off; J is written in full and finite all the same,
and a wrapper that masks values computes its inner values again where it needs them. Positions repeated
within a row of ``columns`` are padding, with derivative zero. A gate whose weights couple the experts lists
all its parameters in every row. What `curv` and `pull` sum for experts with equal rows of ``columns`` may
stand with any one of them: only totals by position are read.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from moestat.charts import Chart
from moestat.coordinates import Affine, ColumnMap, Coordinates
from moestat.data import Block, BlockSource, Schema
from moestat.errors import InputError
from moestat.kernels.linear import contract, pull_linear
from moestat.params import Layout
from moestat.sketch import line_residuals
from moestat.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from moestat.gate_information import Division, Forms, GateInformation
    from moestat.law import Law


@dataclass(frozen=True)
class Dims:
    """Sizes that shape a component's parameters: experts, its covariates, responses, classes."""

    n_experts: int
    n_features: int
    n_responses: int = 1
    n_classes: int = 0


@dataclass(frozen=True, eq=False)
class Dilation:
    """A change of a gate's parameters that multiplies all logits by e^t, up to a term common to all experts.

    Where ``scaled`` (P,) it takes theta to e^t theta, elsewhere to theta + t shift.
    """

    scaled: BoolArray
    shift: FloatArray

    @staticmethod
    def linear(size: int) -> Dilation:
        """That of logits that are linear in all parameters."""
        return Dilation(np.ones(size, dtype=bool), np.zeros(size))

    def direction(self, theta: FloatArray) -> FloatArray:
        """Its tangent (P,) at t = 0."""
        return np.where(self.scaled, theta, self.shift)

    def apply(self, theta: FloatArray, t: float) -> FloatArray:
        """Parameters whose logits are e^t times those of theta."""
        return np.where(self.scaled, np.exp(t) * theta, theta + t * self.shift)

    def embedded(self, size: int, start: int) -> Dilation:
        """The same among more parameters, of which these begin at ``start``."""
        scaled, shift = np.zeros(size, dtype=bool), np.zeros(size)
        own = slice(start, start + self.shift.size)
        scaled[own], shift[own] = self.scaled, self.shift
        return Dilation(scaled, shift)


def by_mass(mass: FloatArray, kinds: IntArray) -> IntArray:
    """The order by decreasing mass in which every expert takes the place of one of its own kind."""
    order = np.arange(mass.size)
    for kind in np.unique(kinds):
        places = np.flatnonzero(kinds == kind)
        order[places] = places[np.argsort(-mass[places], kind="stable")]
    return order


class Component(ABC):
    """What gates and experts have in common; see the module's text."""

    name: ClassVar[str]
    #: (gates) V is linear in known features, the same for every expert: `features` stands for jac and pull
    known_features: ClassVar[bool] = False
    #: covariates may be shifted and scaled, and `rescale` carries the parameters
    equivariant: ClassVar[bool] = False
    #: covariates are scaled all alike, as distances between rows of them matter
    isotropic: ClassVar[bool] = False
    #: covariates may be mixed as well: they enter by the slopes of `predictors` and nowhere else
    mixable: ClassVar[bool] = False
    #: V has derivatives everywhere; a maximum at a kink has none that vanishes
    smooth: ClassVar[bool] = True

    @abstractmethod
    def layout(self, dims: Dims) -> Layout:
        """Layout of the parameter record."""

    @abstractmethod
    def columns(self, layout: Layout) -> IntArray:
        """Flat position of every local parameter, (K, q)."""

    def predictors(self, layout: Layout) -> IntArray:
        """Flat positions (m, 1 + d) of the intercept and the slopes of each linear predictor."""
        return np.zeros((0, 0), dtype=np.int64)

    def null_directions(self, layout: Layout, relations: FloatArray) -> FloatArray:
        """Directions (m r, P) that move no predictor where the covariates keep these relations (r, 1 + d).

        A relation is a constant and one coefficient per covariate, whose combination vanishes in every row.
        """
        predictors = self.predictors(layout)
        out = np.zeros((len(predictors), len(relations), layout.size))
        for directions, own in zip(out, predictors, strict=True):
            directions[:, own] = relations
        return out.reshape(len(predictors) * len(relations), layout.size)

    def coordinates(self, moments: Affine) -> Affine:
        """What `rescale` can follow of a shift and scale of the covariates: all of it, none, or a scale alone, say."""
        if not self.equivariant:
            return Affine.identity(moments.size)
        return moments.isotropic() if self.isotropic else moments

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        """The representative among parameters with equal weights, or densities."""
        return theta

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        """Directions (r, P) in which weights, or densities, do not change here, and their names in words.

        They are tangents: a curve of equal weights may bend (a temperature's ray does).
        """
        return np.zeros((0, layout.size)), ()

    def pinned(self, layout: Layout) -> IntArray:
        """Flat positions that `canonical` holds at a constant (zero, say)."""
        return np.zeros(0, dtype=np.int64)

    def constraints(self, layout: Layout, theta: FloatArray) -> FloatArray:
        """Gradients (r, P), at canonical parameters, of what `canonical` holds constant: one per invariance.

        They are those of the pinned positions, unless something else is held, such as the length of a vector.
        """
        return np.eye(layout.size)[self.pinned(layout)]

    def bind(self, layout: Layout) -> Self:
        """The component as passes use it: told its layout, should its functions need more than ``local``."""
        return self

    @abstractmethod
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        """Write V (K, B)."""

    def features(self, block: Block) -> FloatArray:
        """Known features (q, B): of a gate, what its logits are linear in; of a closed-form expert, its regressors."""
        raise InputError(f"the {self.name} component is not linear in known features.")

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        """Write J (K, q, B), or (1, q, B) with known features; ``value`` is what `value` wrote."""
        out[0] = self.features(block)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        """Add sum_i weights[k, i] d2 V_ki to out (K, q, q). Nothing to do for maps linear in their parameters."""

    def jac_and_curv(
        self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, J: FloatArray, out: FloatArray
    ) -> None:
        """Write J and add what `curv` adds. Override when the two have work in common."""
        self.jac(local, block, value, J)
        self.curv(local, block, value, weights, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        """Add sum_i weights[k, i] d V_ki to out (K, q). Override when it can be had without J."""
        if self.known_features:
            pull_linear(weights, self.features(block), out)
        else:
            J = np.empty((*local.shape, block.weight.size))
            self.jac(local, block, value, J)
            contract(weights, J, out)

    @abstractmethod
    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        """Parameters to start from, given responsibilities (K, B) that already carry the row weights."""

    @property
    def spoken_of(self) -> Component:
        """The component that its user knows, where this one was made of it."""
        return self

    def settings(self) -> dict[str, Any]:
        """The component's settings by name."""
        described: Any = self
        if not dataclasses.is_dataclass(described):
            return {}
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(described) if f.compare}


class Gate(Component):
    """A logit map h_k(z); the weights are softmax(h)."""

    #: weights are softmax(h); a joint likelihood keeps its own normaliser and sets this to False
    normalised: ClassVar[bool] = True
    #: weights sum to one; where they are exp(h) as it comes there is no density, and least squares alone can fit them
    sums_to_one: ClassVar[bool] = True
    #: the M-step has a closed form in the score and the present parameters
    closed_form: ClassVar[bool] = False
    #: what the gate becomes where its parameters run to infinity, of one that no rows can drive to a step
    far: ClassVar[str] = ""
    #: experts may be relabelled freely
    exchangeable: ClassVar[bool] = True
    #: logits are continuous in the parameters; where they jump, ascent may end at a switching tie
    continuous: ClassVar[bool] = True

    @property
    def tells_ties(self) -> bool:
        """Whether `closest` and `tie` know all that switches experts; where they do not, ascent makes do with tries."""
        return self.continuous

    def relaxations(self, n_experts: int) -> tuple[Gate, ...]:
        """Gates of the same parameters to climb before this one, of a gate whose weights jump: dense ones first."""
        return ()

    def chances(self, local: FloatArray, block: Block, value: FloatArray) -> FloatArray:
        """Probability (K, B) that an expert has a say, under the gate's own noise: zero or one where there is none."""
        return (value > -np.inf).astype(np.float64)

    def closest(self, local: FloatArray, block: Block) -> tuple[FloatArray, IntArray, IntArray]:
        """By how much (B,) each row keeps its experts, the one that would leave and the one that would come (B,).

        Of a gate whose weights jump. Nobody is -1; margins are infinite where nothing can change.
        """
        raise InputError(f"the {self.name} gate tells no ties.")

    def tie(self, local: FloatArray, block: Block, on: int, off: int) -> tuple[float, FloatArray]:
        """That margin for a block of one row, an expert that leaves and one that comes, and its derivative (K, q)."""
        raise InputError(f"the {self.name} gate tells no ties.")

    def ties(self, local: FloatArray, block: Block, within: float) -> list[tuple[int, int]]:
        """All pairs of an expert that leaves and one that comes, by margins up to ``within``, of a block of one row."""
        margin, on, off = self.closest(local, block)
        return [(int(on[0]), int(off[0]))] if margin[0] <= within else []

    def information(self, columns: IntArray, theta: FloatArray) -> GateInformation | None:
        """The bound gate's own way to add up what its M-step needs, if it has one; see `moestat.gate_information`."""
        return None

    def forms(self, columns: IntArray) -> Forms | None:
        """Linear predictors that the bound gate's logits depend on, if they depend on nothing else.

        Score and information of the M-step are then made of `form_features` and `form_weights`.
        """
        return None

    def form_features(self, block: Block) -> FloatArray:
        """Features (q, B) of the predictors of `forms`."""
        return block.Z

    def form_weights(self, local: FloatArray, tile: Division, first: FloatArray, second: FloatArray) -> None:
        """Write the derivatives of Q in the predictors (m, B), and what multiplies each matrix of `forms` (n, B)."""
        raise InputError(f"the {self.name} gate depends on its parameters by more than linear predictors.")

    def linear_logits(self, layout: Layout) -> list[IntArray] | None:
        """Flat positions (q,) of each logit's intercept and slopes, of a gate whose logits are linear; None of others.

        An intercept alone is a logit that depends on no covariate.
        """
        return None

    def check_density(self) -> None:
        """Refuse weights that make no density of the experts'."""
        if not self.sums_to_one:
            raise InputError(
                f"the weights of the {self.name} gate do not sum to one, so it makes no density and has no likelihood. "
                "Fit it by least squares, with objective='least_squares'; of the gates with a likelihood, 'sigmoid' "
                "comes nearest to it."
            )

    def lower_bounds(self, layout: Layout, spread: FloatArray) -> FloatArray:
        """Smallest admissible value of each unconstrained parameter; see `Expert.lower_bounds`.

        ``spread`` (e,) is near the covariates' standard deviations, in working units.
        """
        return np.full(layout.size, -np.inf)

    def concerns(self, spread: FloatArray) -> tuple[str, ...]:
        """What is amiss where covariates vary by about ``spread`` (d,), in the user's units, and the way out."""
        return ()

    def blurs(self, spread: FloatArray) -> tuple[str, ...]:
        """The same of a length among the gate's settings: what no scale of the logits, such as a temperature, mends."""
        return ()

    def m_step(self, layout: Layout, theta: FloatArray, score: FloatArray, rows: float) -> FloatArray:
        """The maximiser of the gate's part of Q, from its score at theta (P,) and the sum of the row weights.

        In an exponential family the score tells the sums of the sufficient statistics.
        """
        raise InputError(f"the {self.name} gate has no closed-form M-step.")

    def dilation(self, layout: Layout) -> Dilation | None:
        """What multiplies all logits by a positive number, where parameters can."""
        return None

    def ray(self, layout: Layout) -> Dilation | None:
        """A ray of equal weights: parameters ``scaled`` by e^t, and t added to the logarithm of a temperature."""
        return None

    def chart(self, layout: Layout) -> Chart:
        """Coordinates in which the way to a limit is straight, of a gate with a limit that no parameters reach."""
        return Chart.straight(layout.size)

    def order(self, mass: FloatArray, kinds: IntArray) -> IntArray:
        """The relabelling, of those that `permute` makes, with experts by decreasing mass.

        Only experts of the same kind change places. Place j of the new order goes to the old expert ``order[j]``.
        """
        return by_mass(mass, kinds) if self.exchangeable else np.arange(mass.size)

    def permute(self, layout: Layout, theta: FloatArray, order: IntArray) -> FloatArray:
        """Parameters with the weights of relabelled experts; for relabellings that `order` may give."""
        return layout.permute(theta, order)

    def adopt(self, layout: Layout, theta: FloatArray, child: int, parent: int) -> FloatArray:
        """Parameters where one expert has, as nearly as it can, the logits of another: a start for it."""
        columns, out = self.columns(layout), theta.copy()
        out[columns[child]] = theta[columns[parent]]
        return out

    def copies(self, old: Layout, new: Layout, rng: np.random.Generator) -> IntArray:
        """For every expert of a larger layout one of a smaller that it may copy: at random, each at least once."""
        size, onto = len(self.columns(new)), len(self.columns(old))
        images = np.concatenate([np.arange(onto), rng.integers(onto, size=size - onto)])
        return np.asarray(rng.permutation(images))

    def enlarge(self, old: Layout, new: Layout, theta: FloatArray, copied: IntArray, split: float = 0.0) -> FloatArray:
        """Parameters of a larger layout, where every expert has the logits of the one that it copies.

        ``split`` times the logarithm of their number is taken off the intercepts of copies: with one, copies share the
        weight of what they copy.
        """
        out = old.enlarge(theta, new, copied)
        if split:
            if "intercepts" not in dict(new.entries):
                raise InputError(f"copies share no mass under the {self.name} gate: it has no intercepts.")
            out[new.index("intercepts")] -= split * np.log(np.bincount(copied)[copied])
        return out

    def rescale(self, params: Any, covariates: ColumnMap) -> Any:
        """Parameters with the same weights for covariates in the given coordinates."""
        raise InputError(f"the {self.name} gate is not equivariant; it keeps raw covariates.")


class Expert(Component):
    """A log density b_k(y | x)."""

    #: several columns of y are modelled together
    several_responses: ClassVar[bool] = False
    #: y holds class labels
    categorical: ClassVar[bool] = False
    #: y holds whole numbers, which have probabilities, not densities
    discrete: ClassVar[bool] = False
    #: a continuous response may be scaled, and shifted unless the next says no
    scales_response: ClassVar[bool] = False
    shifts_response: ClassVar[bool] = True
    accepts_offset: ClassVar[bool] = False
    accepts_exposure: ClassVar[bool] = False
    #: the M-step has a closed form in weighted moments of known features
    closed_form: ClassVar[bool] = False

    def predictor_laws(self, layout: Layout) -> list[Law] | None:
        """Every expert's law as a compiled function of linear predictors, of a family that offers it; else None."""
        return None

    def kinds(self, n_experts: int) -> IntArray:
        """Numbers (K,), equal for experts of one family: those may be relabelled."""
        return np.zeros(n_experts, dtype=np.int64)

    def permute(self, layout: Layout, theta: FloatArray, order: IntArray) -> FloatArray:
        """Parameters of relabelled experts, each in the place of one of its kind; see `Gate.permute`."""
        return layout.permute(theta, order)

    def support(self, exposure: float | None = None) -> tuple[float, float]:
        """Between which numbers its responses lie, in a row with this exposure; what pictures draw."""
        return (0.0 if self.discrete else -np.inf), np.inf

    def placed(self, coordinates: Coordinates) -> Self:
        """The expert as passes use it in these coordinates, should part of its density be known in the user's units."""
        return self

    def check(self, source: BlockSource) -> None:
        """Refuse data that this expert cannot describe, alone or with others of its family."""
        self.check_beside(source)

    def check_beside(self, source: BlockSource) -> None:
        """Refuse data that this expert cannot describe beside experts of other families."""
        schema = source.schema
        if self.categorical != (schema.classes is not None):
            kind = "class labels (categorical=True)" if self.categorical else "numbers (categorical=False)"
            raise InputError(f"the {self.name} expert needs a response of {kind}; got {source!r}.")
        if len(schema.responses) != 1 and not self.several_responses:
            raise InputError(
                f"the {self.name} expert models one response; got {len(schema.responses)} columns in y. "
                "Fit one column at a time, or use expert='multivariate_gaussian'."
            )
        self.check_known(offset=source.uses_offset, exposure=source.uses_exposure)

    def check_known(self, *, offset: bool, exposure: bool) -> None:
        """Refuse an offset, or exposures, that this expert has no place for."""
        if exposure and not self.accepts_exposure:
            raise InputError(
                f"the {self.name} expert takes no exposure; it has no log link. Use offset or a covariate."
            )
        if offset and not self.accepts_offset:
            raise InputError(f"the {self.name} expert takes no offset. Enter the term as a covariate.")

    def for_starts(self, block: Block) -> Block:
        """Rows as the families of starts see them: their response and offset on the scale of a linear predictor."""
        return block

    def start_residuals(self, block: Block, share: FloatArray) -> FloatArray:
        """Squared residuals (K, n) of these rows from an expert fitted to each of K shares (K, n) of them.

        Families of starts join rows to the expert that leaves least of them; infinite for a share without rows.
        """
        return line_residuals(block, share)

    @abstractmethod
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        """Conditional means: (K, B), or (K, C, B) for C class probabilities or responses."""

    @abstractmethod
    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        """Derivatives of `mean` in the local parameters: (K, q, B) or (K, q, C, B)."""

    @abstractmethod
    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        """One response per row from expert ``chosen`` (B,): (m, B)."""

    #: a supremum may lie at infinity along a curve, which ascent follows without end and no ray shows
    drifts: ClassVar[bool] = False
    #: the law has a mean, as a Cauchy law has not
    has_mean: ClassVar[bool] = True

    def mean_curv(self, local: FloatArray, block: Block, weights: FloatArray, out: FloatArray) -> None:
        """Add sum_i weights[k, i] d2 mu_ki to out (K, q, q). Nothing to do for means linear in their parameters."""

    @property
    def spreads(self) -> tuple[str, ...]:
        """Fields of the record that no mean depends on: variances, dispersions."""
        return ()

    #: `cdf` is there
    has_cdf: ClassVar[bool] = False

    def cdf(self, local: FloatArray, block: Block, y: FloatArray) -> FloatArray:
        """Distribution function of each expert at y (B,): (K, B)."""
        raise InputError(f"the {self.name} expert has no distribution function.")

    def lower_bounds(self, layout: Layout, spread: FloatArray, alone: bool) -> FloatArray:
        """Smallest admissible value of each unconstrained parameter.

        ``spread`` (m,) is near the response's standard deviation, in working units. An expert that is
        ``alone`` in its model has all rows and cannot collapse onto a few.
        """
        return np.full(layout.size, -np.inf)

    def rescale(self, params: Any, covariates: ColumnMap, response: Affine) -> Any:
        """Parameters with the same densities for covariates and response in the given coordinates."""
        raise InputError(f"the {self.name} expert is not equivariant; it keeps raw covariates.")

    def residual_moments(self, local: FloatArray, block: Block, resp: FloatArray, out: FloatArray) -> None:
        """Add responsibility-weighted sums of residuals times features (m q) and of products of residuals.

        They go to the last columns of out (K, q (q + 1) / 2 + m q + m (m + 1) / 2), m the number of responses, whose
        first columns hold the weighted products of the features in the order (0,0), (1,0), (1,1), (2,0), ...
        """
        raise InputError(f"the {self.name} expert has no closed-form M-step.")

    def ill_conditioned(self, local: FloatArray, moments: FloatArray) -> bool:
        """Whether the moments are too poorly conditioned to solve with; then factors are computed."""
        return False

    def least_squares_rows(self, local: FloatArray, block: Block) -> FloatArray:
        """Rows (K, p + m, B) of each expert's least-squares problem: features, then current residuals."""
        raise InputError(f"the {self.name} expert has no closed-form M-step.")

    def m_step(
        self, local: FloatArray, moments: FloatArray, factors: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """The maximiser of Q, as local parameters (K, q), and the score at the old ones (K, q).

        ``factors`` (K, p + m, p + m) are triangular factors of the weighted least-squares rows, given
        when the moments are ill-conditioned.
        """
        raise InputError(f"the {self.name} expert has no closed-form M-step.")
