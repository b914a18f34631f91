"""Random numbers by name: a stream for every purpose, found from what it is for and from nothing else.

A stream belongs to the study's seed and to words that say what it is for. Workers, batches, order and engine cannot
change it, and streams of different words are independent for all that matters.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """The generator of a purpose.

    Parameters
    ----------
    seed : int
        The study's.
    *purpose : str or int
        Words and numbers; which are told from each other, and their order counts.

    Returns
    -------
    numpy.random.Generator
        PCG64DXSM.
    """
    return np.random.Generator(np.random.PCG64DXSM(_sequence(seed, purpose)))


def number(seed: int, *purpose: str | int) -> int:
    """A seed of 31 bits for what takes a number."""
    return int(_sequence(seed, purpose).generate_state(1)[0] >> np.uint32(1))


def _sequence(seed: int, purpose: tuple[str | int, ...]) -> np.random.SeedSequence:
    text = "".join(f"{type(word).__name__}:{len(str(word))}:{word}," for word in purpose)
    digest = blake2b(text.encode(), digest_size=16).digest()
    words = np.frombuffer(digest, dtype="<u4")
    return np.random.SeedSequence(seed, spawn_key=tuple(int(word) for word in words))
