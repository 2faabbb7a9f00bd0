"""The formula of memory against what is used, and the refusal of what cannot fit, before it is allocated."""

import builtins
import io
import sys
import tracemalloc
import types
import warnings

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import JointDistribution, memory
from dualib.engine.problem import Problem
from dualib.memory import least_memory, most_memory


@pytest.mark.parametrize(
    ("n_x", "n_y", "kind", "beta"),
    [(150, 10, "ib", 0.05), (150, 10, "ib", 2.0), (150, 10, "dualib", 40.0), (60, 120, "ib", 30.0), (100, 3, "dualib", 400.0)],
)
def test_the_formula_encloses_what_a_solve_takes(n_x, n_y, kind, beta):
    rng = np.random.default_rng(0)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.full(n_y, 0.5), n_x))
    dualib.solve(dualib.datasets.toy(), 3.0, kind)  # imports and compiled code are not the problem's
    tracemalloc.start()
    try:
        dualib.solve(joint, beta, kind, max_iter=40)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert least_memory(n_x, n_y, n_y) <= peak <= most_memory(n_x, n_y, n_y, n_x)


def test_what_cannot_fit_is_refused_before_the_work(monkeypatch):
    rng = np.random.default_rng(0)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(3), 3000))
    needed = least_memory(3000, 3, 3)
    solution = dualib.solve(joint, 0.01)
    monkeypatch.setattr(memory, "available_memory", lambda: needed - 1)
    message = (
        r"a certified solve of 3000 distinct x with 3 features and 3 y needs at least 69.5 MiB of memory, and 69.5 MiB are"
    )
    labels = np.arange(3000) % 2
    for attempt in (
        lambda: dualib.solve(joint, 2.0),
        lambda: dualib.anneal(joint, "dualib", [2.0]),
        lambda: dualib.certify(joint, np.eye(2)[labels], 2.0),
        lambda: dualib.solve_at(joint, rate=0.1),
        lambda: dualib.onset(joint),
        lambda: dualib.follow(solution, [2.0]),
    ):
        tracemalloc.start()
        try:
            with pytest.raises(MemoryError, match=message):
                attempt()
            assert tracemalloc.get_traced_memory()[1] < needed / 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("n_clusters", [20, 150])
def test_the_formula_of_a_sparse_problem_bounds_what_a_solve_takes(n_clusters):
    rng = np.random.default_rng(0)
    cells = rng.integers(6000, size=50_000), rng.integers(400, size=50_000)
    counts = sparse.csr_array((rng.gamma(1.0, size=50_000), cells), shape=(6000, 400))
    joint = JointDistribution.from_counts(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        dualib.solve(JointDistribution.from_counts(counts[:400]), 4.0, n_clusters=3, n_restarts=1)  # imports and compiled code
        tracemalloc.start()
        try:
            dualib.solve(joint, 4.0, n_clusters=n_clusters, n_restarts=1, max_iter=10)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak <= memory.sparse_memory(joint.n_x, joint.n_y, joint.pxy.nnz, n_clusters)


def test_hard_clusters_of_counts_take_a_small_multiple_of_counts_and_encoder():
    rng = np.random.default_rng(0)
    cells = rng.integers(8000, size=200_000), rng.integers(500, size=200_000)
    made = sparse.csr_array((rng.integers(1, 5, size=200_000), cells), shape=(8000, 500))
    dualib.quantize(JointDistribution.from_counts(made[:400]), 3, certify=False)  # imports and compiled code
    tracemalloc.start()
    try:
        counts = made.copy()
        solution = dualib.quantize(JointDistribution.from_counts(counts), 20, n_init=1, certify=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    given = counts.data.nbytes + counts.indices.nbytes + counts.indptr.nbytes
    assert peak < 2.75 * (given + solution.encoder.nbytes)
    assert solution.encoder.base is None or not solution.encoder.base.flags.writeable


def test_a_sparse_problem_whose_dense_form_cannot_fit_is_refused():
    n = 2_000_000
    joint = JointDistribution(sparse.csr_array((np.full(n, 1.0 / n), (np.arange(n), np.arange(n))), shape=(n, n)))
    with pytest.raises(MemoryError, match=r"a problem of 2000000 x by 2000000 y needs at least 1\.19e\+05 GiB"):
        Problem(joint, dualib.IB())


def test_small_problems_do_not_ask_the_system(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: pytest.fail("asked"))
    assert dualib.solve(dualib.datasets.toy(), 3.0).converged


def test_the_system_tells_how_much_there_is():
    assert 2**20 < memory.available_memory() < 2**60


class System:
    """What the files and calls of a system tell: `files` by path, a number of pages of 4096 bytes, or nothing at all."""

    def __init__(self, monkeypatch, files, pages=None):
        self.files, self.pages = files, pages
        monkeypatch.setattr(builtins, "open", self.open)
        monkeypatch.setattr(memory.os, "sysconf", self.sysconf)

    def open(self, path, *arguments, **options):
        if path not in self.files:
            raise FileNotFoundError(path)
        return io.StringIO(self.files[path])

    def sysconf(self, name):
        if self.pages is None:
            raise ValueError("unrecognized configuration name")
        return {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": self.pages}[name]


MEMINFO, GROUP, OLD_GROUP = "/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"


@pytest.mark.parametrize(
    ("files", "pages", "expected"),
    [
        ({MEMINFO: "MemTotal: 9 kB\nMemAvailable:     2000 kB\n"}, 1000, 2000 * 1024),
        ({MEMINFO: "MemTotal: 9 kB\n"}, 1000, 1000 * 4096),  # an old kernel
        ({MEMINFO: "MemAvailable: many kB\n"}, 1000, 1000 * 4096),
        ({}, 1000, 1000 * 4096),  # macOS
        ({}, None, sys.maxsize),  # Windows
        ({GROUP: "500000\n"}, 1000, 500_000),
        ({GROUP: "max\n"}, 1000, 1000 * 4096),
        ({GROUP: "max\n", OLD_GROUP: "300000\n"}, 1000, 300_000),
        ({MEMINFO: "MemAvailable: 200 kB\n", GROUP: "500000\n"}, 1000, 200 * 1024),
    ],
)
def test_of_all_limits_the_least_counts(files, pages, expected, monkeypatch):
    monkeypatch.setattr(memory, "_address_space", lambda: sys.maxsize)
    System(monkeypatch, files, pages)
    assert memory.available_memory() == expected


@pytest.mark.parametrize(("limit", "expected"), [(123_456, 123_456), (-1, sys.maxsize)])
def test_the_address_space_is_limited_where_the_system_limits_it(limit, expected, monkeypatch):
    resource = types.SimpleNamespace(RLIMIT_AS=9, RLIM_INFINITY=-1, getrlimit=lambda what: {9: (limit, -1)}[what])
    monkeypatch.setitem(sys.modules, "resource", resource)
    assert memory._address_space() == expected


def test_a_system_without_such_limits_has_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert memory._address_space() == sys.maxsize
