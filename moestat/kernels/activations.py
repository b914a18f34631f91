"""Named scalar functions with first and second derivative, on rows of numbers, chosen by an integer code.

Each is one function of a scalar that returns (value, slope, curvature); what a loop does not use, the compiler
drops. Exponentials are those of `vmath` and the normal mass of gelu is that of `tail`, so that these loops vectorise;
sin, cos and arctan are the C library's.

At a kink the derivatives are one choice among the one-sided ones: relu has slope 0 and curvature 0 at zero,
softsign, whose curvature jumps from 2 to -2 there, has curvature 0.
"""

from __future__ import annotations

from math import atan, cos, pi, sin, sqrt

from moestat.kernels.compile import jit, jit_exact, jit_inline
from moestat.kernels.tail import bell, tail_ratio
from moestat.kernels.vmath import vexp, vexpm1, vlog
from moestat.typing import FloatArray

IDENTITY, TANH, SIGMOID, SOFTPLUS, SILU, GELU, RELU, SIN, COS, ARCTAN, SOFTSIGN = range(11)

Triple = tuple[float, float, float]

NORMAL_TOP = 1.0 / sqrt(2 * pi)


@jit_exact
def _identity(z: float) -> Triple:
    return z, 1.0, 0.0


@jit_exact
def _tanh(z: float) -> Triple:
    m = vexpm1(-2.0 * abs(z))
    t = -m / (2.0 + m)
    v = t if z >= 0.0 else -t
    slope = 4.0 * (1.0 + m) / ((2.0 + m) * (2.0 + m))  # 1 - t^2 would cancel where t is near one
    return v, slope, -2.0 * v * slope


@jit_exact
def _sigmoid(z: float) -> Triple:
    e = vexp(-abs(z))
    large = 1.0 / (1.0 + e)
    small = e * large
    v = large if z >= 0.0 else small
    slope = small * large
    flank = (e - 1.0) * large  # -|1 - 2 v|
    turn = slope * flank
    return v, slope, turn if z >= 0.0 else -turn


@jit_exact
def _softplus(z: float) -> Triple:
    e = vexp(-abs(z))  # not by way of _sigmoid: longer functions are not inlined, and their loops not vectorised
    large = 1.0 / (1.0 + e)
    small = e * large
    return 0.5 * (z + abs(z)) + vlog(1.0 + e), large if z >= 0.0 else small, small * large


@jit_exact
def _silu(z: float) -> Triple:
    v, slope, curvature = _sigmoid(z)
    return z * v, v + z * slope, 2.0 * slope + z * curvature


@jit_inline
def _gelu(z: float) -> Triple:
    top = bell(z)
    tail = top * tail_ratio(abs(z))
    mass = 1.0 - tail if z > 0.0 else tail
    density = NORMAL_TOP * top
    return z * mass, mass + z * density, (2.0 - z * z) * density


@jit_exact
def _relu(z: float) -> Triple:
    return max(z, 0.0), 1.0 if z > 0.0 else 0.0, 0.0


@jit_exact
def _sin(z: float) -> Triple:
    s = sin(z)
    return s, cos(z), -s


@jit_exact
def _cos(z: float) -> Triple:
    c = cos(z)
    return c, -sin(z), -c


@jit_exact
def _arctan(z: float) -> Triple:
    slope = 1.0 / (1.0 + z * z)
    return atan(z), slope, -2.0 * z * slope * slope


@jit_exact
def _softsign(z: float) -> Triple:
    t = 1.0 / (1.0 + abs(z))
    kink = 0.0 if z == 0.0 else (-2.0 if z > 0.0 else 2.0)
    return z * t, t * t, kink * t * t * t


@jit
def activate(code: int, z: FloatArray, value: FloatArray) -> None:
    """value = a(z) of the function with this code.   z, value (B,), which may be one array."""
    if code == IDENTITY:
        for j in range(z.size):
            value[j] = z[j]
    elif code == TANH:
        for j in range(z.size):
            value[j] = _tanh(z[j])[0]
    elif code == SIGMOID:
        for j in range(z.size):
            value[j] = _sigmoid(z[j])[0]
    elif code == SOFTPLUS:
        for j in range(z.size):
            value[j] = _softplus(z[j])[0]
    elif code == SILU:
        for j in range(z.size):
            value[j] = _silu(z[j])[0]
    elif code == GELU:
        for j in range(z.size):
            value[j] = _gelu(z[j])[0]
    elif code == RELU:
        for j in range(z.size):
            value[j] = _relu(z[j])[0]
    elif code == SIN:
        for j in range(z.size):
            value[j] = _sin(z[j])[0]
    elif code == COS:
        for j in range(z.size):
            value[j] = _cos(z[j])[0]
    elif code == ARCTAN:
        for j in range(z.size):
            value[j] = _arctan(z[j])[0]
    else:
        for j in range(z.size):
            value[j] = _softsign(z[j])[0]


@jit
def differentiate(code: int, z: FloatArray, value: FloatArray, slope: FloatArray, curvature: FloatArray) -> None:
    """value = a(z), slope = a'(z) and curvature = a''(z) of the function with this code; all (B,)."""
    if code == IDENTITY:
        for j in range(z.size):
            value[j], slope[j], curvature[j] = _identity(z[j])
    elif code == TANH:
        for j in range(z.size):
            value[j], slope[j], curvature[j] = _tanh(z[j])
    elif code == SIGMOID:
        for j in range(z.size):
            value[j], slope[j], curvature[j] = _sigmoid(z[j])
    elif code == SOFTPLUS:
        for j in range(z.size):
            value[j], slope[j], curvature[j] = _softplus(z[j])
    elif code == SILU:
        for j in range(z.size):
            value[j], slope[j], curvature[j] = _silu(z[j])
    elif code == GELU:
        for j in range(z.size):
            value[j], slope[j], curvature[j] = _gelu(z[j])
    elif code == RELU:
        for j in range(z.size):
            value[j], slope[j], curvature[j] = _relu(z[j])
    elif code == SIN:
        for j in range(z.size):
            value[j], slope[j], curvature[j] = _sin(z[j])
    elif code == COS:
        for j in range(z.size):
            value[j], slope[j], curvature[j] = _cos(z[j])
    elif code == ARCTAN:
        for j in range(z.size):
            value[j], slope[j], curvature[j] = _arctan(z[j])
    else:
        for j in range(z.size):
            value[j], slope[j], curvature[j] = _softsign(z[j])
