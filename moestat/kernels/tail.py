"""The tail of the standard normal distribution without branches, so that loops that call it vectorise.

``math.erfc`` is the C library's and scalar. Here the mass beyond x >= 0 is

    Phi(-x) = exp(-x^2 / 2) p(s) / (1 + sqrt(2) x),    s = 2.265 x / (x + 5.3) - 1,

with a polynomial p of degree 23 in s, which goes from -1 at x = 0 to 1 at x = 40. What p stands for lies between 1/2
and 0.71, so that its relative error is its absolute one, nearly. The idea of such a variable is that of Shepherd and
Laframboise.

References
----------
Shepherd and Laframboise (1981), Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf, Mathematics of
Computation 36.
"""

from __future__ import annotations

from moestat.kernels.compile import jit_inline
from moestat.kernels.vmath import vexp

SQRT_2 = 1.4142135623730951
STRETCH = 2.265  # s = 1 at x = 40, where exp(-x^2 / 2) is no double any more
BEND = 5.3

# p interpolates at the 24 Chebyshev nodes of [-1, 1]: a linear system for the coefficients of powers, solved with 60
# digits in mpmath. Their absolute values add up to 0.88, and their rounding leaves an error of 7e-17.
POWERS = (
    0.626928622134118,
    -0.06043136320971225,
    -0.014057881462143413,
    0.05097144501999944,
    -0.05368055673949716,
    0.038235714831429436,
    -0.020310937954370514,
    0.007977895348920008,
    -0.00207825512615574,
    0.00018727791983180885,
    0.0001016250647886383,
    -4.199127730393535e-05,
    3.7731417544644125e-07,
    3.788261006542357e-06,
    -5.92451510666687e-07,
    -3.132291141483701e-07,
    8.854760974429374e-08,
    2.8832014955837784e-08,
    -1.0688992012296715e-08,
    -3.154861281423719e-09,
    1.111796118586688e-09,
    3.60257043972927e-10,
    -7.538184318249255e-11,
    -2.8030950499378505e-11,
)
P0, P1, P2, P3, P4, P5, P6, P7, P8, P9, P10, P11 = POWERS[:12]
P12, P13, P14, P15, P16, P17, P18, P19, P20, P21, P22, P23 = POWERS[12:]

GRID = 6755399441055744.0 / 2**20  # adding it rounds to a multiple of 2^-20


@jit_inline
def bell(x: float) -> float:
    """exp(-x^2 / 2) to full relative precision for |x| < 37.6, 0 beyond: the square is not rounded."""
    near = (x + GRID) - GRID  # its square is exact
    rest = -0.5 * (x - near) * (x + near)
    result: float = vexp(-0.5 * near * near) * (1.0 + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0))))
    return result


@jit_inline
def tail_ratio(x: float) -> float:
    """Phi(-x) / exp(-x^2 / 2) for x >= 0, to full relative precision up to x = 40 at least."""
    s = STRETCH * x / (x + BEND) - 1.0
    s2 = s * s
    s4 = s2 * s2
    s8 = s4 * s4
    # Estrin's scheme: short dependency chains
    q0 = ((P0 + s * P1) + s2 * (P2 + s * P3)) + s4 * ((P4 + s * P5) + s2 * (P6 + s * P7))
    q1 = ((P8 + s * P9) + s2 * (P10 + s * P11)) + s4 * ((P12 + s * P13) + s2 * (P14 + s * P15))
    q2 = ((P16 + s * P17) + s2 * (P18 + s * P19)) + s4 * ((P20 + s * P21) + s2 * (P22 + s * P23))
    return (q0 + s8 * (q1 + s8 * q2)) / (1.0 + SQRT_2 * x)
