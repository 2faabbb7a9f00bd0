"""quantize(): against every partition, known answers, and the Solution that comes of it."""

import itertools

import numpy as np
import pytest
from naive import distortion_matrix, hard_distortion, mutual_information
from partitions import partitions, priced, with_zeros
from scipy import sparse

import dualib
from dualib import JointDistribution, Status
from dualib.engine import choice
from dualib.results.encoding import as_map

KINDS = ["ib", "dualib", dualib.Bregman.squared_euclidean(), dualib.Alpha(0.5)]


def table(seed, n_x=7, n_y=5):
    px, py_x = with_zeros(seed, n_x=n_x, n_y=n_y)
    return px, py_x, JointDistribution.from_conditionals(py_x, px)


def test_of_large_tables_the_bound_is_free_unless_asked_for(monkeypatch):
    joint = dualib.datasets.load_letters()
    better = dualib.quantize(joint, 5)
    monkeypatch.setattr("dualib.clusters.quantize._QUICK", 1)
    free, asked, none = (
        dualib.quantize(joint, 5),
        dualib.quantize(joint, 5, certify=True),
        dualib.quantize(joint, 5, certify=False),
    )
    assert free.objective == asked.objective == none.objective
    assert free.lower_bound == pytest.approx(max(0.0, joint.mutual_information - np.log(5.0)), abs=1e-12)
    assert free.certificate == "rigorous" and none.certificate is None and np.isinf(none.gap)
    assert asked.lower_bound == better.lower_bound > free.lower_bound
    assert free.relevance_bound == pytest.approx(min(np.log(5.0), joint.mutual_information))


@pytest.mark.parametrize("k", [1, 2, 3, 6])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_no_partition_is_better_and_none_is_below_the_bound(kind, seed, k):
    px, py_x, joint = table(seed)
    least = min(priced(kind, px, py_x, 0.0, labels) for labels in partitions(7, k))
    solution = dualib.quantize(joint, k, kind)
    assert solution.objective == pytest.approx(least, abs=1e-12)
    assert solution.objective == solution.expected_distortion == pytest.approx(priced(kind, px, py_x, 0.0, solution.labels))
    assert solution.lower_bound <= least + 1e-12 and solution.gap >= 0.0
    assert solution.certificate in ("rigorous", "multistart") and solution.n_clusters <= k
    assert solution.gap <= 1e-12 or 1 < k < 7
    if kind == "ib":
        assert solution.objective == pytest.approx(joint.mutual_information - solution.relevance, abs=1e-12)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("seed", range(6))
def test_with_two_y_the_answer_is_exact(kind, seed):
    rng = np.random.default_rng(seed)
    px, py_x = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(2), 7)
    joint = JointDistribution.from_conditionals(py_x, px)
    for k in range(1, 8):
        solution = dualib.quantize(joint, k, kind)
        least = min(hard_distortion(kind, px, py_x, labels) for labels in partitions(7, k))
        assert solution.objective == pytest.approx(least, abs=1e-12)
        assert (solution.certificate, solution.status) == ("rigorous", Status.CONVERGED) and solution.gap < 1e-14


def test_the_bound_is_tight_where_y_is_a_function_of_x_with_equal_classes():
    classes = np.arange(12) % 4
    joint = JointDistribution(np.eye(4)[classes] / 12.0 + 0.0)
    for k in (2, 4):
        solution = dualib.quantize(joint, k)
        assert solution.relevance == pytest.approx(np.log(k), abs=1e-9)
        assert solution.gap <= 2e-8


def test_letters_lose_as_little_as_capped_solves_at_high_beta():
    letters = dualib.datasets.load_letters()
    hard, soft = dualib.quantize(letters, 5, certify=False), dualib.solve(letters, 1e4, n_clusters=5, certify=False)
    assert hard.expected_distortion <= soft.expected_distortion + 1e-9
    assert hard.gap == np.inf and hard.certificate is None and hard.status is Status.CAPPED
    bounded = dualib.quantize(letters, 5)
    assert bounded.objective == hard.objective and 0.0 < bounded.gap < 0.04


def test_what_a_solution_of_hard_clusters_holds():
    px, py_x, joint = table(2)
    solution = dualib.quantize(joint, 3)
    assert solution.beta == np.inf and set(np.unique(solution.encoder)) == {0.0, 1.0}
    assert (np.diff(solution.weights) <= 0.0).all()
    np.testing.assert_allclose(solution.weights, px @ solution.encoder)
    np.testing.assert_allclose(solution.decoder, (solution.encoder.T * px) @ py_x / solution.weights[:, None], atol=1e-15)
    assert solution.rate == pytest.approx(-np.sum(solution.weights * np.log(solution.weights)))
    assert solution.relevance == pytest.approx(mutual_information((solution.encoder.T * px) @ py_x), abs=1e-14)
    np.testing.assert_array_equal(solution.labels, solution.encoder.argmax(axis=1))
    assert sorted(itertools.chain.from_iterable(solution.members())) == sorted(joint.x_labels)
    assert (solution.residual, solution.rho, solution.error_bound, solution.n_iter) == (0.0, 0.0, 0.0, 0)
    assert set(solution.stability) <= {0.0, np.inf}
    text = repr(solution)
    assert "beta=inf" in text and "nats, gap" not in text and "onset" not in repr(dualib.quantize(joint, 1))
    bits, nats = (solution.summary(unit) for unit in ("bits", "nats"))
    assert bits["objective"] == pytest.approx(nats["objective"] / np.log(2.0))
    other = dualib.quantize(joint, 3, dualib.Alpha(0.5))  # not an information
    assert other.summary("bits")["gap"] == other.gap and other.summary("bits")["rate"] == other.rate / np.log(2.0)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_any_x_goes_to_its_nearest_cluster(kind):
    _, py_x, joint = table(2)
    solution = dualib.quantize(joint, 3, kind)
    np.testing.assert_array_equal(solution.encode(py_x), solution.encoder)
    np.testing.assert_array_equal(solution.encode(sparse.csr_array(py_x)), solution.encoder)
    new = 0.5 * py_x[[0, 3]] + 0.5 * py_x[[1, 5]]
    if kind == "ib":  # every y may occur in some cluster
        new[:, 0] += 1.0
        new /= new.sum(axis=1, keepdims=True)
    distances = distortion_matrix(kind, new, solution.decoder)
    if np.isfinite(distances.min(axis=1)).all():
        np.testing.assert_array_equal(solution.encode(new).argmax(axis=1), distances.argmin(axis=1))
        np.testing.assert_allclose(solution.predict_proba(new), solution.decoder[distances.argmin(axis=1)])
    np.testing.assert_array_equal(as_map(solution.encoder), solution.encoder)
    with pytest.raises(ValueError, match="assignment must be"):
        solution.encode(py_x, assignment="hard")


def test_a_file_gives_it_back(tmp_path):
    solution = dualib.quantize(table(1)[2], 3)
    solution.save(tmp_path / "hard.npz")
    again = dualib.load(tmp_path / "hard.npz")
    assert again.beta == np.inf and again.gap == solution.gap and again.status is solution.status
    np.testing.assert_array_equal(again.encoder, solution.encoder)
    np.testing.assert_array_equal(again.stability, solution.stability)
    with pytest.raises(ValueError, match="solutions must have a finite beta"):
        dualib.Curve([solution])
    with pytest.raises(ValueError, match="solutions must have a finite beta"):
        dualib.Curve([dualib.solve(solution.joint, 3.0), solution])


def test_x_of_probability_0_and_equal_x():
    joint = JointDistribution([[0.2, 0.1, 0.0], [0.0, 0.0, 0.0], [0.1, 0.1, 0.2], [0.2, 0.1, 0.0]])
    solution = dualib.quantize(joint, 2)
    assert solution.labels[0] == solution.labels[3] != solution.labels[2]
    assert solution.gap < 1e-14 and solution.objective < 1e-14
    assert solution.encoder[1].sum() == 1.0
    assert dualib.quantize(joint, 10).n_clusters == 2  # no more than there are different x
    rows = sparse.csr_array(joint.pxy)
    np.testing.assert_array_equal(dualib.quantize(JointDistribution(rows), 2).encoder, solution.encoder)


def test_a_large_sparse_table_stays_sparse(monkeypatch):
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(60, 0.1), 4)
    counts = np.array([rng.multinomial(60, 0.85 * topics[i % 4] + 0.15 / 60) for i in range(24)])
    dense = JointDistribution.from_counts(counts[:, counts.sum(axis=0) > 0])
    monkeypatch.setattr(choice, "DENSE_CELLS", 0)
    for k in (2, 4):
        one, other = (
            dualib.quantize(joint, k, certify=True) for joint in (dense, JointDistribution(sparse.csr_array(dense.pxy)))
        )
        assert other.objective == pytest.approx(one.objective, abs=1e-12)
        np.testing.assert_array_equal(other.encoder, one.encoder)
        assert other.gap == pytest.approx(one.gap, abs=1e-5)
        np.testing.assert_array_equal(other.encode(dense.py_x), one.encoder)


def test_the_same_seed_gives_the_same_clusters():
    joint = table(3, n_x=15)[2]
    one, two = (dualib.quantize(joint, 4, certify=False, random_state=7, n_init=2) for _ in range(2))
    np.testing.assert_array_equal(one.encoder, two.encoder)


def test_bad_arguments_are_named():
    joint = table(0)[2]
    for name, value in itertools.product(("n_clusters", "n_init"), (0, 2.5, True, "2")):
        arguments = {"n_clusters": 2, "n_init": 2, name: value}
        with pytest.raises((ValueError, TypeError), match=rf"{name} must be"):
            dualib.quantize(joint, **arguments)
    with pytest.raises(ValueError, match="fixed columns"):
        dualib.quantize(joint, 2, dualib.RateDistortion(np.ones((7, 2)) - np.eye(7, 2)))
    blocks = JointDistribution(np.eye(3) / 3.0)
    for k in (1, 2):
        with pytest.raises(ValueError, match=rf"n_clusters: no {k} cluster\(s\) that hold all x at a finite distortion"):
            dualib.quantize(blocks, k, "dualib")
    assert dualib.quantize(blocks, 3, "dualib").objective == pytest.approx(0.0, abs=1e-15)


def test_the_bound_of_a_large_table_is_a_little_looser(monkeypatch):
    place = np.linspace(-3.0, 3.0, 30)
    density = np.exp(-(place[:, None] ** 2 - 1.6 * np.outer(place, place) + place**2) / 0.72)
    joint = JointDistribution(density / density.sum())
    fine = dualib.quantize(joint, 5)
    monkeypatch.setattr("dualib.clusters.bound._LARGE", 0)
    coarse = dualib.quantize(joint, 5)
    assert coarse.labels.tolist() == fine.labels.tolist()
    assert fine.lower_bound - 0.03 * fine.gap < coarse.lower_bound <= fine.lower_bound + 1e-9
    assert coarse.relevance <= fine.relevance_bound <= coarse.relevance_bound + 1e-9
