"""Compiled arithmetic on blocks of rows; the only place that imports Numba.

Kernels take arrays and return arrays or scalars; they know nothing of gates, experts or parameters.
Blocks are feature-major, (features, B) and (K, B), C-contiguous, so that every inner loop runs over
contiguous rows and vectorises.
"""

from moestat.kernels.compile import jit
from moestat.kernels.linear import add_products, linear_predictor, row_dots
from moestat.kernels.vmath import vexp, vlog

__all__ = ["add_products", "jit", "linear_predictor", "row_dots", "vexp", "vlog"]
