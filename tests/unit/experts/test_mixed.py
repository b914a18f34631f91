"""A tuple of families: which experts may change places, and several responses."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError
from moestat.experts import Gaussian, Mixed, MultivariateGaussian, Noise


def test_experts_of_one_family_come_by_mass_and_the_others_keep_their_places():
    rng = np.random.default_rng(0)
    model = ms.MixtureOfExperts(gate="constant", expert=("poisson", "zero", "poisson"), n_experts=3)
    truth = model.params(
        gate={"intercepts": np.log([0.2, 0.25, 0.55])},
        expert=[{"intercepts": [3.0], "slopes": [[0.5]]}, {}, {"intercepts": [1.0], "slopes": [[-0.5]]}],
    )
    X = rng.uniform(-1, 1, size=(900, 1))
    fitted = ms.fit(model, X, model.sample(truth, X, rng), n_starts=5)
    first, _, last = fitted.gate_weights().mean(axis=0)
    assert first > 0.4 > last
    assert fitted.params.expert.members[0].intercepts[0] < 2.0 < fitted.params.expert.members[2].intercepts[0]


def test_settings_make_another_kind():
    families = Mixed((Gaussian(), Gaussian(variance="common"), Noise(), Gaussian(), Noise(level=1.0)))
    assert families.kinds(5).tolist() == [0, 1, 2, 0, 4]


def test_several_responses_need_families_that_all_describe_them():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(300, 1))
    upper = rng.random(300) < 0.5
    Y = np.where(upper[:, None], np.hstack([x + 2, x - 2]), np.hstack([-x - 2, 2 - x])) + 0.3 * rng.standard_normal(
        (300, 2)
    )
    pair = (MultivariateGaussian(), MultivariateGaussian(shape="diagonal"))
    fitted = ms.fit(ms.MixtureOfExperts(expert=pair), x, Y, n_starts=3)
    assert Mixed(pair).several_responses
    assert fitted.certificate.trusted
    assert fitted.expert_means(x).shape == (300, 2, 2)
    assert ms.MoERegressor(expert=pair, n_starts=3).fit(x, Y).predict(x).shape == (300, 2)
    assert not Mixed((MultivariateGaussian(), Gaussian())).several_responses
    with pytest.raises(InputError, match="gaussian expert models one response; got 2 columns"):
        ms.fit(ms.MixtureOfExperts(expert=(MultivariateGaussian(), Gaussian())), x, Y)
