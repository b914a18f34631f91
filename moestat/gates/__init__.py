"""Gates: one file each, registered here by name."""

from moestat.component import Gate
from moestat.gates.softmax import Softmax, SoftmaxParams

GATES: dict[str, type[Gate]] = {gate.name: gate for gate in (Softmax,)}

__all__ = ["GATES", "Gate", "Softmax", "SoftmaxParams"]
