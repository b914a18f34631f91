"""Shards share out the replications, whatever there are of them."""

from __future__ import annotations

import pytest

from moestat.errors import InputError
from moestat.montecarlo.engine import Shard


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_every_replication_belongs_to_one_shard(count):
    shards = [Shard.parse(f"{i}/{count}") for i in range(1, count + 1)]
    for r in range(50):
        assert [shard.index for shard in shards if shard.takes(r)] == [r % count + 1]


@pytest.mark.parametrize("text", ["", "3", "a/b", "1/2/3", "-1/3", "1.0/3", "٣/٤", "1/" + "9" * 40])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(InputError, match="like '3/20'"):
        Shard.parse(text)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0"])
def test_parts_that_do_not_exist_are_refused(text):
    with pytest.raises(InputError, match=f"got '{text}'"):
        Shard.parse(text)
