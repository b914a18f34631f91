"""Exponential and logarithm without branches, so that LLVM vectorises the loops that call them.

``math.exp`` stays scalar with the wheels on PyPI. Relative errors here are below 4.5e-16; arguments
below -708 give exactly 0, which is what a switched-off expert needs.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from moestat.kernels.compile import jit_exact


@intrinsic
def _bits(typing_context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def _float(typing_context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), generate


LOG2E = 1.4426950408889634
ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to the nearest integer in the low bits
LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10
# 1 + r + r^2 (C2 + C3 r + ...) is exp(r) to 1.7e-17 for |r| <= log(2) / 2 (interpolation at Chebyshev nodes)
C2 = 0.5000000000000001
C3 = 0.16666666666666669
C4 = 0.04166666666662399
C5 = 0.008333333333330051
C6 = 0.0013888888917281794
C7 = 0.00019841269863105968
C8 = 2.480152119021773e-05
C9 = 2.7557268378684192e-06
C10 = 2.7620138719733994e-07
C11 = 2.5100424157005067e-08


@jit_exact
def vexp(x: float) -> float:
    """exp(x), vectorisable; 0 below -708, capped at x = 709, NaN for NaN."""
    y = min(x, 709.0)
    shifted = y * LOG2E + ROUND
    n = shifted - ROUND
    r = y - n * LN2_HIGH
    r = r - n * LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    # Estrin's scheme: short dependency chains
    q0 = (1.0 + r) + r2 * (C2 + r * C3)
    q1 = (C4 + r * C5) + r2 * (C6 + r * C7)
    q2 = (C8 + r * C9) + r2 * (C10 + r * C11)
    p = q0 + r4 * (q1 + r4 * q2)
    scaled: float = _float(_bits(p) + (_bits(shifted) << 52))
    return 0.0 if x < -708.0 else scaled


@jit_exact
def vexpm1(x: float) -> float:
    """exp(x) - 1 for x <= 0 without cancellation near zero, vectorisable; NaN for NaN."""
    y = max(x, -700.0)
    shifted = y * LOG2E + ROUND
    n = shifted - ROUND
    r = y - n * LN2_HIGH
    r = r - n * LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    q0 = r2 * (C2 + r * C3)
    q1 = (C4 + r * C5) + r2 * (C6 + r * C7)
    q2 = (C8 + r * C9) + r2 * (C10 + r * C11)
    power = _float(_bits(1.0) + (_bits(shifted) << 52))  # 2^n: with n = 0 nothing is subtracted, beyond nothing cancels
    less: float = power * (r + (q0 + r4 * (q1 + r4 * q2))) + (power - 1.0)
    return less


SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
INT_TO_FLOAT = 0x4338000000000000
L1 = 6.666666666666735130e-01
L2 = 3.999999999940941908e-01
L3 = 2.857142874366239149e-01
L4 = 2.222219843214978396e-01
L5 = 1.818357216161805012e-01
L6 = 1.531383769920937332e-01
L7 = 1.479819860510658591e-01


@jit_exact
def vlog(x: float) -> float:
    """log(x) for positive normal x, NaN for NaN, vectorisable (the reduction and coefficients of fdlibm)."""
    bits = _bits(x)
    k = (bits - SQRT_HALF_BITS) >> 52
    mantissa = _float(bits - (k << 52))
    exponent = _float(k + INT_TO_FLOAT) - ROUND
    f = mantissa - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (L2 + w * (L4 + w * L6))
    odd = z * (L1 + w * (L3 + w * (L5 + w * L7)))
    half = 0.5 * f * f
    result: float = exponent * LN2_HIGH - ((half - (s * (half + even + odd) + exponent * LN2_LOW)) - f)
    return result if x == x else x
