"""Experts: one file each, registered here by name."""

from moestat.component import Expert
from moestat.experts.binomial import Binomial, BinomialParams
from moestat.experts.constant import Constant
from moestat.experts.gamma import Gamma, GammaParams
from moestat.experts.gaussian import Gaussian, GaussianParams
from moestat.experts.known import Known
from moestat.experts.mixed import Mixed, MixedParams
from moestat.experts.multinomial import Multinomial, MultinomialParams
from moestat.experts.multivariate import MultivariateGaussian, MultivariateParams
from moestat.experts.noise import Noise, NoiseParams
from moestat.experts.poisson import Poisson, PoissonParams
from moestat.experts.zero import Zero

EXPERTS: dict[str, type[Expert]] = {
    expert.name: expert
    for expert in (
        Gaussian,
        MultivariateGaussian,
        Multinomial,
        Poisson,
        Binomial,
        Gamma,
        Known,
        Constant,
        Noise,
        Zero,
    )
}

__all__ = [
    "EXPERTS",
    "Binomial",
    "BinomialParams",
    "Constant",
    "Expert",
    "Gamma",
    "GammaParams",
    "Gaussian",
    "GaussianParams",
    "Known",
    "Mixed",
    "MixedParams",
    "Multinomial",
    "MultinomialParams",
    "MultivariateGaussian",
    "MultivariateParams",
    "Noise",
    "NoiseParams",
    "Poisson",
    "PoissonParams",
    "Zero",
]
