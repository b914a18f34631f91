"""Recovery by least squares: the fit comes at least as near to the rows as the truth, and most ends are certified.

Gates and experts are those that theory of least squares estimators speaks of: strongly identifiable means (sigmoid,
tanh) under softmax, NoRGa and sigmoid gates [arXiv 2402.02952, 2405.14124, 2405.13997], and lines under the sigmoid
gate that is not normalised.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import moestat as ms

pytestmark = pytest.mark.slow

DATA_SETS = 20
ROWS = 400
STARTS = 10

BENT = {"intercepts": [-1.0, 2.0], "slopes": [[3.0], [-4.0]], "scales": [3.0, -2.0], "variances": [1.0, 1.0]}
TURNED = {"intercepts": [1.0, 1.0], "slopes": [[3.0], [-2.0]], "scales": [3.0, 2.0], "variances": [1.0, 1.0]}
LINES = {"intercepts": [-1.0, 2.0], "slopes": [[3.0], [-4.0]], "variances": [1.0, 1.0]}
APART = {"intercepts": [0.5, 0.5], "slopes": [[5.0], [-3.0]]}

#: Gate, its truth, experts, their truth, and how many of the ends are strict minima: measured, less two. Tanh and
#: sigmoid have limits at infinity, a step or a line, which some of the samples prefer.
CASES = {
    "softmax": ("softmax", {"intercepts": [0.0, 0.0], "slopes": [[4.0], [0.0]]}, "sigmoid", BENT, 17),
    "norga": ("norga", {"intercepts": [0.5, 0.0], "slopes": [[2.0], [-2.0]]}, "tanh", TURNED, 14),
    "sigmoid": ("sigmoid", APART, "sigmoid", BENT, 18),
    "unnormalised": ("unnormalised_sigmoid", APART, "linear", LINES, 18),
}


@pytest.mark.parametrize("name", CASES)
def test_the_fit_is_at_least_as_near_as_the_truth(name):
    gate, gate_truth, form, expert_truth, strict = CASES[name]
    model = ms.MixtureOfExperts(gate=gate, expert=f"gaussian(form='{form}')", n_experts=2)
    params = model.params(gate=gate_truth, expert=expert_truth)
    farther, certified = [], 0
    for seed in range(DATA_SETS):
        rng = np.random.default_rng(seed)
        X = rng.uniform(-2.0, 2.0, (ROWS, 1))
        truth = model.predict(params, X)
        y = truth + 0.2 * rng.standard_normal(ROWS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ms.MoestatWarning)
            results = ms.fit(model, X, y, n_starts=STARTS, objective="least_squares")
        if results.rss > ((y - truth) ** 2).sum():
            farther.append(seed)
        certified += results.certificate.status is ms.Status.STRICT_MAXIMUM
    print(f"{name}: {certified} of {DATA_SETS} strict minima, {len(farther)} farther than the truth")
    assert farther == []
    assert certified >= strict
