"""What data are drawn from: a model with parameters, stated, or drawn once from a stated law."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moestat.component import Dims
from moestat.data import Schema
from moestat.errors import InputError
from moestat.expressions import spoken_experts, write
from moestat.model import MixtureOfExperts, MoEParams
from moestat.montecarlo.canonical import floats
from moestat.montecarlo.reading import REQUIRED, Table, at
from moestat.montecarlo.seeds import stream
from moestat.predictor_form import raw_units
from moestat.typing import FloatArray

#: Laws of random parameters, and the names of their two numbers.
PARAMETER_LAWS: dict[str, tuple[str, str]] = {"normal": ("mean", "sd"), "uniform": ("low", "high")}


@dataclass(frozen=True, eq=False)
class Truth:
    """The law of the response.

    Parameters
    ----------
    model : MixtureOfExperts
    params : MoEParams
        In the user's units, by ``model.params(gate=..., expert=...)``.
    noise_sd : float, optional
        The response is the mean of the model and normal noise of this standard deviation, as in regression; left out,
        the response is drawn from the model's density.
    drawn : str
        How the parameters came about, where they were drawn.
    """

    model: MixtureOfExperts
    params: MoEParams
    noise_sd: float | None = None
    drawn: str = ""

    def __post_init__(self) -> None:
        schema = self.schema
        if schema.gate_features != schema.features:
            raise InputError(
                f"gate and experts see the same covariates; these parameters are for {len(schema.gate_features)} of "
                f"the gate and {len(schema.features)} of the experts."
            )
        self.model.holding(schema, raw_units(schema))
        if self.noise_sd is None:
            self.model.gate.check_density()
        elif self.model.expert.categorical or self.model.expert.discrete:
            raise InputError("noise_sd is for responses that are numbers; these experts describe classes or counts.")

    @property
    def schema(self) -> Schema:
        """The columns that the parameters imply."""
        return self.model.schema_of(self.params)

    @property
    def n_features(self) -> int:
        """Number of covariates."""
        return len(self.schema.features)

    @property
    def words(self) -> str:
        """Its components: ``softmax, 2 x gaussian``."""
        return f"{write(self.model.gate)}, {spoken_experts(self.model.expert, self.model.n_experts)}"

    def draw(self, X: FloatArray, rng: np.random.Generator) -> FloatArray:
        """A response for every row of X (n, d)."""
        if self.noise_sd is None:
            return self.model.sample(self.params, X, rng)
        mean = self.model.predict(self.params, X)
        return np.asarray(mean + self.noise_sd * rng.standard_normal(mean.shape))

    def to_plain(self) -> dict[str, Any]:
        """Everything the data depend on."""
        found = plain_model(self.model) | {
            "gate_params": floats(self.params.gate),
            "expert_params": floats(self.params.expert),
        }
        return found if self.noise_sd is None else found | {"noise_sd": float(self.noise_sd)}


def plain_model(model: MixtureOfExperts) -> dict[str, Any]:
    """A model's settings as plain data."""
    found = {"gate": write(model.gate), "expert": write(model.expert), "n_experts": model.n_experts}
    return found | ({"fixed": floats(dict(model.fixed))} if model.fixed else {})


def read_truth(table: Table) -> Truth:
    """A truth from its table in a study file."""
    gate, expert = table.text("gate", "softmax"), table.text("expert", "gaussian")
    noise_sd = table.number("noise_sd", above=0.0) if table.has("noise_sd") else None
    fixed = table.numbers("fixed", None)
    if table.has("parameters"):
        drawn = table.table("parameters")
        n_experts = table.whole("n_experts", least=1, most=100)
        n_features = table.whole("n_features", 1, least=1, most=1000)
        n_classes = table.whole("n_classes", 2, least=2, most=1000)
        seed = table.whole("seed", most=2**63)
        table.done()
        with at(table.path):
            model = MixtureOfExperts(gate=gate, expert=expert, n_experts=n_experts, fixed=fixed)
        params, words = _drawn(model, Dims(n_experts, n_features, 1, n_classes), drawn, seed)
        with at(table.path):
            return Truth(model, params, noise_sd, words)
    given = {side: table.numbers(f"{side}_params") for side in ("gate", "expert")}
    n_experts = table.whole("n_experts", _count(given["expert"]), least=1, most=100)
    table.done()
    with at(table.path):
        model = MixtureOfExperts(gate=gate, expert=expert, n_experts=n_experts, fixed=fixed)
        return Truth(model, model.params(**given), noise_sd)


def _count(expert: Any) -> Any:
    """How many experts the parameters are of, where that can be seen."""
    if isinstance(expert, list):
        return len(expert)
    if isinstance(expert, Mapping):
        lengths = {len(value) for value in expert.values() if isinstance(value, list)}
        return min(lengths) if lengths else REQUIRED
    return REQUIRED


# --------------------------------------------------------------------------------------- drawn
def _drawn(model: MixtureOfExperts, dims: Dims, laws: Table, seed: int) -> tuple[MoEParams, str]:
    """Parameters of which every field has its law, and the laws in words; a field's draws hang on its name alone."""
    schema = _schema(model, dims)
    layout = model.layout(schema)
    theta, words = np.empty(layout.size), []
    for path, slot, start in layout.leaves():
        law = _ParameterLaw.read(laws.table(path))
        values = law.draw(stream(seed, "truth", path), slot.shape)
        with at(laws.at(path)):
            if not slot.support.contains(values):
                raise InputError(f"{slot.support.rule}; this law drew {values.ravel()[:4].tolist()} ...")
        theta[start : start + slot.size] = slot.support.free(values).ravel()
        words.append(f"{path} {law.words}")
    laws.done()
    return layout.unpack(theta), f"drawn once with seed {seed}: {'; '.join(words)}"


def _schema(model: MixtureOfExperts, dims: Dims) -> Schema:
    features = tuple(f"x{i + 1}" for i in range(dims.n_features))
    return Schema(features, features, ("y",), tuple(range(dims.n_classes)) if model.expert.categorical else None)


@dataclass(frozen=True)
class _ParameterLaw:
    """The law of the entries of a field."""

    law: str
    numbers: tuple[float, float]

    @staticmethod
    def read(table: Table) -> _ParameterLaw:
        law = table.choice("law", list(PARAMETER_LAWS))
        first, second = (table.number(name) for name in PARAMETER_LAWS[law])
        table.done()
        if (law == "normal" and second < 0) or (law == "uniform" and second < first):
            rule = "sd must not be negative" if law == "normal" else "high must not be less than low"
            raise InputError(f"{table.path}: {rule}; got {second:g}.")
        return _ParameterLaw(law, (first, second))

    @property
    def words(self) -> str:
        return f"{self.law}({self.numbers[0]:g}, {self.numbers[1]:g})"

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        return rng.normal(*self.numbers, shape) if self.law == "normal" else rng.uniform(*self.numbers, shape)
