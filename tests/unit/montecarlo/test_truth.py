"""What data are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError
from moestat.montecarlo import Truth
from moestat.montecarlo.reading import Table
from moestat.montecarlo.truth import read_truth

NORMAL = {"law": "normal", "mean": 0.0, "sd": 1.0}
VARIANCES = {"law": "uniform", "low": 0.5, "high": 1.5}
LAWS = {
    "gate.intercepts": NORMAL,
    "gate.slopes": NORMAL,
    "expert.intercepts": NORMAL,
    "expert.slopes": NORMAL,
    "expert.variances": VARIANCES,
}
DRAWN = {"n_experts": 3, "n_features": 2, "seed": 5, "parameters": LAWS}
GIVEN = {
    "gate_params": {"intercepts": [0.0, 0.0], "slopes": [[0.5], [-0.5]]},
    "expert_params": {"intercepts": [1.5, -1.5], "slopes": [[0.5], [-0.5]], "variances": [0.3, 0.2]},
}


def read(values):
    return read_truth(Table(values, "truth"))


def test_parameters_as_stated():
    truth = read(GIVEN)
    assert truth.words == "softmax, 2 x gaussian"
    assert truth.n_features == 1
    assert truth.params.expert.variances.tolist() == [0.3, 0.2]
    assert truth.to_plain() == read(truth.to_plain()).to_plain()


def test_drawn_parameters_hang_on_their_seed_and_their_own_law_alone():
    once = read(DRAWN)
    assert once.params.gate.slopes.shape == (3, 2)
    assert (once.params.expert.variances > 0.5).all()
    assert "drawn once with seed 5" in once.drawn
    assert read(DRAWN).to_plain() == once.to_plain()
    other = read(DRAWN | {"parameters": dict(reversed(LAWS.items())) | {"gate.slopes": NORMAL | {"sd": 2.0}}})
    assert (other.params.expert.slopes == once.params.expert.slopes).all()
    np.testing.assert_allclose(other.params.gate.slopes, 2 * once.params.gate.slopes)
    assert (read(DRAWN | {"seed": 6}).params.expert.slopes != once.params.expert.slopes).all()


def test_responses_have_the_density_of_the_model():
    truth = read(GIVEN)
    X = np.full((200_000, 1), 0.7)
    y = truth.draw(X, np.random.default_rng(0))
    mean = truth.model.predict(truth.params, X[:1])[0]
    assert y.mean() == pytest.approx(mean, abs=5 * y.std() / np.sqrt(y.size))


def test_a_mean_with_noise_instead_of_a_mixture():
    truth = read(GIVEN | {"noise_sd": 0.25})
    X = np.linspace(-1, 1, 50_000)[:, None]
    rest = truth.draw(X, np.random.default_rng(0)) - truth.model.predict(truth.params, X)
    assert rest.std() == pytest.approx(0.25, rel=0.02)
    assert truth.to_plain()["noise_sd"] == 0.25


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "^truth.gate_params is missing"),
        (GIVEN | {"gate": "sofmax"}, "^truth: gate .*softmax"),
        (GIVEN | {"gate": 3}, "^truth.gate must be text"),
        (GIVEN | {"expert": "os.system"}, "^truth: expert"),
        (GIVEN | {"n_experts": 3}, "^truth: "),
        (GIVEN | {"n_experts": 0}, "^truth.n_experts must be a whole number from 1"),
        (GIVEN | {"gate_params": 3}, "^truth: gate must have the fields"),
        (GIVEN | {"gate_params": {"intercepts": [0.0, 0.0]}}, "^truth: gate must have the fields"),
        (GIVEN | {"gate_params": {"intercepts": [0.0, 0.0], "slopes": [0.5, 1.0]}}, "^truth: gate.slopes must have 2"),
        (
            GIVEN | {"gate_params": {"intercepts": [0.0, True], "slopes": [[0.5], [1.0]]}},
            r"^truth.gate_params.int.*\[1\]",
        ),
        (GIVEN | {"gate_params": {"intercepts": [0.0, 0.0], "slopes": [[1.0], [1.0, 2.0]]}}, "^truth: gate.slopes"),
        (GIVEN | {"expert_params": GIVEN["expert_params"] | {"variances": [0.3, -0.2]}}, "^truth: .*variances"),
        (
            GIVEN | {"expert_params": GIVEN["expert_params"] | {"slopes": [[1, 2], [3, 4]]}},
            "^truth: .* 1 of the gate and 2 ",
        ),
        (GIVEN | {"fixed": {"gate.slops": 0.0}}, "^truth: unknown parameter field 'gate.slops'"),
        (GIVEN | {"fixed": {"gate.slopes": [1.0, 2.0, 3.0]}}, "^truth: fixed"),
        (GIVEN | {"fixed": {"gate.slopes": "0"}}, "^truth.fixed.gate.slopes must be a number"),
        (GIVEN | {"noise_sd": 0.0}, "^truth.noise_sd must be"),
        (DRAWN | {"seed": -1}, "^truth.seed must be"),
        ({k: v for k, v in DRAWN.items() if k != "seed"}, "^truth.seed is missing"),
        (DRAWN | {"parameters": {}}, "^truth.parameters.gate.intercepts is missing"),
        (DRAWN | {"parameters": LAWS | {"gate.slops": NORMAL}}, "^truth.parameters.gate.slops is not known"),
        (DRAWN | {"parameters": LAWS | {"expert.variances": NORMAL}}, "^truth.parameters.expert.variances: .*drew"),
        (DRAWN | {"parameters": LAWS | {"gate.slopes": NORMAL | {"sd": -1.0}}}, "^truth.parameters.gate.slopes: sd"),
        (DRAWN | {"parameters": LAWS | {"gate.slopes": {"law": "cauchy"}}}, "^truth.parameters.gate.slopes.law"),
        (DRAWN | GIVEN, "^truth.*gate_params is not known"),
    ],
)
def test_truths_that_are_none(values, said):
    with pytest.raises(InputError, match=said):
        read(values)


def test_noise_is_for_numbers():
    model = ms.MixtureOfExperts(expert="multinomial", n_experts=2)
    params = model.params(
        gate={"intercepts": [0.0, 0.0], "slopes": [[1.0], [0.0]]},
        expert={"intercepts": [[0.0], [1.0]], "slopes": [[[1.0]], [[0.0]]]},
    )
    with pytest.raises(InputError, match="noise_sd is for responses that are numbers"):
        Truth(model, params, noise_sd=0.1)
    assert set(Truth(model, params).draw(np.zeros((50, 1)), np.random.default_rng(0)).tolist()) <= {0.0, 1.0}
