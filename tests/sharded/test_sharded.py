"""Sweeps over shards: against the naive sweep, the objective of an encoder by loops, and `dualib.solve` on the whole table."""

import functools
import math

import naive
import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import JointDistribution, Status
from dualib.sharded import ShardedJoint, pools, solve, steps, write_shards


def rows_of(table, begin, end):
    return table[begin:end]


def sharded(table, *ends, **options):
    """A table in shards that end there."""
    parts = zip((0, *ends), (*ends, table.shape[0]), strict=True)
    return ShardedJoint([functools.partial(rows_of, table, *part) for part in parts], **options)


def random_counts(seed, n_x=30, n_y=12):
    rng = np.random.default_rng(seed)
    table = rng.poisson(3.0, (n_x, n_y)) * (rng.random((n_x, n_y)) < 0.4)
    table[:, 0] += 1
    return table


def topics(n_x=600, n_y=300, k=5, seed=0):
    """Sparse counts of documents with one topic each, and the topics."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, k, n_x)
    words = rng.dirichlet(np.full(n_y, 0.1), k)
    return sparse.csr_array(np.array([rng.multinomial(40, 0.8 * words[t] + 0.2 / n_y) for t in of])), of


@pytest.mark.parametrize("ends", [(), (7,), (1, 2, 29), tuple(range(1, 30))])
def test_the_table_is_that_of_its_shards(ends):
    table = random_counts(0)
    joint, whole = sharded(table, *ends), JointDistribution.from_counts(table)
    assert (joint.n_x, joint.n_y, joint.n_shards) == (30, 12, len(ends) + 1)
    assert joint.nonzeros == np.count_nonzero(table)
    np.testing.assert_allclose(joint.py, whole.py, rtol=1e-14)
    assert joint.mutual_information == pytest.approx(whole.mutual_information, rel=1e-13)
    said = (
        f"{joint.nonzeros} nonzeros in {joint.n_shards} shard{'s' * bool(ends)}, I(X;Y) = {whole.mutual_information:.6g} nats"
    )
    assert repr(joint) == f"ShardedJoint(30 x 12, {said})"


@pytest.mark.parametrize("block", [1, 40, 1_000_000])
def test_sweeps_are_the_naive_ones(monkeypatch, block):
    monkeypatch.setattr(steps, "_AT_ONCE", block)
    table = random_counts(1)
    whole = JointDistribution.from_counts(table)
    rng = np.random.default_rng(2)
    weights, decoder = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(12), 3)
    message = r"beta=3: residual .* after 4 sweeps, tol 1e-07: raise max_iter or tol"
    with pytest.warns(dualib.ConvergenceWarning, match=message) as caught:
        found = solve(sharded(table, 11, 12), 3.0, init=(weights, decoder), max_iter=4)
    assert caught[0].filename == __file__
    for _ in range(3):  # the last sweep only judges
        _, _, weights, decoder = naive.sweep("ib", whole.px, whole.py_x, weights, decoder, 3.0)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-11)
    np.testing.assert_allclose(found.decoder, decoder, rtol=1e-11, atol=1e-15)
    assert found.status is Status.MAX_ITER and found.n_iter == 4
    encoder = np.vstack([found.encoder(i) for i in range(3)])
    expected, objective = naive.encoder_of("ib", whole.px, whole.py_x, weights, decoder, 3.0)
    np.testing.assert_allclose(encoder, expected, rtol=1e-10)
    assert found.objective == pytest.approx(objective, rel=1e-12)
    np.testing.assert_array_equal(found.labels(), np.argmax(encoder, axis=1))
    pty = encoder.T @ whole.pxy
    assert found.relevance == pytest.approx(naive.mutual_information(pty), rel=1e-11)
    assert found.rate == pytest.approx(naive.mutual_information(whole.px[:, None] * encoder), rel=1e-11)
    assert found.expected_distortion == pytest.approx(whole.mutual_information - found.relevance, rel=1e-11)


@pytest.mark.parametrize("beta", [4.0, 25.0, 300.0])
def test_the_objective_is_that_of_solve_from_the_same_start(beta):
    table, of = topics()
    whole = JointDistribution.from_counts(table)
    assert whole.is_sparse
    alone = dualib.solve(whole, beta, init=of, certify=False)
    pairs = np.array([table[of == t].sum(axis=0) for t in range(5)])
    start = pairs.sum(axis=1) / pairs.sum(), pairs / pairs.sum(axis=1, keepdims=True)
    found = solve(sharded(table, 100, 250, 599), beta, 5, init=start)
    assert found.objective == pytest.approx(alone.objective, rel=1e-12)
    assert found.rate == pytest.approx(alone.rate, rel=1e-5) and found.relevance == pytest.approx(alone.relevance, rel=1e-5)
    assert found.status is Status.NOT_CERTIFIED and found.residual <= 1e-7
    assert (found.gap, found.certificate, found.relevance_bound) == (
        math.inf,
        None,
        min(math.log(5), whole.mutual_information),
    )
    # and the objective of the encoder that is handed out is no other
    encoder = np.vstack([found.encoder(i) for i in range(4)])
    dense = whole.to_dense()
    assert found.objective == pytest.approx(naive.objective_of_encoder("ib", dense.px, dense.py_x, encoder, beta), rel=1e-12)


def test_planted_topics_are_found_from_a_sample_of_rows():
    table, of = topics()
    found = solve(sharded(table, 100, 250, 599), 20.0, 5, n_rows=150)
    assert sum(np.bincount(of[found.labels() == t]).max() for t in range(5)) == 600
    assert found.objective <= dualib.solve(JointDistribution.from_counts(table), 20.0, init=of, certify=False).objective + 1e-9
    again = solve(sharded(table, 100, 250, 599), 20.0, 5, n_rows=150)
    assert found.decoder.tobytes() == again.decoder.tobytes() and found.objective == again.objective


def test_shards_loaded_for_every_sweep_give_the_same_bits(tmp_path):
    table, _ = topics(120, 80, 3)
    write_shards(table, tmp_path / "shards", 50)
    kept, loaded = (solve(ShardedJoint(tmp_path / "shards", keep=keep), 10.0, 3) for keep in (True, False))
    assert kept.decoder.tobytes() == loaded.decoder.tobytes() and kept.objective == loaded.objective
    np.testing.assert_array_equal(kept.encoder(2), loaded.encoder(2))


def test_a_solution_goes_on_at_another_beta_and_from_its_file(tmp_path):
    table, _ = topics(120, 80, 3)
    joint = sharded(table, 60)
    first = solve(joint, 5.0, 3)
    second = solve(joint, 10.0, init=first)
    assert (
        second.rate > first.rate
        and second.relevance > first.relevance
        and second.expected_distortion < first.expected_distortion
    )
    first.save(tmp_path / "state.npz")
    with np.load(tmp_path / "state.npz") as state:
        again = solve(joint, 10.0, init=(state["weights"], state["decoder"]))
    assert again.decoder.tobytes() == second.decoder.tobytes()
    at_rest = solve(joint, 5.0, init=first)
    assert at_rest.n_iter == 1 and at_rest.objective == first.objective
    encoder = np.vstack([second.encoder(i) for i in range(2)])
    whole = dualib.solve(JointDistribution.from_counts(table), 10.0, init=encoder, certify=False)
    assert solve(joint, 10.0, init=whole).objective == pytest.approx(whole.objective, rel=1e-12)
    assert repr(first).startswith("ShardedSolution(beta = 5, 3 clusters of 120 x: rate ")


def halves(begin, end):
    """Every node of the tree that sums are taken along."""
    middle = (begin + end) // 2
    return {(begin, end)} if end - begin == 1 else {(begin, end)} | halves(begin, middle) | halves(middle, end)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 64, 100])
@pytest.mark.parametrize("wanted", [1, 2, 3, 7, 64, 1000])
def test_bundles_are_nodes_of_the_tree(count, wanted):
    found = pools.nodes(count, wanted)
    assert [i for begin, end in found for i in range(begin, end)] == list(range(count))
    assert set(found) <= halves(0, count)
    assert min(wanted, count) <= len(found) < 2 * max(wanted, 1)


def test_sums_are_taken_along_the_tree():
    """Not in turn: in numbers whose sum depends on the order."""
    numbers = np.random.default_rng(1).random(11)
    low, high = (numbers[0] + numbers[1]) + (numbers[2] + (numbers[3] + numbers[4])), numbers[5:]
    upper = (high[0] + (high[1] + high[2])) + (high[3] + (high[4] + high[5]))
    assert pools.tree(lambda i: (numbers[i],), 0, 11) == (low + upper,)
    assert low + upper != sum(numbers)


def test_an_x_without_counts_claims_nothing():
    table = random_counts(3)
    table[[4, 29]] = 0
    whole = JointDistribution.from_counts(table)
    found = solve(sharded(table, 10, 29), 4.0, 3)
    expected = naive.encoder_of("ib", np.ones(1), whole.py[None], found.weights, found.decoder, 4.0)[0][0]
    np.testing.assert_allclose(found.encoder(0)[4], expected, rtol=1e-12)
    np.testing.assert_allclose(found.encoder(2)[0], expected, rtol=1e-12)  # nothing else is in this shard
    without = np.delete(table, [4, 29], axis=0)
    again = solve(sharded(without, 9), 4.0, init=found)
    assert again.objective == pytest.approx(found.objective, rel=1e-12)


def test_clusters_that_lose_all_weight_stay_out():
    table = np.kron(np.eye(2), np.ones((3, 4))) + 1e-3
    found = solve(
        sharded(table, 2),
        50.0,
        init=(np.array([0.5, 0.5, 0.0]), np.vstack([table[[0, 5]] / table[0].sum(), np.full(8, 0.125)])),
    )
    assert found.weights[2] == 0.0 and np.isfinite([found.objective, found.rate, found.relevance, found.residual]).all()
    assert not np.vstack([found.encoder(0), found.encoder(1)])[:, 2].any()
    with_two = solve(sharded(table, 2), 50.0, init=table[[0, 5]] / table[0].sum())
    assert found.objective == pytest.approx(with_two.objective, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"joint": JointDistribution(np.eye(2) / 2)},
            TypeError,
            r"joint must be a dualib\.sharded\.ShardedJoint, got JointDistribution: write",
        ),
        ({"beta": -1.0}, ValueError, "beta must be finite and > 0, got -1.0"),
        ({"beta": math.inf}, ValueError, "beta must be finite and > 0, got inf"),
        ({"n_clusters": None}, ValueError, "n_clusters must be given where init is not"),
        ({"n_clusters": 0}, ValueError, "n_clusters must be at least 1, got 0"),
        ({"n_clusters": 31}, ValueError, "n_clusters must be at most n_x = 30, got 31"),
        ({"n_rows": 0}, ValueError, "n_rows must be an integer of at least 1, got 0"),
        ({"random_state": -1}, ValueError, "random_state must be an integer of at least 0, got -1"),
        ({"tol": 0.0}, ValueError, "tol must be a positive number, got 0.0"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1, got 0"),
        ({"progress": 1}, TypeError, "progress must be a bool or a callable, got 1"),
        (
            {"init": np.arange(30) % 3},
            ValueError,
            r"init must be a decoder \(K, n_y\), .* got an array of int64 of shape \(30,\)",
        ),
        ({"init": "random"}, ValueError, r"init must be a decoder \(K, n_y\), .* got 'random'"),
        ({"init": np.eye(3)}, ValueError, r"init must have 12 columns, got shape \(3, 3\)"),
        ({"init": np.ones((3, 12))}, ValueError, "init: row 0 must sum to 1, got 12.0"),
        (
            {"init": np.full((2, 12), 1 / 12)},
            ValueError,
            "n_clusters must be the number of clusters of init, 2, got 3: leave it out",
        ),
        ({"init": (np.ones(3), np.full((3, 12), 1 / 12))}, ValueError, "init: weights must sum to 1, got 3.0"),
    ],
)
def test_bad_arguments(arguments, error, message):
    given = {"joint": sharded(random_counts(0), 10), "beta": 2.0, "n_clusters": 3} | arguments
    with pytest.raises(error, match=message):
        solve(given.pop("joint"), given.pop("beta"), **given)


def test_shards_that_there_are_not():
    solution = solve(sharded(random_counts(0), 10), 2.0, 3)
    for number in (2, -1, 0.5, True):
        with pytest.raises(IndexError, match="shard must be a number from 0 to 1, got"):
            solution.encoder(number)
