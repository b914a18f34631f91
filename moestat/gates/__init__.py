"""Gates: one file each, registered here by name."""

from moestat.component import Gate
from moestat.gates.activation import Activation, ActivationParams, HeldActivationParams
from moestat.gates.adaptive import AdaptiveTemperature, AdaptiveTemperatureParams
from moestat.gates.constant import Constant, ConstantParams, GivenWeightsParams
from moestat.gates.cosine import Cosine, CosineParams
from moestat.gates.entmax import Entmax
from moestat.gates.gaussian import Gaussian, GaussianLogitsParams, JointParams
from moestat.gates.gumbel import Gumbel, GumbelParams
from moestat.gates.hierarchical import GroupParams, Hierarchical, HierarchicalParams
from moestat.gates.laplace import Laplace, LaplaceParams
from moestat.gates.noisy import NoisyTopK, NoisyTopKParams
from moestat.gates.norga import NoRGa
from moestat.gates.quadratic import MonomialParams, Quadratic, QuadraticParams
from moestat.gates.scores import ScoreParams
from moestat.gates.sigmoid import Sigmoid, UnnormalisedSigmoid
from moestat.gates.softmax import Softmax, SoftmaxParams
from moestat.gates.sparsemax import Sparsemax
from moestat.gates.temperature import ConditionalTemperatureParams, Temperature, TemperatureParams
from moestat.gates.threshold import Threshold
from moestat.gates.topk import TopK
from moestat.gates.tsallis import EntmaxParams

GATES: dict[str, type[Gate]] = {
    gate.name: gate
    for gate in (
        Softmax,
        Laplace,
        Quadratic,
        Cosine,
        Sigmoid,
        UnnormalisedSigmoid,
        NoRGa,
        Constant,
        Temperature,
        AdaptiveTemperature,
        Activation,
        Sparsemax,
        Entmax,
        Threshold,
        Hierarchical,
        Gaussian,
        TopK,
        Gumbel,
        NoisyTopK,
    )
}

__all__ = [
    "Activation",
    "ActivationParams",
    "AdaptiveTemperature",
    "AdaptiveTemperatureParams",
    "ConditionalTemperatureParams",
    "Constant",
    "ConstantParams",
    "Cosine",
    "CosineParams",
    "Entmax",
    "EntmaxParams",
    "GATES",
    "Gate",
    "Gaussian",
    "GaussianLogitsParams",
    "GivenWeightsParams",
    "GroupParams",
    "HeldActivationParams",
    "Gumbel",
    "GumbelParams",
    "Hierarchical",
    "HierarchicalParams",
    "JointParams",
    "Laplace",
    "LaplaceParams",
    "MonomialParams",
    "NoRGa",
    "NoisyTopK",
    "NoisyTopKParams",
    "Quadratic",
    "QuadraticParams",
    "ScoreParams",
    "Sigmoid",
    "Softmax",
    "SoftmaxParams",
    "Sparsemax",
    "Temperature",
    "TemperatureParams",
    "Threshold",
    "UnnormalisedSigmoid",
    "TopK",
]
