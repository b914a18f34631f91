"""Shards of a study become one store, and nothing is written where they contradict each other."""

from __future__ import annotations

import dataclasses

import pytest

from moestat.errors import InputError, MoestatWarning, StoreError
from moestat.montecarlo.store import Store, merge, verify
from tests.unit.montecarlo.store.studies import CELLS, STUDY, batch, cell, digest_of, filled, row


def shards(folder, **options):
    return [filled(folder / f"shard {i}", replications=range(i, 20, 3), **options) for i in range(3)]


def test_shards_add_up(tmp_path):
    done = merge(tmp_path / "all", shards(tmp_path))
    assert (done.added, done.repeated) == (80, 0)
    assert verify(tmp_path / "all").clean
    assert digest_of(tmp_path / "all") == digest_of(filled(tmp_path / "at once"))
    with Store.open(tmp_path / "all") as store:
        assert store.study == STUDY
        assert len(store.timings()) == 80


def test_what_is_there_already_is_not_added_again(tmp_path):
    target = filled(tmp_path / "all", replications=range(10))
    size = verify(target).batches
    parts = shards(tmp_path)
    assert merge(target, parts).added == 40
    assert merge(target, [*parts, filled(tmp_path / "more", replications=range(15, 22))]).added == 8
    done = merge(target, parts)
    assert (done.added, done.repeated) == (0, 80)
    assert verify(target).batches > size
    assert digest_of(target) == digest_of(filled(tmp_path / "at once", replications=range(22)))


def test_contradictions_are_named_and_nothing_is_written(tmp_path):
    parts = shards(tmp_path)
    with Store.create(tmp_path / "other", STUDY, CELLS) as store:
        store.append(batch([row(CELLS[0], 50), dataclasses.replace(row(CELLS[2], 4), words="else")]))
    with pytest.raises(
        InputError, match=r"replication 4 of the cell K2/mle/n=1000 is one row in .*shard 1' and .*other'"
    ):
        merge(tmp_path / "all", [*parts, tmp_path / "other"])
    assert not (tmp_path / "all").exists()
    before = digest_of(parts[1])
    with pytest.raises(InputError, match="replication 4"):
        merge(parts[1], [tmp_path / "other"])
    assert digest_of(parts[1]) == before


def test_other_studies_are_refused(tmp_path):
    first = filled(tmp_path / "first")
    other = filled(tmp_path / "second", [cell(variances=(1.0, 0.8))])
    for target in (tmp_path / "all", first):
        with pytest.raises(InputError, match=r"variances: \[1.0, 0.64\] -> \[1.0, 0.8\]"):
            merge(target, [filled(tmp_path / f"third {target.name}"), other])
    assert not (tmp_path / "all").exists()


def test_cells_of_all_are_in_the_target(tmp_path):
    parts = [filled(tmp_path / f"{i}", CELLS[2 * i : 2 * i + 2]) for i in range(2)]
    merge(tmp_path / "all", parts)
    assert digest_of(tmp_path / "all") == digest_of(filled(tmp_path / "at once"))


def test_different_versions_are_reported(tmp_path):
    parts = [*shards(tmp_path), filled(tmp_path / "new", replications=range(20, 22), versions="two")]
    with pytest.raises(InputError, match="Nothing was written"):
        merge(tmp_path / "all", parts, strict=True)
    assert not (tmp_path / "all").exists()
    with pytest.warns(MoestatWarning, match="different versions"):
        assert len(merge(tmp_path / "all", parts).versions) == 2


def test_what_cannot_be_merged(tmp_path):
    path = filled(tmp_path / "store")
    with pytest.raises(InputError, match="at least one"):
        merge(tmp_path / "all", [])
    with pytest.raises(InputError, match="must not name the target"):
        merge(path, [path])
    with pytest.raises(InputError, match="there is no store"):
        merge(path, [tmp_path / "nothing"])
    with Store.open(path), pytest.raises(StoreError, match="one writer"):
        merge(path, shards(tmp_path))
