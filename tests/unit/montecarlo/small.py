"""Small studies that end within seconds."""

from __future__ import annotations

from dataclasses import replace

import moestat as ms
from moestat.montecarlo import MLE, Design, FittedModel, Published, Record, Study, Uniform
from tests.unit.montecarlo.own import Fixed, gaussian_truth

K2, K3 = (FittedModel(f"K{K}", ms.MixtureOfExperts(n_experts=K)) for K in (2, 3))

#: Two models, an estimate that starts from a recipe and the truth, and the recipe.
REAL = Study(
    "real",
    gaussian_truth(),
    Design([60, 120], 6),
    [K3, K2],
    covariates=Uniform(-2.0, 2.0),
    protocols=[MLE(n_starts=2, polish_from=("published", "truth")), Published(tries=2)],
    record=Record(distances=("hellinger", "measure"), reference="K2", distance_points=16),
    seed=3,
)

#: Ends at the truth, but fails where the first covariate is below -1, and warns where it is above 1.
FAULTY = Fixed(fails_below=-1.0, warns_above=1.0)

#: Some protocols of which one goes wrong.
WITH_FAULTS = replace(
    REAL,
    design=Design([60], 20),
    fits=[K2],
    protocols=[MLE(n_starts=1, polish_from=("fixed",)), FAULTY, Published()],
    record=Record(),
    text="",
)
