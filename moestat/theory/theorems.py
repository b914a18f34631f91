"""What the literature says about rates, as data: one entry per theorem.

How sure an entry is stands in its status:

    PROVED        a theorem, read in its paper or in one that quotes it
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

from moestat.component import Component
from moestat.theory.powers import HALF, ONE, SQUARE, SYSTEM, Power
from moestat.theory.rates import ROOT, SLOW, Rate


class Status(Enum):
    """How sure a fact is."""

    PROVED = "proved"
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
HERE = Source("this package", 0, "")


# --------------------------------------------------------------------------------------- kinds
def _unbent(activation: Any) -> bool:
    """Whether an activation is homogeneous, so that a temperature cannot be told from a scale."""
    return activation in ("identity", "relu")


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


SOFTMAX = Kind("softmax", "softmax", {"transform": None})
MODIFIED = Kind("softmax", "softmax of a bounded transform", {"transform": lambda transform: transform is not None})
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
        notes=(RIDGE, "Simulations speak for faster gate slopes, n^{-1/4}: see variant='sharp'."),
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
        notes=(RIDGE,),
    ),
    Entry(
        key="softmax-gaussian-merged",
        gate=SOFTMAX,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="refined loss with first-order moments of merged atoms",
        source=DENDROGRAM_PAPER,
        why="Merging the atoms of a cell averages their deviations, and first-order moments are regular",
        regime="merged atoms",
        rates={name: Rate(Fraction(1, 2), Fraction(1, 2)) for name in (GATE, SLOPES, INTERCEPTS, VARIANCES)},
        notes=(RIDGE,),
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
        status=Status.PROVED,
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
        regime="enough active experts",
        notes=(
            "Needs at least as many active experts as fitted ones fall to any K true ones: k - k* + K suffice.",
            RIDGE,
        ),
    ),
    Entry(
        key="topk-gaussian-over-too-few",
        gate=SEVERAL_OF,
        expert=LINEAR,
        specification="over",
        status=Status.PROVED,
        theorem="condition on the number of active experts, from the abstract",
        source=TOPK_PAPER,
        why="With too few active experts no fitted density comes near the true one",
        regime="too few active experts",
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
        status=Status.PROVED,
        theorem="minimax lower bound for the loss of every power r; from the abstract, its form is UNVERIFIED",
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
        status=Status.PROVED,
        theorem="minimax lower bound for the loss of every power r; from the abstract, its form is UNVERIFIED",
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
        status=Status.PROVED,
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
        status=Status.PROVED,
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
        status=Status.PROVED,
        theorem="regime 2; from the abstract",
        source=MULTINOMIAL_PAPER,
        why="Where an expert's slopes vanish, a mixed derivative in gate and intercept is the derivative in its slope",
        rates=_slow(GATE, SLOPES, INTERCEPTS),
        loss=SLOW,
        regime="some expert's slopes vanish",
    ),
    Entry(
        key="softmax-multinomial-over",
        gate=SOFTMAX,
        expert=MULTINOMIAL,
        specification="over",
        status=Status.PROVED,
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
        status=Status.PROVED,
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
        key="hierarchical-ss-over",
        gate=SS,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="loss L_(r/2, r, r/2), number of groups known",
        source=HIERARCHY_PAPER,
        why=f"{SPLIT}, already by the gate over the groups",
        powers={"gate.group.slopes": SQUARE, SLOPES: HALF, INTERCEPTS: SYSTEM, VARIANCES: HALF},
        notes=("With twice as many experts in a group as needed, the density has a flat ridge within that group.",),
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
        powers={"gate.group.centres": SQUARE, SLOPES: HALF, INTERCEPTS: SYSTEM, VARIANCES: HALF},
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
        powers={"gate.group.centres": SQUARE, SLOPES: SQUARE, INTERCEPTS: SYSTEM, VARIANCES: HALF},
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
        status=Status.PROVED,
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
        notes=(RIDGE,),
    ),
    Entry(
        key="sigmoid-gaussian-over-sparse",
        gate=SIGMOID,
        expert=LINEAR,
        specification="over",
        status=Status.PROVED,
        theorem="sparse regime (the slopes of over-specified atoms vanish in truth), routed experts",
        source=SHARED_PAPER,
        why="Where a gate's slope vanishes, its sigmoid acts like an exponential",
        powers={GATE: SYSTEM, SLOPES: HALF, INTERCEPTS: SYSTEM, VARIANCES: HALF},
        regime="sparse",
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
        key="softmax-squares-linear",
        gate=SOFTMAX,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
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
        status=Status.RECALLED,
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
        status=Status.RECALLED,
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
        status=Status.RECALLED,
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
        status=Status.RECALLED,
        theorem="regime 2, least squares; from the abstract",
        source=SIGMOID_PAPER,
        why="The fit converges to a projection of the truth, under weak identifiability",
        powers=_all(GATE, "expert parameters"),
        objective="least_squares",
        regime="regime 2",
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
        powers=_all(GATE, "expert parameters", power=SQUARE),
        objective="least_squares",
    ),
    Entry(
        key="norga-squares-over",
        gate=NORGA,
        expert=LINEAR,
        specification="over",
        status=Status.RECALLED,
        theorem="bent residual, frozen experts with prompts; from the abstract",
        source=NORGA_PAPER,
        why="A bent residual breaks the identity of the softmax gate",
        powers=_all(GATE, SLOPES, INTERCEPTS, power=SQUARE),
        objective="least_squares",
    ),
)
