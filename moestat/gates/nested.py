"""What gates that hold other gates share."""

from __future__ import annotations

from typing import Any

import numpy as np

from moestat.component import Gate
from moestat.data import Block
from moestat.errors import InputError
from moestat.gates.softmax import Softmax
from moestat.kernels import jit
from moestat.typing import FloatArray, IntArray

#: What a gate holds when nothing is said.
SOFTMAX = Softmax()


def check_inner(holder: str, setting: str, gate: Any) -> None:
    """Refuse what is no gate, and what has no logits of its own to work on: a joint likelihood."""
    if not isinstance(gate, Gate):
        raise InputError(
            f"{setting} of the {holder} gate must be a gate, such as Softmax(); got {gate!r}. "
            f"A name is read inside an expression only, as in gate='{holder}(softmax)'."
        )
    if not gate.normalised:
        raise InputError(
            f"{setting} of the {holder} gate must be a conditional gate; the {gate.name} gate, as it is set, is the "
            "law of the covariates as well. Use it alone, or in its conditional form."
        )
    if not gate.sums_to_one:
        raise InputError(
            f"{setting} of the {holder} gate must have weights that sum to one; those of the {gate.name} gate do not. "
            "Use it alone, or take 'sigmoid'."
        )


def jacobian(gate: Gate, local: FloatArray, block: Block, value: FloatArray) -> FloatArray:
    """J (K, q, B) of a gate, or (1, q, B) where all experts share it."""
    K, q = local.shape
    J = np.empty((1 if gate.known_features else K, q, block.weight.size))
    gate.jac(local, block, value, J)
    return J


def is_number(x: Any) -> bool:
    """Whether a setting is a finite real number."""
    return isinstance(x, int | float | np.integer | np.floating) and not isinstance(x, bool) and bool(np.isfinite(x))


def add_jacobian(
    gate: Gate, columns: IntArray, local: FloatArray, block: Block, value: FloatArray, out: FloatArray
) -> None:
    """Add the derivatives of a gate's logits in its flat parameters to out (K, P, B)."""
    _add_rows(jacobian(gate, local, block, value), columns, out)


def pulled(gate: Gate, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray) -> FloatArray:
    """sum_i weights[k, i] dV_ki of a gate, (K, q)."""
    out = np.zeros(local.shape)
    gate.pull(local, block, value, weights, out)
    return out


def curved(gate: Gate, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray) -> FloatArray:
    """sum_i weights[k, i] d2 V_ki of a gate, (K, q, q)."""
    out = np.zeros((*local.shape, local.shape[1]))
    if not gate.known_features:
        gate.curv(local, block, value, weights, out)
    return out


@jit
def _add_rows(J: FloatArray, columns: IntArray, out: FloatArray) -> None:
    """out[k, columns[k, a]] += J[k, a], or J[0, a] where all experts share it."""
    shared = J.shape[0] == 1
    for k in range(out.shape[0]):
        own = J[0 if shared else k]
        for a in range(columns.shape[1]):
            x = own[a]
            o = out[k, columns[k, a]]
            for j in range(o.size):
                o[j] += x[j]
