"""The page on the theory holds what the program says now: its table, and what its examples print."""

from __future__ import annotations

import numpy as np

import moestat as ms
from simulations.theory_page import BEGIN, END, PAGE, difference, page, two_vectors


def test_the_page_is_what_is_generated():
    """After a change: ``python -m simulations.theory_page``."""
    text = PAGE.read_text()
    assert page(text) == text


def test_the_table_is_generated_from_the_entries():
    text = PAGE.read_text()
    assert text.split(BEGIN)[1].split(END)[0].strip() == ms.theory.rates_table()


def test_a_reader_asks_in_three_lines():
    """The first example: import, and one call."""
    code = PAGE.read_text().split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) <= 3


def test_the_picture_shows_one_density():
    _, one, two = two_vectors()
    assert np.abs(one.gate.slopes - two.gate.slopes).min() > 1
    assert difference(np.linspace(-2, 2, 101), np.linspace(-2.5, 3.5, 101)) <= 1e-15
