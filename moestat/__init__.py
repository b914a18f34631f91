"""moestat: statistical theory and simulation for mixture-of-experts gating.

    import moestat as ms

    model = ms.MixtureOfExperts(gate=ms.gates.Softmax(), expert=ms.experts.Gaussian(), n_experts=2)
    results = ms.fit(model, X, y)
    print(results.summary())

Names are imported when they are first used, so that ``import moestat`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from moestat import datasets, experts, gates, montecarlo, plotting, solvers, starts, theory
    from moestat.certificate import Certificate, Status
    from moestat.data import BlockSource, Data
    from moestat.errors import (
        ConvergenceWarning,
        EmptyExpertWarning,
        InputError,
        MoestatError,
        MoestatWarning,
        NotIdentifiedError,
        NotIdentifiedWarning,
        RankDeficientWarning,
        ScaleWarning,
        SeparationWarning,
        SpikeWarning,
    )
    from moestat.estimators import MoEClassifier, MoERegressor
    from moestat.fitting import fit
    from moestat.formula import FormulaModel, moe
    from moestat.loading import load
    from moestat.model import MixtureOfExperts, MoEParams
    from moestat.prepared import Prepared, prepare
    from moestat.results import Results
    from moestat.squares_results import LeastSquaresResults
    from moestat.warming import warmup

_MODULES = ("datasets", "experts", "gates", "montecarlo", "plotting", "solvers", "starts", "theory", "threads")
_NAMES = {
    "BlockSource": "data",
    "Certificate": "certificate",
    "ConvergenceWarning": "errors",
    "Data": "data",
    "InputError": "errors",
    "LeastSquaresResults": "squares_results",
    "MixtureOfExperts": "model",
    "MoEClassifier": "estimators",
    "MoEParams": "model",
    "MoERegressor": "estimators",
    "MoestatError": "errors",
    "MoestatWarning": "errors",
    "NotIdentifiedError": "errors",
    "Results": "results",
    "Status": "certificate",
    "EmptyExpertWarning": "errors",
    "NotIdentifiedWarning": "errors",
    "RankDeficientWarning": "errors",
    "ScaleWarning": "errors",
    "SeparationWarning": "errors",
    "SpikeWarning": "errors",
    "FormulaModel": "formula",
    "fit": "fitting",
    "moe": "formula",
    "load": "loading",
    "warmup": "warming",
    "Prepared": "prepared",
    "prepare": "prepared",
}

__all__ = [
    "BlockSource",
    "Certificate",
    "ConvergenceWarning",
    "Data",
    "FormulaModel",
    "InputError",
    "LeastSquaresResults",
    "MixtureOfExperts",
    "MoEClassifier",
    "MoEParams",
    "MoERegressor",
    "MoestatError",
    "MoestatWarning",
    "NotIdentifiedError",
    "Prepared",
    "Results",
    "Status",
    "EmptyExpertWarning",
    "NotIdentifiedWarning",
    "RankDeficientWarning",
    "ScaleWarning",
    "SeparationWarning",
    "SpikeWarning",
    "__version__",
    "datasets",
    "experts",
    "fit",
    "gates",
    "load",
    "moe",
    "montecarlo",
    "plotting",
    "prepare",
    "solvers",
    "starts",
    "theory",
    "threads",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"moestat.{name}")
    if name in _NAMES:
        value = getattr(import_module(f"moestat.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'moestat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()))
