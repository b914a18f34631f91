"""Forms of a Gaussian expert's mean.

    m_k(x) = a_k' x + b_k                                        linear
    m_k(x) = b_k + sum_u sum_{q <= p} a_kuq x_u^q                polynomial
    m_k(x) = s_k act(a_k' x + b_k)                               an activation by name, and its scale

Linear and polynomial means interact with the softmax gate, which slows their rates down; means through tanh or
sigmoid are strongly identifiable, and have faster ones                [Nguyen, Ho and Rinaldo 2024, arXiv 2402.02952;
s_k relu(a_k' x + b_k) is the ReLU expert of Nguyen, Doan, Pham, Bui, Ho and Rinaldo 2025, arXiv 2505.10860].
"""

from __future__ import annotations

from moestat.activations import ACTIVATIONS
from moestat.experts.activated import ActivatedGaussian
from moestat.experts.gaussian import Gaussian
from moestat.experts.polynomial import PolynomialGaussian

#: Forms of the mean, by name; `identity` would be a linear mean with a parameter too many.
FORMS = ("linear", "polynomial", *(name for name in ACTIVATIONS if name != "identity"))


def class_of(form: object) -> type[Gaussian]:
    """The class of Gaussian experts with this form of the mean."""
    if form == "polynomial":
        return PolynomialGaussian
    return ActivatedGaussian if form in FORMS and form != "linear" else Gaussian
