"""What the literature says about rates, as data: one entry per theorem.

How sure an entry is stands in its status:

    PROVED        a theorem, read in its paper or in one that quotes it
    ABSTRACT      stated in a paper's abstract, which alone was read: its conditions are not known
    UPPER_BOUND   the same, where the bound is known or believed not to be sharp
    RECALLED      recalled from the paper, whose text was not at hand: not verified
    DERIVED       derived for this package, and tested numerically; in no paper that was read
    CONJECTURE    believed on numerical evidence

Powers are those of a loss of order (log n / n)^{1/2}: where an atom of the truth has m > 1 fitted atoms, a deviation
with power p is of order n^{-1/(2p)}. With one fitted atom all powers are 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from typing import Any

from moestat.activations import ACTIVATIONS
from moestat.component import Component
from moestat.theory.powers import HALF, ONE, SQUARE, SYSTEM, Power
from moestat.theory.rates import ROOT, SLOW, Rate


class Status(Enum):
    """How sure a fact is."""

    PROVED = "proved"
    ABSTRACT = "stated in the abstract"
    UPPER_BOUND = "published upper bound"
    RECALLED = "recalled from the paper, UNVERIFIED"
    DERIVED = "DERIVED here, not published"
    CONJECTURE = "CONJECTURE"


@dataclass(frozen=True)
class Source:
    """Who showed it, when and where."""

    authors: str
    year: int
    arxiv: str
    title: str = ""

    def __str__(self) -> str:
        if not self.year:
            return self.authors
        return f"{self.authors} ({self.year}), arXiv {self.arxiv}"


Setting = Any | Callable[[Any], bool]


@dataclass(frozen=True)
class Kind:
    """Components of one name, some settings at given values or passing a test.

    Parameters
    ----------
    name : str
        As in the registries; empty for any.
    text : str
        How the table speaks of it.
    settings : mapping
        By name, a value or a function of one; a setting that is a component is tested by another `Kind`.
    """

    name: str
    text: str
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def fits(self, component: Component) -> bool:
        """Whether a component is of this kind."""
        if self.name and component.name != self.name:
            return False
        return all(_passes(test, getattr(component, setting, None)) for setting, test in self.settings.items())


def _passes(test: Setting, value: Any) -> bool:
    if isinstance(test, Kind):
        return isinstance(value, Component) and test.fits(value)
    if isinstance(test, tuple):
        return isinstance(value, tuple) and len(value) == len(test) and all(map(_passes, test, value))
    return bool(test(value)) if callable(test) else bool(value == test)


@dataclass(frozen=True)
class Entry:
    """One theorem.

    Parameters
    ----------
    key : str
    gate, expert : Kind
    specification : {"exact", "over"}
    powers : mapping of str to Power
        By parameter; of over-specified cells with m > 1 atoms. Empty where ``rates`` say it.
    status : Status
    theorem : str
        Which, and what it bounds.
    source : Source
    why : str
        The mechanism, in a sentence.
    regime : str
        A case that parameters of the truth decide; the first of several is the usual one.
    objective : str
        ``"likelihood"`` or ``"least_squares"``.
    variant : str
        ``"published"``, or ``"sharp"`` where other powers are believed to hold.
    loss, density : Rate
    rates : mapping of str to Rate
        Of parameters, where they are not powers of a loss.
    notes : tuple of str
        What to beware of.
    """

    key: str
    gate: Kind
    expert: Kind
    specification: str
    status: Status
    theorem: str
    source: Source
    why: str
    powers: Mapping[str, Power] = field(default_factory=dict)
    regime: str = ""
    objective: str = "likelihood"
    variant: str = "published"
    loss: Rate = ROOT
    density: Rate = ROOT
    rates: Mapping[str, Rate] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


# --------------------------------------------------------------------------------------- sources
SOFTMAX_PAPER = Source(
    "Nguyen, Nguyen and Ho", 2023, "2305.03288", "Demystifying softmax gating function in Gaussian mixture of experts"
)
TOPK_PAPER = Source("Nguyen, Akbarian, Yan and Ho", 2024, "2309.13850")
TEMPERATURE_PAPER = Source("Nguyen, Akbarian and Ho", 2024, "2401.13875")
MULTINOMIAL_PAPER = Source("Nguyen, Akbarian, Nguyen and Ho", 2024, "2310.14188")
HIERARCHY_PAPER = Source("Nguyen, Han, Harris, Saria and Ho", 2024, "2410.02935")
GAUSSIAN_PAPER = Source("Nguyen, Nguyen, Nguyen and Ho", 2024, "2305.07572")
LAPLACE_PAPER = Source("Han, Nguyen, Harris, Ho and Saria", 2024, "2402.03226")
SHARED_PAPER = Source("Nguyen et al.", 2025, "2505.10860")
CONTAMINATED_PAPER = Source("Yan et al.", 2025, "2505.18455")
DENDROGRAM_PAPER = Source("Hai, Nguyen Mai, Nguyen, Ho, Nguyen and Drovandi", 2025, "2510.12744")
SIGMOID_PAPER = Source("Nguyen, Ho and Rinaldo", 2024, "2405.13997")
QUADRATIC_PAPER = Source("Akbarian, Nguyen, Han and Ho", 2024, "2410.11222")
COSINE_PAPER = Source("Nguyen et al.", 2024, "2405.14131")
SQUARES_PAPER = Source("Nguyen, Ho and Rinaldo", 2024, "2402.02952")
NORGA_PAPER = Source("Le et al.", 2024, "2405.14124")
LASSO_PAPER = Source("Nguyen, Nguyen, Chamroukhi and McLachlan", 2024, "2009.10622")
SIGMOID_MULTINOMIAL_PAPER = Source("authors not read", 2026, "2602.01466")
BAYES_PAPER = Source("authors not read", 2026, "2604.20551")
HERE = Source("this package", 0, "")


#: Cases of a top-K gate.
ENOUGH, TOO_FEW = "enough active experts", "too few active experts"


# --------------------------------------------------------------------------------------- kinds
def _unbent(activation: Any) -> bool:
    """Whether an activation is homogeneous, so that a temperature cannot be told from a scale."""
    return activation in ACTIVATIONS and ACTIVATIONS[activation].homogeneous


def _of_covariates(transform: Any) -> bool:
    return transform in (None, "identity")


def _bounded(transform: Any) -> bool:
    """Whether a transform is known to be bounded: of a user's own function it is not."""
    return isinstance(transform, str) and ACTIVATIONS[transform].bounded


def _bent(activation: Any) -> bool:
    return not _unbent(activation)


def _several(n_active: Any) -> bool:
    return n_active is None or n_active > 1


def _plain_norms(perturbation: Any) -> bool:
    return perturbation in (0.0, (0.0, 0.0))


def _perturbed_norms(perturbation: Any) -> bool:
    return bool(min(perturbation) > 0 if isinstance(perturbation, tuple) else perturbation > 0)


def _strong(form: Any) -> bool:
    return form not in ("linear", "polynomial", "relu")


def _given(weights: Any) -> bool:
    return weights is not None


SOFTMAX = Kind("softmax", "softmax", {"transform": _of_covariates})
MODIFIED = Kind("softmax", "softmax of a bounded transform", {"transform": _bounded})
LAPLACE = Kind("laplace", "Laplace")
CONSTANT = Kind("constant", "constant (covariate-free)", {"weights": None})
SEVERAL_OF = Kind("topk", "top-K, K > 1", {"inner": SOFTMAX, "n_active": _several})
ONE_OF = Kind("topk", "top-1", {"inner": SOFTMAX, "n_active": 1})
TEMPERED = Kind("temperature", "temperature round softmax", {"inner": SOFTMAX, "tau": None, "depends_on": None})
ACTIVATED = Kind("activation", "activation", {"activation": _bent, "tau": None})
UNBENT = Kind("activation", "activation (identity, relu)", {"activation": _unbent, "tau": None})
JOINT = Kind("gaussian", "Gaussian, joint likelihood", {"likelihood": "joint", "shape": "full", "covariance": "own"})
MONOMIAL = Kind("quadratic", "quadratic, monomial", {"linear": False})
POLYNOMIAL = Kind("quadratic", "quadratic, polynomial", {"linear": True})
COSINE = Kind("cosine", "cosine", {"perturbation": _plain_norms})
PERTURBED = Kind("cosine", "cosine, perturbed norms", {"perturbation": _perturbed_norms})
SIGMOID = Kind("sigmoid", "normalised sigmoid")
UNNORMALISED = Kind("unnormalised_sigmoid", "sigmoid, not normalised")
NORGA = Kind("norga", "NoRGa, bent residual", {"activation": _bent, "alpha": lambda alpha: alpha != 0})
NORGA_UNBENT = Kind("norga", "NoRGa, residual without a bend", {"activation": "identity"})
SS = Kind("hierarchical", "hierarchical softmax-softmax", {"outer": SOFTMAX, "inner": SOFTMAX})
SL = Kind("hierarchical", "hierarchical softmax-Laplace", {"outer": SOFTMAX, "inner": LAPLACE})
LL = Kind("hierarchical", "hierarchical Laplace-Laplace", {"outer": LAPLACE, "inner": LAPLACE})
SHARED = Kind(
    "hierarchical",
    "shared (constant) beside routed (softmax)",
    {"outer": Kind("constant", "given weights", {"weights": _given}), "inner": (CONSTANT, SOFTMAX)},
)

LINEAR = Kind("gaussian", "Gaussian, linear mean", {"form": "linear", "variance": "own"})
STRONG = Kind("gaussian", "Gaussian, strongly identifiable mean", {"form": _strong, "variance": "own"})
WEAK = Kind(
    "gaussian",
    "Gaussian, linear or polynomial mean",
    {"form": ("linear", "polynomial").__contains__, "variance": "own"},
)
INPUT_FREE = Kind("constant", "constant mean")
MULTINOMIAL = Kind("multinomial", "multinomial logit")
BESIDE_KNOWN = Kind(
    "mixed",
    "a known law beside a Gaussian",
    {"families": (Kind("known", "known"), Kind("gaussian", "Gaussian"))},
)

GATE, CENTRES, TAU = "gate.slopes", "gate.centres", "gate.temperature"
SLOPES, INTERCEPTS, VARIANCES = "expert.slopes", "expert.intercepts", "expert.variances"


def _all(*names: str, power: Power = ONE) -> dict[str, Power]:
    return dict.fromkeys(names, power)


def _slow(*names: str) -> dict[str, Rate]:
    return dict.fromkeys(names, SLOW)


HEAT = "A Gaussian's second derivative in its location is twice the first in its variance"
CLEAN = "First derivatives of the density in the parameters are linearly independent once translations are set aside"
RIDGE = "Holds for fewer than twice as many fitted experts as true ones; from there on the density has flat ridges."
SPLIT = f"{HEAT}, and that in slope of a softmax gate and intercept is the first in the expert's slope"

AMPLITUDES = "gate (directions, length / ((length + t) temperature))"
FREE_TEMPERATURE = (
    "The paper's temperature is given; here it is estimated, and makes up for all lengths of slopes at once: slopes "
    "and temperature have no rate of their own."
)
SIMULATED = (
    "Simulations speak for gate slopes at n^{-1/4} where masses are held away from zero, and one design at n = 1e6 "
    "speaks against it: undecided. See variant='sharp', a conjecture."
)

# --------------------------------------------------------------------------------------- the entries
ENTRIES: tuple[Entry, ...] = (
    Entry(
        key="softmax-gaussian-exact",
        gate=SOFTMAX,
        expert=LINEAR,
        specification="exact",
        status=Status.PROVED,
        theorem="Voronoi loss D1, infimum over translations; theorem on exactly specified models",
        source=SOFTMAX_PAPER,
        why=CLEAN,
        powers=_all(GATE, SLOPES, INTERCEPTS, VARIANCES),
        notes=("Rates as quoted by arXiv 2402.03226 and 2505.10860; the wording of the loss is UNVERIFIED.",),
    ),
    Entry(
        key="softmax-gaussian-over",
        gate=SOFTMAX,
        expert=LINEAR,
        specification="over",
        status=Status.UPPER_BOUND,
        theorem="Voronoi loss D2, infimum over translations; theorem on over-specified models",
        source=SOFTMAX_PAPER,
        why=SPLIT,
        powers={GATE: SYSTEM, SLOPES: HALF, INTERCEPTS: SYSTEM, VARIANCES: HALF},
        notes=(RIDGE, SIMULATED),
    ),
    Entry(
        key="softmax-gaussian-over-sharp",
        gate=SOFTMAX,
        expert=LINEAR,
        specification="over",
        status=Status.CONJECTURE,
        theorem="the polynomial system forces gate slopes, then expert slopes, to vanish: powers 2 for both",
        source=HERE,
        why=f"{HEAT}; the interaction of the gate alone would leave squares of all deviations determined",
        powers={GATE: SQUARE, SLOPES: SQUARE, INTERCEPTS: SYSTEM, VARIANCES: HALF},
        variant="sharp",
        notes=(RIDGE, SIMULATED),
    ),
    Entry(
        key="softmax-gaussian-merged",
        gate=SOFTMAX,
        expert=LINEAR,
        specification="over",
        status=Status.ABSTRACT,
        theorem="refined loss with first-order moments of merged atoms",
        source=DENDROGRAM_PAPER,
        why="Merging the atoms of a cell averages their deviations, and first-order moments are regular",
        regime="merged atoms",
        rates={name: Rate(Fraction(1, 2), Fraction(1, 2)) for name in (GATE, SLOPES, INTERCEPTS, VARIANCES)},
        notes=(RIDGE,),
    ),
    Entry(
        key="softmax-gaussian-lasso",
        gate=SOFTMAX,
        expert=LINEAR,
        specification="over",
        status=Status.ABSTRACT,
        theorem="Kullback-Leibler oracle inequality of the l1-penalised fit, not asymptotic; constants UNVERIFIED",
        source=LASSO_PAPER,
        why="Parameters need be bounded only, once the penalty is large enough",
        regime="l1 penalty",
        loss=Rate(None, words="not stated: the density alone"),
        density=Rate(None, words="penalty + O(K / n^{1/2})"),
        notes=("The scale of the penalty is K (log n)^2 (log p)^{1/2} / n^{1/2}; it says nothing on parameters.",),
    ),
    Entry(
        key="softmax-gaussian-bayes",
        gate=SOFTMAX,
        expert=LINEAR,
        specification="over",
        status=Status.ABSTRACT,
        theorem="posterior contraction of the density, and of parameters in Voronoi losses; formulas not read",
        source=BAYES_PAPER,
        why="The reason was not read",
        regime="posterior",
        loss=Rate(None, words="in Voronoi losses, rate not read"),
        density=Rate(None, words="rate not read"),
        notes=(
            "Known and random numbers of experts, and two ways to choose theirs.",
            RIDGE,
        ),
    ),
    Entry(
        key="softmax-strong-exact",
        gate=SOFTMAX,
        expert=STRONG,
        specification="exact",
        status=Status.DERIVED,
        theorem="first-order independence, see interactions()",
        source=HERE,
        why=CLEAN,
        powers=_all(GATE, "expert parameters"),
    ),
    Entry(
        key="softmax-strong-over",
        gate=SOFTMAX,
        expert=STRONG,
        specification="over",
        status=Status.PROVED,
        theorem="loss D1, powers 1 and 2: its part for routed experts",
        source=SHARED_PAPER,
        why="Derivatives of a strongly identifiable mean are independent up to second order, also times covariates",
        powers=_all(GATE, "expert parameters", power=SQUARE),
        notes=(RIDGE, "Proved beside shared experts; without any it is a part of that proof."),
    ),
    Entry(
        key="constant-gaussian-exact",
        gate=CONSTANT,
        expert=LINEAR,
        specification="exact",
        status=Status.PROVED,
        theorem="loss D1, its part for shared experts",
        source=SHARED_PAPER,
        why=CLEAN,
        powers=_all(SLOPES, INTERCEPTS, VARIANCES),
    ),
    Entry(
        key="constant-gaussian-over",
        gate=CONSTANT,
        expert=LINEAR,
        specification="over",
        status=Status.PROVED,
        theorem="loss D2 (eq. 6), its part for shared experts",
        source=SHARED_PAPER,
        why=f"{HEAT}; weights without covariates do not interact",
        powers={SLOPES: SQUARE, INTERCEPTS: SYSTEM, VARIANCES: HALF},
    ),
    Entry(
        key="topk-gaussian-exact",
        gate=SEVERAL_OF,
        expert=LINEAR,
        specification="exact",
        status=Status.ABSTRACT,
        theorem="largest Voronoi loss over sets of K experts; rates from the abstract, loss UNVERIFIED",
        source=TOPK_PAPER,
        why=f"{CLEAN}, on every region with the same active experts",
        powers=_all(GATE, SLOPES, INTERCEPTS, VARIANCES),
    ),
    Entry(
        key="topk-gaussian-over",
        gate=SEVERAL_OF,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="largest Voronoi loss over sets of K experts",
        source=TOPK_PAPER,
        why=SPLIT,
        powers={GATE: SYSTEM, SLOPES: HALF, INTERCEPTS: SYSTEM, VARIANCES: HALF},
        regime=ENOUGH,
        notes=(
            "Needs at least as many active experts as fitted ones fall to any K true ones: k - k* + K suffice.",
            "The flat ridge of a softmax gate moves the active sets, so it is none here.",
        ),
    ),
    Entry(
        key="topk-gaussian-over-too-few",
        gate=SEVERAL_OF,
        expert=LINEAR,
        specification="over",
        status=Status.ABSTRACT,
        theorem="condition on the number of active experts, from the abstract",
        source=TOPK_PAPER,
        why="With too few active experts no measure near the true one has a density near the true one",
        regime=TOO_FEW,
        notes=("A fit far from the true measure may still do: one that leaves some experts without active rows, say.",),
        loss=Rate(Fraction(0), words="does not fall to zero"),
        density=Rate(Fraction(0), words="does not fall to zero"),
    ),
    Entry(
        key="top1-gaussian-exact",
        gate=ONE_OF,
        expert=LINEAR,
        specification="exact",
        status=Status.DERIVED,
        theorem="the switching surface is a change point",
        source=HERE,
        why="With one active expert weights are 0 or 1: the likelihood knows the gate by its switching surface alone",
        rates={
            "switching surface": Rate(Fraction(1)),
            SLOPES: Rate(Fraction(1, 2)),
            INTERCEPTS: Rate(Fraction(1, 2)),
            VARIANCES: Rate(Fraction(1, 2)),
        },
        notes=("Gate slopes and intercepts are determined up to what leaves the surface where it is.",),
    ),
    Entry(
        key="temperature-gaussian-exact",
        gate=TEMPERED,
        expert=LINEAR,
        specification="exact",
        status=Status.ABSTRACT,
        theorem="slower than any power; from the abstract. A minimax bound for the loss of every power r is UNVERIFIED",
        source=TEMPERATURE_PAPER,
        why="The derivative in the temperature is a combination of those in the gate's slopes",
        rates=_slow(GATE, TAU),
        loss=SLOW,
        notes=("(slopes, intercepts, temperature) times one number is the same gate: only ratios are determined.",),
    ),
    Entry(
        key="temperature-gaussian-over",
        gate=TEMPERED,
        expert=LINEAR,
        specification="over",
        status=Status.ABSTRACT,
        theorem="slower than any power; from the abstract. A minimax bound for the loss of every power r is UNVERIFIED",
        source=TEMPERATURE_PAPER,
        why="The derivative in the temperature is a combination of those in the gate's slopes",
        rates=_slow(GATE, TAU),
        loss=SLOW,
        notes=("(slopes, intercepts, temperature) times one number is the same gate: only ratios are determined.",),
    ),
    Entry(
        key="activation-gaussian-exact",
        gate=ACTIVATED,
        expert=LINEAR,
        specification="exact",
        status=Status.ABSTRACT,
        theorem="first-order independence of the activation; rates from the abstract",
        source=TEMPERATURE_PAPER,
        why="A bent activation tells the temperature from a scale of the slopes",
        powers=_all(GATE, TAU, SLOPES, INTERCEPTS, VARIANCES),
    ),
    Entry(
        key="activation-gaussian-over",
        gate=ACTIVATED,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="second-order independence of the activation",
        source=TEMPERATURE_PAPER,
        why=f"{HEAT}; a bent activation adds no interaction",
        powers={GATE: SQUARE, TAU: SQUARE, SLOPES: SQUARE, INTERCEPTS: SYSTEM, VARIANCES: HALF},
    ),
    Entry(
        key="activation-homogeneous-exact",
        gate=UNBENT,
        expert=LINEAR,
        specification="exact",
        status=Status.DERIVED,
        theorem="as for the temperature round softmax",
        source=HERE,
        why="The activation is homogeneous, so a temperature is a scale of the slopes",
        rates=_slow(GATE, TAU),
        loss=SLOW,
    ),
    Entry(
        key="softmax-multinomial-exact",
        gate=SOFTMAX,
        expert=MULTINOMIAL,
        specification="exact",
        status=Status.ABSTRACT,
        theorem="regime 1; rates from the abstract, the loss is UNVERIFIED",
        source=MULTINOMIAL_PAPER,
        why=CLEAN,
        powers=_all(GATE, SLOPES, INTERCEPTS),
        regime="every expert depends on the covariates",
    ),
    Entry(
        key="softmax-multinomial-exact-vanishing",
        gate=SOFTMAX,
        expert=MULTINOMIAL,
        specification="exact",
        status=Status.DERIVED,
        theorem="first-order independence, see interactions()",
        source=HERE,
        why="First derivatives stay independent where an expert's slopes vanish: only higher ones are lost",
        powers=_all(GATE, SLOPES, INTERCEPTS),
        regime="some expert's slopes vanish",
        notes=(
            "The abstract of arXiv 2310.14188 has rates slower than any power where part of the expert parameters "
            "vanish, and does not say whether of exactly specified models too.",
        ),
    ),
    Entry(
        key="softmax-multinomial-over",
        gate=SOFTMAX,
        expert=MULTINOMIAL,
        specification="over",
        status=Status.ABSTRACT,
        theorem="regime 1; rates from the abstract, the loss is UNVERIFIED",
        source=MULTINOMIAL_PAPER,
        why="Second derivatives in single parameters are independent of all others",
        powers=_all(GATE, SLOPES, INTERCEPTS, power=SQUARE),
        regime="every expert depends on the covariates",
        notes=(RIDGE,),
    ),
    Entry(
        key="softmax-multinomial-over-vanishing",
        gate=SOFTMAX,
        expert=MULTINOMIAL,
        specification="over",
        status=Status.ABSTRACT,
        theorem="regime 2; from the abstract",
        source=MULTINOMIAL_PAPER,
        why="Where an expert's slopes vanish, a mixed derivative in gate and intercept is the derivative in its slope",
        rates=_slow(GATE, SLOPES, INTERCEPTS),
        loss=SLOW,
        regime="some expert's slopes vanish",
        notes=("A constant expert split in two is exactly non-identified: any mixture of constant laws is one.",),
    ),
    Entry(
        key="modified-multinomial-exact",
        gate=MODIFIED,
        expert=MULTINOMIAL,
        specification="exact",
        status=Status.RECALLED,
        theorem="modified gate; the abstract says that rates improve, the numbers are UNVERIFIED",
        source=MULTINOMIAL_PAPER,
        why="A bounded transform that is no polynomial makes no derivative in an expert's slope",
        powers=_all(GATE, SLOPES, INTERCEPTS),
    ),
    Entry(
        key="modified-multinomial-over",
        gate=MODIFIED,
        expert=MULTINOMIAL,
        specification="over",
        status=Status.RECALLED,
        theorem="modified gate; the abstract says that rates improve, the numbers are UNVERIFIED",
        source=MULTINOMIAL_PAPER,
        why="A bounded transform that is no polynomial makes no derivative in an expert's slope",
        powers=_all(GATE, SLOPES, INTERCEPTS, power=SQUARE),
        notes=("A constant expert split in two is exactly non-identified under every gate.", RIDGE),
    ),
    Entry(
        key="sigmoid-multinomial-exact",
        gate=SIGMOID,
        expert=MULTINOMIAL,
        specification="exact",
        status=Status.ABSTRACT,
        theorem="fewer rows than a softmax gate needs, also for a modified gate; from the abstract, rates not read",
        source=SIGMOID_MULTINOMIAL_PAPER,
        why="The reason was not read",
        loss=Rate(None, words="a power of n, not read"),
        density=Rate(None, words="not read"),
        notes=("With a temperature in it the number of rows needed is exponential; Euclidean scores undo that.",),
    ),
    Entry(
        key="laplace-gaussian-exact",
        gate=LAPLACE,
        expert=LINEAR,
        specification="exact",
        status=Status.PROVED,
        theorem="Voronoi loss D1",
        source=LAPLACE_PAPER,
        why=CLEAN,
        powers=_all(CENTRES, SLOPES, INTERCEPTS, VARIANCES),
    ),
    Entry(
        key="laplace-gaussian-over",
        gate=LAPLACE,
        expert=LINEAR,
        specification="over",
        status=Status.PROVED,
        theorem="Voronoi loss D2",
        source=LAPLACE_PAPER,
        why=f"{HEAT}; distances to a centre add no interaction",
        powers={CENTRES: SQUARE, SLOPES: SQUARE, INTERCEPTS: SYSTEM, VARIANCES: HALF},
        notes=("A centre must lie inside the covariates' range: from outside, distances are nearly linear.",),
    ),
    Entry(
        key="gaussian-gaussian-exact",
        gate=JOINT,
        expert=LINEAR,
        specification="exact",
        status=Status.RECALLED,
        theorem="Voronoi loss of the authors' program",
        source=GAUSSIAN_PAPER,
        why=CLEAN,
        powers=_all(CENTRES, "gate.covariances", SLOPES, INTERCEPTS, VARIANCES),
    ),
    Entry(
        key="gaussian-gaussian-over",
        gate=JOINT,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="type I; powers of the authors' program",
        source=GAUSSIAN_PAPER,
        why=f"{HEAT}, once for the response and once for the covariates",
        powers={CENTRES: SYSTEM, "gate.covariances": HALF, SLOPES: SQUARE, INTERCEPTS: SYSTEM, VARIANCES: HALF},
        regime="all centres differ from zero",
    ),
    Entry(
        key="gaussian-gaussian-over-centred",
        gate=JOINT,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="type II; powers of the authors' program",
        source=GAUSSIAN_PAPER,
        why=f"{HEAT}, twice; at a centre of zero the mixed derivative in centre and intercept is that in the slope",
        powers={CENTRES: SYSTEM, "gate.covariances": HALF, SLOPES: HALF, INTERCEPTS: SYSTEM, VARIANCES: HALF},
        regime="some centre is zero",
    ),
    Entry(
        key="hierarchical-ss-exact",
        gate=SS,
        expert=LINEAR,
        specification="exact",
        status=Status.RECALLED,
        theorem="the loss of over-specified models, with one atom in every cell",
        source=HIERARCHY_PAPER,
        why=CLEAN,
        powers=_all("gate.outer.slopes", "gate.group.slopes", SLOPES, INTERCEPTS, VARIANCES),
    ),
    Entry(
        key="hierarchical-ss-over",
        gate=SS,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="loss L_(r/2, r, r/2), number of groups known",
        source=HIERARCHY_PAPER,
        why=f"{SPLIT}, already by the gate over the groups",
        powers={
            "gate.outer.slopes": ONE,
            "gate.group.slopes": SQUARE,
            SLOPES: HALF,
            INTERCEPTS: SYSTEM,
            VARIANCES: HALF,
        },
        notes=("With twice as many experts in a group as needed, the density has a flat ridge within that group.",),
    ),
    Entry(
        key="hierarchical-sl-exact",
        gate=SL,
        expert=LINEAR,
        specification="exact",
        status=Status.RECALLED,
        theorem="the loss of over-specified models, with one atom in every cell",
        source=HIERARCHY_PAPER,
        why=CLEAN,
        powers=_all("gate.outer.slopes", "gate.group.centres", SLOPES, INTERCEPTS, VARIANCES),
    ),
    Entry(
        key="hierarchical-sl-over",
        gate=SL,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="loss L_(r/2, r, r/2), number of groups known",
        source=HIERARCHY_PAPER,
        why=f"{SPLIT}, by the gate over the groups: Laplace gates within do not suffice",
        powers={
            "gate.outer.slopes": ONE,
            "gate.group.centres": SQUARE,
            SLOPES: HALF,
            INTERCEPTS: SYSTEM,
            VARIANCES: HALF,
        },
    ),
    Entry(
        key="hierarchical-ll-exact",
        gate=LL,
        expert=LINEAR,
        specification="exact",
        status=Status.RECALLED,
        theorem="the loss of over-specified models, with one atom in every cell",
        source=HIERARCHY_PAPER,
        why=CLEAN,
        powers=_all("gate.outer.centres", "gate.group.centres", SLOPES, INTERCEPTS, VARIANCES),
    ),
    Entry(
        key="hierarchical-ll-over",
        gate=LL,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="loss L_(2, r, r/2), number of groups known",
        source=HIERARCHY_PAPER,
        why=f"{HEAT}; distances to centres add no interaction",
        powers={
            "gate.outer.centres": ONE,
            "gate.group.centres": SQUARE,
            SLOPES: SQUARE,
            INTERCEPTS: SYSTEM,
            VARIANCES: HALF,
        },
    ),
    Entry(
        key="shared-routed-exact",
        gate=SHARED,
        expert=LINEAR,
        specification="exact",
        status=Status.PROVED,
        theorem="loss D1",
        source=SHARED_PAPER,
        why=CLEAN,
        powers=_all("gate.group.slopes", SLOPES, INTERCEPTS, VARIANCES),
    ),
    Entry(
        key="shared-routed-over",
        gate=SHARED,
        expert=LINEAR,
        specification="over",
        status=Status.UPPER_BOUND,
        theorem="loss D2, linear experts",
        source=SHARED_PAPER,
        why=f"{SPLIT}; shared experts have the first of these only",
        powers={
            "shared expert.slopes": SQUARE,
            "shared expert.intercepts": SYSTEM,
            "shared expert.variances": HALF,
            "gate.group.slopes": SYSTEM,
            "routed expert.slopes": HALF,
            "routed expert.intercepts": SYSTEM,
            "routed expert.variances": HALF,
        },
        notes=(RIDGE, "Powers of routed gate slopes and slopes are not believed to be sharp: see variant='sharp'."),
    ),
    Entry(
        key="shared-routed-over-sharp",
        gate=SHARED,
        expert=LINEAR,
        specification="over",
        status=Status.CONJECTURE,
        theorem="the polynomial system of routed experts forces gate slopes, then expert slopes, to vanish",
        source=HERE,
        why=f"{HEAT}; the interaction of the gate alone would leave squares of all deviations determined",
        powers={
            "shared expert.slopes": SQUARE,
            "shared expert.intercepts": SYSTEM,
            "shared expert.variances": HALF,
            "gate.group.slopes": SQUARE,
            "routed expert.slopes": SQUARE,
            "routed expert.intercepts": SYSTEM,
            "routed expert.variances": HALF,
        },
        variant="sharp",
        notes=(RIDGE, "The same argument as for the softmax gate, of which alone there are simulations."),
    ),
    Entry(
        key="shared-routed-strong-exact",
        gate=SHARED,
        expert=STRONG,
        specification="exact",
        status=Status.PROVED,
        theorem="loss D1",
        source=SHARED_PAPER,
        why=CLEAN,
        powers=_all("gate.group.slopes", "expert parameters"),
    ),
    Entry(
        key="shared-routed-strong-over",
        gate=SHARED,
        expert=STRONG,
        specification="over",
        status=Status.PROVED,
        theorem="loss D1, powers 1 and 2",
        source=SHARED_PAPER,
        why="Derivatives of strongly identifiable means are independent up to second order",
        powers=_all("gate.group.slopes", "expert parameters", power=SQUARE),
        notes=(RIDGE,),
    ),
    Entry(
        key="sigmoid-gaussian-over-sparse",
        gate=SIGMOID,
        expert=LINEAR,
        specification="over",
        status=Status.UPPER_BOUND,
        theorem="sparse regime (the slopes of over-specified atoms vanish in truth), routed experts",
        source=SHARED_PAPER,
        why="Where a gate's slope vanishes, its sigmoid acts like an exponential",
        powers={GATE: SYSTEM, SLOPES: HALF, INTERCEPTS: SYSTEM, VARIANCES: HALF},
        regime="sparse",
        notes=(
            "The powers are those of the softmax gate, not believed to be sharp there; a sharp form for this gate has "
            "not been derived.",
        ),
    ),
    Entry(
        key="sigmoid-gaussian-over-dense",
        gate=SIGMOID,
        expert=LINEAR,
        specification="over",
        status=Status.PROVED,
        theorem="dense regime, routed experts",
        source=SHARED_PAPER,
        why="The fit converges to the member of the larger family that is nearest in Kullback-Leibler distance",
        powers=_all(GATE, SLOPES, INTERCEPTS, VARIANCES),
        regime="dense",
        notes=("Parameters of the projection, not of the truth, are estimated at this rate.",),
    ),
    Entry(
        key="contaminated-exact",
        gate=SOFTMAX,
        expert=BESIDE_KNOWN,
        specification="exact",
        status=Status.PROVED,
        theorem="distinguishable; minimax",
        source=CONTAMINATED_PAPER,
        why="The estimated expert stays away from the known one",
        powers=_all(GATE, "gate.intercepts", "expert parameters"),
        regime="distinguishable",
    ),
    Entry(
        key="contaminated-exact-close",
        gate=SOFTMAX,
        expert=BESIDE_KNOWN,
        specification="exact",
        status=Status.PROVED,
        theorem="non-distinguishable",
        source=CONTAMINATED_PAPER,
        why="The estimated expert tends to the known one, at a distance D that depends on n",
        regime="not distinguishable",
        rates={
            "mass exp(gate.intercepts)": Rate(None, words="n^{-1/2} D^{-2}"),
            GATE: Rate(None, words="n^{-1/2} D^{-1}"),
            "expert parameters": Rate(None, words="n^{-1/2} D^{-1}"),
        },
        notes=("With D = n^{-1/8} these are n^{-1/4}, n^{-3/8} and n^{-3/8}.",),
    ),
    Entry(
        key="quadratic-monomial-exact",
        gate=MONOMIAL,
        expert=LINEAR,
        specification="exact",
        status=Status.RECALLED,
        theorem="monomial gate; formulas UNVERIFIED",
        source=QUADRATIC_PAPER,
        why="Without a linear term no mixed derivative of the gate is the derivative in an expert's slope",
        powers=_all("gate.quadratic", SLOPES, INTERCEPTS, VARIANCES),
    ),
    Entry(
        key="quadratic-monomial-over",
        gate=MONOMIAL,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="monomial gate, n^{-1/4} for two atoms; formulas UNVERIFIED",
        source=QUADRATIC_PAPER,
        why=f"{HEAT}; without a linear term the gate adds no first derivative",
        powers={"gate.quadratic": SQUARE, SLOPES: SQUARE, INTERCEPTS: SYSTEM, VARIANCES: HALF},
        notes=(
            RIDGE,
            "Of Gaussian experts the powers of intercepts and variances are those of the heat equation, put in here.",
        ),
    ),
    Entry(
        key="quadratic-polynomial-exact",
        gate=POLYNOMIAL,
        expert=LINEAR,
        specification="exact",
        status=Status.DERIVED,
        theorem="first-order independence, see interactions()",
        source=HERE,
        why=CLEAN,
        powers=_all(GATE, "gate.quadratic", SLOPES, INTERCEPTS, VARIANCES),
    ),
    Entry(
        key="quadratic-polynomial-over",
        gate=POLYNOMIAL,
        expert=LINEAR,
        specification="over",
        status=Status.ABSTRACT,
        theorem="the linear term brings the interaction of the softmax gate back; from the abstract, no rates read",
        source=QUADRATIC_PAPER,
        why=SPLIT,
        loss=Rate(None, words="not read"),
        rates={name: Rate(None, words="slower than n^{-1/4}") for name in (GATE, SLOPES, INTERCEPTS)},
        notes=(RIDGE,),
    ),
    Entry(
        key="softmax-squares-linear",
        gate=SOFTMAX,
        expert=LINEAR,
        specification="over",
        status=Status.ABSTRACT,
        theorem="linear experts, least squares; from the abstract",
        source=SQUARES_PAPER,
        why="The mixed derivative of the mean in gate slope and intercept is that in the expert's slope, and no "
        "variance makes up for it",
        rates=_slow(GATE, SLOPES, INTERCEPTS),
        loss=SLOW,
        objective="least_squares",
    ),
    Entry(
        key="softmax-squares-strong-exact",
        gate=SOFTMAX,
        expert=STRONG,
        specification="exact",
        status=Status.ABSTRACT,
        theorem="strongly identifiable experts, least squares; from the abstract",
        source=SQUARES_PAPER,
        why="Derivatives of the mean up to second order are independent",
        powers=_all(GATE, "expert parameters"),
        objective="least_squares",
    ),
    Entry(
        key="softmax-squares-strong-over",
        gate=SOFTMAX,
        expert=STRONG,
        specification="over",
        status=Status.ABSTRACT,
        theorem="strongly identifiable experts, least squares; from the abstract",
        source=SQUARES_PAPER,
        why="Derivatives of the mean up to second order are independent",
        powers=_all(GATE, "expert parameters", power=SQUARE),
        objective="least_squares",
    ),
    Entry(
        key="sigmoid-squares-over",
        gate=UNNORMALISED,
        expert=STRONG,
        specification="over",
        status=Status.ABSTRACT,
        theorem="regime 1 (over-specified slopes vanish in truth), least squares; from the abstract",
        source=SIGMOID_PAPER,
        why="Experts do not compete, so a gate's slope does not act on other experts",
        powers=_all(GATE, "expert parameters", power=SQUARE),
        objective="least_squares",
        regime="regime 1",
    ),
    Entry(
        key="sigmoid-squares-over-projection",
        gate=UNNORMALISED,
        expert=STRONG,
        specification="over",
        status=Status.ABSTRACT,
        theorem="regime 2, least squares; from the abstract",
        source=SIGMOID_PAPER,
        why="The fit converges to a projection of the truth, under weak identifiability",
        powers=_all(GATE, "expert parameters"),
        objective="least_squares",
        regime="regime 2",
    ),
    Entry(
        key="sigmoid-squares-polynomial-over",
        gate=UNNORMALISED,
        expert=WEAK,
        specification="over",
        status=Status.RECALLED,
        theorem="regime 1, linear and polynomial experts, least squares; from the abstract, which says slow",
        source=SIGMOID_PAPER,
        why="Which interaction makes them slow is not in the abstract",
        rates=_slow(GATE, "expert parameters"),
        loss=SLOW,
        objective="least_squares",
        regime="regime 1",
        notes=("That slow means slower than any power of n, as under a softmax gate, is recalled: UNVERIFIED.",),
    ),
    Entry(
        key="sigmoid-squares-polynomial-over-projection",
        gate=UNNORMALISED,
        expert=WEAK,
        specification="over",
        status=Status.ABSTRACT,
        theorem="regime 2, linear and polynomial experts, least squares; from the abstract",
        source=SIGMOID_PAPER,
        why="The fit converges to a projection of the truth, under weak identifiability",
        powers=_all(GATE, "expert parameters"),
        objective="least_squares",
        regime="regime 2",
    ),
    Entry(
        key="sigmoid-squares-constant-over-projection",
        gate=UNNORMALISED,
        expert=INPUT_FREE,
        specification="over",
        status=Status.RECALLED,
        theorem="regime 2, experts without covariates, least squares; from the abstract, which says slow",
        source=SIGMOID_PAPER,
        why="Which interaction makes them slow is not in the abstract",
        rates=_slow(GATE, "expert parameters"),
        loss=SLOW,
        objective="least_squares",
        regime="regime 2",
        notes=("That slow means slower than any power of n is recalled: UNVERIFIED.",),
    ),
    Entry(
        key="cosine-squares-over",
        gate=COSINE,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="as slow as a power of 1 / log n; from the abstract",
        source=COSINE_PAPER,
        why="The logit does not change along its own slopes: their length means nothing",
        rates=_slow(GATE, SLOPES, INTERCEPTS),
        loss=SLOW,
        objective="least_squares",
    ),
    Entry(
        key="perturbed-cosine-squares-over",
        gate=PERTURBED,
        expert=STRONG,
        specification="over",
        status=Status.RECALLED,
        theorem="perturbed norms; from the abstract",
        source=COSINE_PAPER,
        why="Perturbed norms give the length of the slopes a meaning",
        powers=_all(AMPLITUDES, "expert parameters", power=SQUARE),
        objective="least_squares",
        notes=(FREE_TEMPERATURE,),
    ),
    Entry(
        key="perturbed-cosine-squares-exact",
        gate=PERTURBED,
        expert=STRONG,
        specification="exact",
        status=Status.RECALLED,
        theorem="perturbed norms; from the abstract",
        source=COSINE_PAPER,
        why="Perturbed norms give the length of the slopes a meaning",
        powers=_all(AMPLITUDES, "expert parameters"),
        objective="least_squares",
        notes=(FREE_TEMPERATURE,),
    ),
    Entry(
        key="norga-squares-over",
        gate=NORGA,
        expert=LINEAR,
        specification="over",
        status=Status.ABSTRACT,
        theorem="bent residual, frozen experts with prompts; from the abstract",
        source=NORGA_PAPER,
        why="A bent residual breaks the identity of the softmax gate",
        powers=_all(GATE, SLOPES, INTERCEPTS, power=SQUARE),
        objective="least_squares",
    ),
    Entry(
        key="norga-unbent-squares-over",
        gate=NORGA_UNBENT,
        expert=LINEAR,
        specification="over",
        status=Status.ABSTRACT,
        theorem="residual without a bend: as slow as a power of 1 / log n; from the abstract",
        source=NORGA_PAPER,
        why="Scores stay linear: a mixed derivative in gate slope and intercept is that in the expert's slope",
        rates=_slow(GATE, SLOPES, INTERCEPTS),
        loss=SLOW,
        objective="least_squares",
    ),
)
