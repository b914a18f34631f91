"""Shards: parts of a study for batch schedulers, that need not know each other."""

from __future__ import annotations

import re
from dataclasses import dataclass

from moestat.errors import InputError


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``: the replications r with r mod count = index - 1, whatever the study has of them.

    Parameters
    ----------
    index : int
        From 1 to count.
    count : int

    Raises
    ------
    InputError
        When there is no such part.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise InputError(f"shard must be i/m with 1 <= i <= m; got '{self.index}/{self.count}'. Count from 1.")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that a text like ``3/20`` names.

        Raises
        ------
        InputError
            When the text names none.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if found is None:
            raise InputError(f"shard must be two whole numbers like '3/20', the third of twenty parts; got {text!r}.")
        return cls(int(found[1]), int(found[2]))

    def takes(self, replication: int) -> bool:
        """Whether a replication belongs to this part."""
        return replication % self.count == self.index - 1
