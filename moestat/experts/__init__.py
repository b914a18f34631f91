"""Experts: one file each, registered here by name."""

from moestat.component import Expert
from moestat.experts.gaussian import Gaussian, GaussianParams
from moestat.experts.mixed import Mixed, MixedParams
from moestat.experts.multinomial import Multinomial, MultinomialParams

EXPERTS: dict[str, type[Expert]] = {expert.name: expert for expert in (Gaussian, Multinomial)}

__all__ = [
    "EXPERTS",
    "Expert",
    "Gaussian",
    "GaussianParams",
    "Mixed",
    "MixedParams",
    "Multinomial",
    "MultinomialParams",
]
