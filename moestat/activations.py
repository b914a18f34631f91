"""Activations and transforms by name: scalar functions with their first two derivatives.

``identity``, ``tanh``, ``sigmoid`` 1 / (1 + e^-z), ``softplus`` log(1 + e^z), ``silu`` z sigmoid(z), ``gelu`` z Phi(z)
with the exact normal distribution function, ``relu`` max(z, 0), ``sin``, ``cos``, ``arctan`` and ``softsign``
z / (1 + |z|). Compiled code takes ``activation.code`` and calls `moestat.kernels.activations.activate` (values) or
`differentiate` (values and both derivatives) on a row of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from moestat.errors import InputError
from moestat.kernels import activations as kernels
from moestat.spelling import suggestion
from moestat.typing import FloatArray


@dataclass(frozen=True)
class Activation:
    """A scalar function a(z) by name.

    Parameters
    ----------
    name : str
    code : int
        What kernels know it by.
    bounded : bool
        Its values stay in an interval.
    homogeneous : bool
        a(t z) = t a(z) for every t > 0: a scale before it and one behind it cannot be told apart.
    smooth : bool
        It has a second derivative everywhere. At a kink the derivatives are those stated with the kernels.
    odd_about : float, optional
        The value c with a(-z) - c = c - a(z) for every z, where there is one.
    """

    name: str
    code: int
    bounded: bool = False
    homogeneous: bool = False
    smooth: bool = True
    odd_about: float | None = None

    def value(self, z: FloatArray) -> FloatArray:
        """a(z), in the shape of z."""
        return self._derivatives(z)[0]

    def slope(self, z: FloatArray) -> FloatArray:
        """a'(z)."""
        return self._derivatives(z)[1]

    def curvature(self, z: FloatArray) -> FloatArray:
        """a''(z)."""
        return self._derivatives(z)[2]

    def _derivatives(self, z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        z = np.asarray(z, dtype=np.float64)
        value, slope, curvature = (np.empty(z.shape) for _ in range(3))
        kernels.differentiate(self.code, z.ravel(), value.ravel(), slope.ravel(), curvature.ravel())
        return value, slope, curvature


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("identity", kernels.IDENTITY, homogeneous=True, odd_about=0.0),
        Activation("tanh", kernels.TANH, bounded=True, odd_about=0.0),
        Activation("sigmoid", kernels.SIGMOID, bounded=True, odd_about=0.5),
        Activation("softplus", kernels.SOFTPLUS),
        Activation("silu", kernels.SILU),
        Activation("gelu", kernels.GELU),
        Activation("relu", kernels.RELU, homogeneous=True, smooth=False),
        Activation("sin", kernels.SIN, bounded=True, odd_about=0.0),
        Activation("cos", kernels.COS, bounded=True),
        Activation("arctan", kernels.ARCTAN, bounded=True, odd_about=0.0),
        Activation("softsign", kernels.SOFTSIGN, bounded=True, smooth=False, odd_about=0.0),
    )
}


def activation_named(name: Any, what: str = "activation") -> Activation:
    """The activation of this name.

    Parameters
    ----------
    name : str
    what : str
        The setting that named it, for messages.

    Raises
    ------
    InputError
        With the list of names.
    """
    if isinstance(name, str) and name in ACTIVATIONS:
        return ACTIVATIONS[name]
    near = suggestion(name, ACTIVATIONS) if isinstance(name, str) else ""
    raise InputError(f"{what} must be one of {list(ACTIVATIONS)}; got {name!r}.{near}")
