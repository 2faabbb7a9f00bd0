"""The engine on a sparse U: every product, sweep and Newton step against the dense form of the same table."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import dualib
from dualib import JointDistribution
from dualib.clusters.hard import hard_clusters
from dualib.engine import sparse as sparse_module
from dualib.engine import sweep as sweep_module
from dualib.engine.batch import Batch
from dualib.engine.conjugate import conjugate, hessian_product
from dualib.engine.descent import descend, newton_direction
from dualib.engine.initial import drawn, of_encoder, rough
from dualib.engine.optimum import certify
from dualib.engine.problem import Problem, inner
from dualib.engine.search import price
from dualib.engine.sparse import SparseProblem, distinct_sparse_rows
from dualib.engine.stability import linear_rate, stability
from dualib.engine.starts import off_small_entries
from dualib.engine.sweep import Sweep, ascent, dual, log_c, second_moment


def table(seed, n_x=20, n_y=12, density=0.4):
    rng = np.random.default_rng(seed)
    pxy = rng.gamma(1.0, size=(n_x, n_y)) * (rng.random((n_x, n_y)) < density)
    pxy[0, 0] = 1.0
    return pxy / pxy.sum()


def pair_of(pxy):
    """The dense and the sparse problem of a table."""
    return Problem(JointDistribution(pxy), dualib.IB()), SparseProblem(JointDistribution(sparse.csr_array(pxy)))


def batches(dense, own, seed, sizes=(3, 5), betas=(3.0, 6.0)):
    """The same clusters in both, each with a part of all sources, so that the faces of the dense ones are that of everything."""
    members = np.random.default_rng(seed).dirichlet(np.full(own.n, 0.3), sum(sizes))
    members = 0.9 * members + 0.1 * own.px
    weights = np.concatenate([np.full(size, 1.0 / size) for size in sizes])
    owner, beta = np.repeat(np.arange(len(sizes)), sizes), np.array(betas)
    return [
        Batch(beta, weights, means, owner, face) for means, face, _ in (problem.centroids(members) for problem in (dense, own))
    ]


@pytest.fixture(params=[512, 3], ids=["one block", "many blocks"])
def blocks(request, monkeypatch):
    monkeypatch.setattr(sparse_module, "_FEWEST_ROWS", request.param)
    monkeypatch.setattr(sparse_module, "_LARGEST_BLOCK", 1)
    monkeypatch.setattr(sweep_module, "_AT_ONCE", 50)


@pytest.mark.parametrize("seed", range(4))
def test_products_are_those_of_the_dense_form(seed, blocks):
    dense, own = pair_of(table(seed))
    rng = np.random.default_rng(seed)
    V, pairs = rng.standard_normal((5, own.k)), rng.random((4, own.n))
    np.testing.assert_allclose(own.products(V), dense.products(V), atol=1e-14)
    np.testing.assert_allclose(own.sums(pairs), dense.sums(pairs), atol=1e-14)
    np.testing.assert_allclose(own.sums(sparse.csr_array(pairs)), dense.sums(pairs), atol=1e-14)
    np.testing.assert_allclose(own.moments(pairs), dense.moments(pairs), atol=1e-15)
    np.testing.assert_allclose(own.expectation(pairs), dense.expectation(pairs), atol=1e-15)
    np.testing.assert_allclose(own.features(np.array([3, 1]))[0], dense.features(np.array([3, 1]))[0], rtol=1e-15)
    entropies = np.where(dense.U > 0.0, dense.U * np.log(np.maximum(dense.U, 1e-300)), 0.0)
    np.testing.assert_allclose(own.entropy_products(V), V @ entropies.T, atol=1e-13)
    for one, other in zip(own.sizes(), dense.sizes(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)
    assert own.constant == pytest.approx(dense.constant, rel=1e-13)
    np.testing.assert_allclose(own._high, dense._high, rtol=1e-14)  # of the box, with its slack
    assert not own.beyond(own.features()[0] * (1.0 + 1e-15)).any() and own.beyond(1.01 * own._high[None]).all()


@pytest.mark.parametrize("seed", range(4))
def test_sweeps_newton_steps_and_ascents_are_those_of_the_dense_form(seed, blocks):
    dense, own = pair_of(table(seed))
    theirs, mine = batches(dense, own, seed)
    first, second = Sweep(dense, theirs), Sweep(own, mine)
    for name in ("objective", "log_z", "posterior", "c", "new_weights", "new_means", "force", "residual"):
        np.testing.assert_allclose(getattr(second, name), getattr(first, name), rtol=1e-11, atol=1e-13, err_msg=name)
    part, taken = np.array([1e-1, 1e-9]), [np.zeros(2, dtype=np.int64) for _ in range(2)]
    steps = [
        newton_direction(problem, batch, sweep, part, 200, count)
        for problem, batch, sweep, count in ((dense, theirs, first, taken[0]), (own, mine, second, taken[1]))
    ]
    np.testing.assert_allclose(steps[1], steps[0], rtol=1e-6, atol=1e-9 * np.abs(steps[0]).max())
    np.testing.assert_array_equal(taken[1], taken[0])
    points = (mine.means[::-1].copy(), mine.face, mine.owner)
    value, V, new, terms = log_c(dense, theirs.beta, first.log_z, theirs.means[::-1].copy(), theirs.face, theirs.owner)
    for found, expected in zip(ascent(own, mine.beta, second.log_z, *points), (value, V, new), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    share = terms / (terms @ dense.px)[:, None]
    np.testing.assert_allclose(second_moment(own, mine.beta, second.log_z, *points), share**2 @ dense.px, rtol=1e-11)
    np.testing.assert_allclose(stability(own, mine, second), stability(dense, theirs, first), rtol=1e-9)


def test_conjugate_gradients_solve_for_the_step():
    """Near a minimum, where H is positive: the step to a millionth, by the products of `compiled.conjugate`."""
    dense, own = pair_of(table(1))
    end = descend(own, rough(own, [4.0], np.random.default_rng(0)), goal=1e-3)
    batch, sweep, taken = end.batch, end.sweep, np.zeros(1, dtype=np.int64)
    step = conjugate(own, batch, sweep, sweep.force, np.array([1e-6]), np.array([np.inf]), np.zeros(1), 500, taken)
    assert 1 <= taken[0] < 500

    def length(rest):
        return np.sqrt(batch.weights @ inner(rest, dual(batch, sweep.jacobian, rest)))

    rest = sweep.force - hessian_product(own, batch, sweep, step, dual(batch, sweep.jacobian, step))
    assert length(rest) < 2e-6 * length(sweep.force)
    face = dense.faces.numbers(np.ones((1, dense.k), dtype=bool))
    theirs = Batch(batch.beta, batch.weights, batch.means, batch.owner, np.repeat(face, len(batch.weights)))
    expected = newton_direction(dense, theirs, Sweep(dense, theirs), np.array([1e-6]), 500)
    np.testing.assert_allclose(step, expected, atol=1e-6 * np.abs(expected).max())


@st.composite
def ragged(draw):
    """A sparse table with empty rows and columns, equal rows, and cells over many orders of magnitude; and an encoder for it."""
    n_x, n_y, n_t = draw(st.integers(1, 8)), draw(st.integers(1, 6)), draw(st.integers(1, 10))
    cell = st.sampled_from([0.0, 0.0, 1e-9, 0.3, 1.0, 1.0, 7.0])
    counts = np.array(draw(st.lists(st.lists(cell, min_size=n_y, max_size=n_y), min_size=n_x, max_size=n_x)))
    counts[0, 0] += 1.0
    if n_x > 2 and draw(st.booleans()):
        counts[-1] = 2.0 * counts[0]
    return counts, np.random.default_rng(draw(st.integers(0, 99))).dirichlet(np.ones(n_t), n_x)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(ragged(), st.sampled_from([0.1, 1.0, 3.0, 40.0]))
def test_sweeps_are_those_of_the_dense_form_of_any_table(case, beta):
    counts, encoder = case
    joint = JointDistribution.from_counts(sparse.csr_array(counts))
    dense, own = Problem(joint.to_dense(), dualib.IB()), SparseProblem(joint)
    np.testing.assert_array_equal(own.row_of, dense.row_of)
    second = of_encoder(own, [beta], encoder, "encoder")
    face = dense.faces.numbers(second.means > 0.0) if dense.faces is not None else second.face
    first = Batch(second.beta, second.weights, second.means, second.owner, face)
    for _ in range(4):
        mine, theirs = Sweep(own, second), Sweep(dense, first)
        assert mine.objective == pytest.approx(theirs.objective, rel=1e-11, abs=1e-11)
        np.testing.assert_allclose(mine.log_z, theirs.log_z, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(mine.new_means, theirs.new_means, rtol=1e-9, atol=1e-12)
        first = Batch(first.beta, theirs.new_weights, theirs.new_means, first.owner, first.face)
        second = Batch(second.beta, mine.new_weights, mine.new_means, second.owner, second.face)


def test_equal_rows_are_merged_and_empty_rows_left_out():
    pxy = table(1)
    pxy[7], pxy[9], pxy[11], pxy[:, 5] = pxy[3], pxy[3], 0.0, 0.0
    joint = JointDistribution(sparse.csr_array(pxy / pxy.sum()))
    own, dense = SparseProblem(joint), Problem(joint, dualib.IB())
    np.testing.assert_array_equal(own.row_of, dense.row_of)
    np.testing.assert_allclose(own.px, dense.px, rtol=1e-14)
    np.testing.assert_array_equal(own.rows.toarray(), dense.py_x)


def test_rows_that_only_share_their_products_stay_apart(monkeypatch):
    class Zeros:
        def random(self, shape):
            return np.zeros(shape)

    rows = sparse.csr_array(np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))
    monkeypatch.setattr(np.random, "default_rng", lambda seed: Zeros())
    first, row_of = distinct_sparse_rows(rows, np.array([0.3, 0.3, 0.2, 0.2]))
    np.testing.assert_array_equal(first, [0, 1, 3])
    np.testing.assert_array_equal(row_of, [0, 1, 0, 2])


@pytest.mark.parametrize("price_of_rate", [0.0, 0.05, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_hard_clusters_are_those_of_the_dense_form(price_of_rate, seed):
    labels = np.random.default_rng(seed).integers(0, 4, 20)
    ends = [hard_clusters(problem, price_of_rate, labels[: problem.n], 4) for problem in pair_of(table(seed))]
    for clusters in ends:
        clusters.batch_moves()
        clusters.single_moves()
    np.testing.assert_array_equal(ends[0].labels, ends[1].labels)
    assert ends[1].objective == pytest.approx(ends[0].objective, abs=1e-13)
    np.testing.assert_allclose(ends[0].own_distortions(), ends[1].own_distortions(), atol=1e-14)


def test_stability_and_rate_are_those_of_the_dense_form():
    for seed in range(3):
        dense, own = pair_of(table(seed, density=0.9))
        end = descend(own, drawn(own, [3.0], 5, np.random.default_rng(seed)))
        face = dense.faces.numbers(np.ones((1, dense.k), dtype=bool))
        theirs = Batch(end.batch.beta, end.batch.weights, end.batch.means, end.batch.owner, np.repeat(face, len(end.sweep.c)))
        sweep = Sweep(dense, theirs)
        np.testing.assert_allclose(stability(own, end.batch, end.sweep), stability(dense, theirs, sweep), rtol=1e-8, atol=1e-8)
        assert linear_rate(own, end.batch, end.sweep) == pytest.approx(linear_rate(dense, theirs, sweep), abs=1e-9)


def test_an_entry_that_was_lost_on_the_way_is_found_again():
    """The optimum has entries of 1e-8 and less; with these 0 sweeps stay, and no ascent from afar comes so near."""
    _, own = pair_of(table(2))
    best = certify(own, rough(own, [5.0], np.random.default_rng(0)))
    means = np.where(best.batch.means < 1e-6, 0.0, best.batch.means)
    assert (best.batch.means[means == 0.0] > 1e-9).any()
    cut = Batch(best.batch.beta, best.batch.weights, means, best.batch.owner, best.batch.face)
    sweep = Sweep(own, cut)
    points = off_small_entries(own, cut, sweep)
    height = ascent(own, cut.beta, sweep.log_z, *points)[0]
    assert height.max() > 1e-9
    found = price(own, cut, sweep)
    assert found.gap[0] >= height.max()
    again = certify(own, cut, coarse=False)
    assert again.sweep.objective[0] == pytest.approx(best.sweep.objective[0], abs=1e-11)


def test_a_solution_grows_from_few_clusters_to_the_most_that_it_may_have():
    joint = JointDistribution(sparse.csr_array(table(3, 60, 30, 0.3)))
    full, capped = SparseProblem(joint), SparseProblem(joint, 7)
    assert (full.most_atoms, capped.most_atoms) == (500, 7)
    best = certify(full, rough(full, [20.0], np.random.default_rng(0)))
    assert len(rough(full, [20.0], np.random.default_rng(0)).weights) == 33 < len(best.batch.weights)
    assert best.gap[0] <= 1e-9 and best.kind[0] == "multistart"
    less = certify(capped, rough(capped, [20.0], np.random.default_rng(0)))
    assert len(less.batch.weights) == 7 and less.sweep.residual[0] < 1e-9
    assert less.sweep.objective[0] - less.gap[0] <= best.sweep.objective[0] <= less.sweep.objective[0]


SCRIPT = """
import hashlib, numpy as np, dualib
from scipy import sparse
rng = np.random.default_rng(0)
counts = rng.poisson(0.05, (12_000, 40)) + (rng.integers(40, size=12_000)[:, None] == np.arange(40))
joint = dualib.JointDistribution.from_counts(sparse.csr_array(counts))
solution = dualib.solve(joint, 3.0, n_clusters=6, n_restarts=1, certify=False, max_iter=20)
print(hashlib.sha256(solution.encoder.tobytes() + solution.decoder.tobytes()).hexdigest(), solution.objective)
"""


def test_the_number_of_threads_does_not_change_a_bit():
    """With 480,000 cells, and sums over 12,000 sources, which a BLAS divides among its threads."""
    found = [
        subprocess.run(
            [sys.executable, "-c", "import sys; sys.modules['threadpoolctl'] = None\n" + SCRIPT],
            env={**os.environ, "OPENBLAS_NUM_THREADS": str(count), "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for count in (1, 2)
    ]
    assert found[0] == found[1] and len(found[0]) > 60
