"""A small study whose rows are functions of their cell and replication, and stores that hold some of them."""

import json
import zlib

import numpy as np

from moestat.montecarlo.rows import Cell, Finished, Row
from moestat.montecarlo.store import Store

STUDY = '[study]\nname = "small"\nseed = 7\n'
COLUMNS = ("loglik", "loss", "seconds per pass")
VERSIONS = '{"moestat":"1"}'


def cell(n=100, fit="K2", protocol="mle", columns=COLUMNS, variances=(1.0, 0.64)):
    truth = {"expert_params": {"variances": list(variances)}, "gate": "softmax"}
    return Cell(n, fit, protocol, json.dumps({"fit": fit, "n": n, "protocol": protocol, "truth": truth}), columns)


CELLS = tuple(cell(n, fit) for n in (100, 1000) for fit in ("K2", "K3"))
WORDS = ("", '{"warnings":["Σ\\u0000 «nearly flat»"]}', "a\nb,\"c\"; 'd'")


def row(of, replication):
    random = np.random.default_rng([zlib.crc32(of.text.encode()), replication])
    numbers = random.standard_normal(len(of.columns))
    if replication % 5 == 0:
        numbers[random.integers(len(numbers))] = random.choice([np.inf, -np.inf, -0.0, 5e-324])
    if replication % 7 == 0:
        numbers.view(np.uint64)[0] = 0x7FF8_0000_DEAD_BEEF
    outcome, status = [("ok", "strict"), ("ok", "flat"), ("error", ""), ("crashed", "")][replication % 11 % 4]
    return Row(of.digest, replication, outcome, status, numbers, WORDS[replication % len(WORDS)])


def batch(rows, versions=VERSIONS, host="here"):
    return Finished(tuple(rows), np.arange(1.0, len(rows) + 1), host, versions)


def fill(store, cells=CELLS, replications=range(20), size=5, versions=VERSIONS):
    """Append what is missing, batch by batch."""
    missing = store.missing(cells, replications)
    wanted = [row(one, r) for one in cells for r in missing[one.digest].tolist()]
    for start in range(0, len(wanted), size):
        store.append(batch(wanted[start : start + size], versions))


def filled(path, cells=CELLS, replications=range(20), size=5, **options):
    with Store.create(path, STUDY, cells) as store:
        fill(store, cells, replications, size, **options)
    return path


def digest_of(path):
    with Store.open(path, read_only=True) as store:
        return store.results_digest()
