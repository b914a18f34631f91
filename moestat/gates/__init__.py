"""Gates: one file each, registered here by name."""

from moestat.component import Gate
from moestat.gates.cosine import Cosine, CosineParams
from moestat.gates.laplace import Laplace, LaplaceParams
from moestat.gates.norga import NoRGa
from moestat.gates.quadratic import MonomialParams, Quadratic, QuadraticParams
from moestat.gates.scores import ScoreParams
from moestat.gates.sigmoid import Sigmoid
from moestat.gates.softmax import Softmax, SoftmaxParams

GATES: dict[str, type[Gate]] = {gate.name: gate for gate in (Softmax, Laplace, Quadratic, Cosine, Sigmoid, NoRGa)}

__all__ = [
    "Cosine",
    "CosineParams",
    "GATES",
    "Gate",
    "Laplace",
    "LaplaceParams",
    "MonomialParams",
    "NoRGa",
    "Quadratic",
    "QuadraticParams",
    "ScoreParams",
    "Sigmoid",
    "Softmax",
    "SoftmaxParams",
]
