"""One expert is a generalised linear model: what statsmodels says of it."""

from __future__ import annotations

import numpy as np
import statsmodels.api as sm

import moestat as ms


def covariates(rng, n=300):
    """Covariates, offsets and exposures."""
    return rng.standard_normal((n, 2)), 0.3 * rng.standard_normal(n), rng.uniform(0.5, 3.0, n)


def one_expert(expert, X, y, **terms):
    return ms.fit(ms.MixtureOfExperts(expert=expert, n_experts=1), X, y, **terms)


def glm(X, y, family, **terms):
    return sm.GLM(y, sm.add_constant(X), family=family, **terms).fit(tol=1e-14, maxiter=200)


def assert_same_fit(results, other):
    """Coefficients, log-likelihood and standard errors to 1e-8."""
    p = len(other.params)
    np.testing.assert_allclose(results.estimates.to_numpy()[:p], other.params, atol=1e-8)
    np.testing.assert_allclose(results.llf, other.llf, rtol=1e-10)
    np.testing.assert_allclose(results.bse.to_numpy()[:p], other.bse, atol=1e-8)


def frequencies(draws, law, counts):
    """Chi-squared distance of frequencies of draws from those of a discrete law, per degree of freedom."""
    expected = draws.size * law(counts)
    seen = np.array([(draws == c).sum() for c in counts])
    kept = expected > 5
    return float(((seen - expected)[kept] ** 2 / expected[kept]).sum() / kept.sum())
