"""Solves under a cap: against every partition of small tables, a plain NumPy baseline, known values and their neighbours in beta."""

import itertools
import warnings

import baseline
import naive
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from partitions import hard_objective, least_of_all, with_zeros
from scipy import sparse

import dualib
from dualib import JointDistribution, Status
from dualib.cli.main import main
from dualib.engine import choice
from dualib.solving import solver

KINDS = ["ib", "dualib"]
OTHERS = [dualib.Bregman.squared_euclidean(), dualib.Alpha(0.5)]


def documents(n):
    """Two topics of two words each, by turns, and a word of its own in every document."""
    counts = np.zeros((n, 4 + n))
    for i in range(n):
        counts[i, 2 * (i % 2) : 2 * (i % 2) + 2] = 63, 27
        counts[i, 4 + i] = 10
    return counts


# --- the faults that were found ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 0, 4, 5])
@pytest.mark.parametrize(("n", "least"), [(6, 2.890372), (10, 3.912023)])
@pytest.mark.parametrize("certify", [True, False])
def test_documents_of_two_topics_come_apart_by_topic(n, least, seed, certify):
    joint = JointDistribution.from_counts(documents(n))
    solution = dualib.solve(joint, 20.0, n_clusters=2, random_state=seed, certify=certify)
    assert solution.objective == pytest.approx(least, abs=5e-7)
    labels = solution.encoder.argmax(axis=1)
    np.testing.assert_array_equal(labels == labels[0], np.arange(n) % 2 == 0)
    assert solution.status is Status.CAPPED
    if n == 6:
        assert solution.objective == pytest.approx(least_of_all("ib", joint.px, joint.py_x, 20.0, 2), abs=1e-9)


def test_the_estimator_and_the_command_line_find_the_topics_too(tmp_path, capsys):
    pytest.importorskip("sklearn")
    from dualib import InformationBottleneck

    counts = documents(6)
    model = InformationBottleneck(beta=20.0, n_clusters=2).fit(counts)
    np.testing.assert_array_equal(model.labels_ == model.labels_[0], np.arange(6) % 2 == 0)
    assert model.solution_.objective == pytest.approx(2.890372, abs=5e-7)
    np.save(tmp_path / "documents.npy", counts)
    assert main(["solve", str(tmp_path / "documents.npy"), "--beta", "20", "--n-clusters", "2"]) == 0
    out = capsys.readouterr().out
    assert "2.8903718" in out and "2 clusters" in out


@pytest.mark.parametrize(("k", "beta", "seed"), [(3, 20.0, 2), (8, 100.0, 8)])
def test_means_far_below_where_sweeps_put_them_are_no_crash(k, beta, seed):
    """Newton's Hessian overflowed there."""
    letters = dualib.datasets.load_letters()
    solution = dualib.solve(letters, beta, n_clusters=k, random_state=seed)
    assert solution.n_clusters <= k and np.isfinite(solution.gap)
    assert solution.objective <= baseline.solve(letters.px, letters.py_x, beta, k, seeds=range(2)) + 1e-9


@pytest.mark.parametrize("share", [1e-120, 1e-200, 1e-280])
@pytest.mark.parametrize("kind", KINDS)
def test_a_faint_mean_in_a_start_without_a_cap_is_no_crash(kind, share):
    """The same overflow from an encoder that leaves next to nothing of an x in a cluster."""
    px, py_x = with_zeros(3)
    rows = np.repeat(np.eye(3), [3, 2, 2], axis=0) * (1.0 - 2.0 * share) + share
    solution = dualib.solve(JointDistribution.from_conditionals(py_x, px), 20.0, kind, init=rows, certify=False)
    assert solution.objective <= naive.objective_of_encoder(kind, px, py_x, rows, 20.0) + 1e-9


def test_entries_of_a_decoder_that_vanish_do_not_keep_others_from_coming_to_rest():
    """One x reaches the cluster of another by entries that end at 1e-15; where the rest of them vanished, all made plain sweeps."""
    rng = np.random.default_rng(1)
    topics = rng.dirichlet(np.full(120, 0.05), 8)
    counts = np.array([rng.multinomial(rng.integers(30, 200), 5 / 6 * topics[i % 8] + 1 / 720) for i in range(60)])
    solution = dualib.solve(JointDistribution.from_counts(counts), 5.0, n_clusters=12, certify=False, random_state=1)
    assert solution.status is Status.NOT_CERTIFIED and solution.residual <= 1e-9
    assert solution.objective == pytest.approx(3.493429311, abs=1e-9) and solution.n_iter < 40


@pytest.mark.parametrize(("k", "most"), [(3, 32.877), (5, 20.908), (8, 12.894)])
def test_letters_at_high_beta(k, most):
    solution = dualib.solve(dualib.datasets.load_letters(), 100.0, n_clusters=k, certify=False)
    assert solution.objective <= most


def test_without_a_certificate_nothing_is_stated_of_the_gap_and_the_free_problem_is_not_solved(monkeypatch):
    def refused(*args, **options):
        raise AssertionError("the problem without a cap was solved")

    monkeypatch.setattr(solver, "certified_optimum", refused)
    loose = dualib.solve(dualib.datasets.toy(), 8.0, n_clusters=3, certify=False)
    assert (loose.n_clusters, loose.status) == (2, Status.NOT_CERTIFIED)  # the cap does not bind
    tight = dualib.solve(dualib.datasets.toy(), 40.0, n_clusters=2, certify=False)
    assert (tight.n_clusters, tight.status) == (2, Status.CAPPED)  # it may
    ample = dualib.solve(JointDistribution(np.eye(3) / 3.0), 40.0, n_clusters=3, certify=False)
    assert (ample.n_clusters, ample.status) == (3, Status.NOT_CERTIFIED)  # as many clusters as x are never too few
    for solution in (loose, tight, ample):
        assert solution.gap == np.inf and solution.certificate is None


def test_more_clusters_than_x_are_accepted():
    joint = JointDistribution.from_conditionals(with_zeros(0)[1])
    free = dualib.solve(joint, 1e4)
    for certify in (True, False):
        solution = dualib.solve(joint, 1e4, n_clusters=50, certify=certify)
        assert solution.objective == pytest.approx(free.objective, abs=1e-9)


# --- against every partition, the baseline, the neighbours ------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [*KINDS, *OTHERS], ids=str)
def test_no_partition_is_better(kind, seed, k):
    px, py_x = with_zeros(seed)
    joint = JointDistribution.from_conditionals(py_x, px)
    for beta in (30.0, 1e3):
        solution = dualib.solve(joint, beta, kind, n_clusters=k, certify=False, random_state=seed)
        best = least_of_all(kind, px, py_x, beta, k)
        assert solution.objective <= best + 1e-9 * (1.0 + best)
        assert solution.n_clusters <= k
    if isinstance(kind, str):
        stated = naive.objective_of_encoder(kind, px, py_x, np.asarray(solution.encoder), beta)
        assert stated == pytest.approx(solution.objective, rel=1e-9)


TABLES = st.integers(2, 5).flatmap(
    lambda n_y: st.lists(st.lists(st.sampled_from([0, 0, 1, 2, 9]), min_size=n_y, max_size=n_y), min_size=2, max_size=5)
)


@settings(max_examples=25, deadline=None)
@given(TABLES, st.integers(1, 4), st.sampled_from([3.0, 40.0, 2e3]), st.sampled_from(KINDS), st.integers(0, 3))
def test_any_small_table_with_zeros(rows, k, beta, kind, seed):
    counts = np.array(rows, dtype=float)
    counts = counts[counts.sum(axis=1) > 0.0]
    assume(len(counts) > 0)
    joint = JointDistribution.from_counts(counts)
    best = least_of_all(kind, joint.px, joint.py_x, beta, k)
    for certify in (True, False):
        options = {"n_clusters": k, "certify": certify, "random_state": seed, "n_restarts": 3}
        if np.isinf(best):
            with pytest.raises(ValueError, match="n_clusters: no feasible clustering"):
                dualib.solve(joint, beta, kind, **options)
            continue
        solution = dualib.solve(joint, beta, kind, **options)
        assert solution.n_clusters <= k
        assert solution.objective <= best + 1e-9 * (1.0 + abs(best))
        if certify:
            free = dualib.solve(joint, beta, kind).objective
            assert solution.cap_cost == pytest.approx(solution.objective - free, abs=1e-9)
            assert solution.lower_bound <= best + 1e-9 * (1.0 + abs(best)) and solution.lower_bound >= free - 1e-8


@pytest.mark.parametrize("k", [3, 6])
@pytest.mark.parametrize("beta", [5.0, 40.0])
def test_the_baseline_is_no_better(k, beta):
    rng = np.random.default_rng(5)
    topics = rng.dirichlet(np.full(30, 0.1), 4)
    counts = np.array([rng.multinomial(80, 0.85 * topics[i % 4] + 0.15 / 30) for i in range(20)])
    joint = JointDistribution.from_counts(counts[:, counts.sum(axis=0) > 0])
    best = baseline.solve(joint.px, joint.py_x, beta, k, seeds=range(4))
    assert dualib.solve(joint, beta, n_clusters=k, certify=False).objective <= best + 1e-9


def test_the_baseline_is_right():
    px, py_x = with_zeros(1)
    labels = np.array([0, 1, 1, 2, 0, 2, 2])
    stated = baseline.objective(px, py_x, 7.0, np.eye(3)[labels])
    assert stated == pytest.approx(hard_objective("ib", px, py_x, 7.0, labels), rel=1e-12)
    soft = np.random.default_rng(0).dirichlet(np.ones(3), 7)
    assert baseline.objective(px, py_x, 7.0, soft) == pytest.approx(
        naive.objective_of_encoder("ib", px, py_x, soft, 7.0), rel=1e-12
    )
    best = least_of_all("ib", px, py_x, 1e3, 3)
    assert baseline.solve(px, py_x, 1e3, 3, seeds=range(3)) <= best + 1e-6


def test_no_encoder_of_a_neighbouring_beta_is_better():
    letters, betas = dualib.datasets.load_letters(), [5.0, 10.0, 20.0, 50.0, 100.0]
    found = [dualib.solve(letters, beta, n_clusters=5, certify=False) for beta in betas]
    for one, other in itertools.permutations(found, 2):
        assert one.objective <= other.rate + one.beta * other.expected_distortion + 1e-9
    assert np.diff([solution.expected_distortion for solution in found]).max() <= 1e-9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("certify", [True, False])
def test_a_start_is_never_made_worse(kind, certify):
    px, py_x = with_zeros(2, n_x=12)
    joint = JointDistribution.from_conditionals(py_x, px)
    other = dualib.solve(joint, 60.0, kind, n_clusters=3, certify=False)
    for encoder in (other.encoder, np.eye(4)[np.arange(12) % 4]):  # the second has more clusters than are allowed
        start = naive.objective_of_encoder(kind, px, py_x, np.asarray(encoder), 15.0)
        solution = dualib.solve(joint, 15.0, kind, init=encoder, n_clusters=3, n_restarts=1, certify=certify)
        assert solution.n_clusters <= 3
        if encoder.shape[1] <= 3:
            assert solution.objective <= start + 1e-9


def test_random_starts_under_a_cap_repeat_with_their_seed():
    joint = JointDistribution.from_conditionals(with_zeros(4)[1])
    first, second = (dualib.solve(joint, 30.0, init="random", n_clusters=3, random_state=5) for _ in range(2))
    np.testing.assert_array_equal(first.encoder, second.encoder)
    with pytest.raises(ValueError, match=r"init must be an encoder .*got 'other'"):
        dualib.solve(joint, 30.0, init="other", n_clusters=3)


# --- clusters without a common support, and columns ---------------------------------------------------------------------


def test_clusters_without_a_common_support_are_put_where_there_is_one():
    """The dual IB: five x in two clusters, which only the last two y, of least weight, make possible."""
    py_x = np.array([[0.9, 0, 0, 0.1, 0], [0, 0.9, 0, 0.1, 0], [0, 0, 0.9, 0.1, 0], [0.9, 0, 0, 0, 0.1], [0, 0.9, 0, 0, 0.1]])
    joint = JointDistribution.from_conditionals(py_x)
    solution = dualib.solve(joint, 5.0, "dualib", n_clusters=2, certify=False)
    np.testing.assert_array_equal(
        solution.encoder.argmax(axis=1) == solution.encoder[0].argmax(), [True, True, True, False, False]
    )


def of_columns(px, matrix, beta):
    """The least of I + beta E d with these columns, to 1e-10, by Blahut's sweeps."""
    weights, likelihood = np.full(matrix.shape[1], 1.0 / matrix.shape[1]), np.exp(-beta * matrix)
    for _ in range(5_000):
        ratio = (px / (likelihood @ weights)) @ likelihood
        if ratio.max() < 1.0 + 1e-10:
            break
        weights = weights * ratio
    return -px @ np.log(likelihood @ weights)


def test_the_best_columns_of_many():
    rng = np.random.default_rng(1)
    px, matrix = rng.dirichlet(np.full(6, 2.0)), rng.random((6, 12))
    joint = JointDistribution.from_conditionals(np.eye(6), px)
    best = min(of_columns(px, matrix[:, columns], 5.0) for columns in map(list, itertools.combinations(range(12), 3)))
    solution = dualib.solve(joint, 5.0, dualib.RateDistortion(matrix), n_clusters=3, certify=False)
    assert solution.objective == pytest.approx(best, abs=1e-9) and solution.n_clusters <= 3


# --- curves on sparse problems ----------------------------------------------------------------------------------------


@pytest.fixture
def always_sparse(monkeypatch):
    monkeypatch.setattr(choice, "DENSE_CELLS", 0)


def thin_documents():
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(60, 0.1), 6)
    counts = np.array([rng.multinomial(60, 0.85 * topics[i % 6] + 0.15 / 60) for i in range(40)])
    return JointDistribution.from_counts(sparse.csr_array(counts[:, counts.sum(axis=0) > 0]))


@pytest.mark.parametrize("direction", ["down", "up"])
def test_along_a_capped_sparse_path_relevance_never_falls(direction, always_sparse):
    joint = thin_documents()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        curve = dualib.anneal(
            joint, betas=np.geomspace(3.0, 300.0, 8), events=False, n_clusters=4, direction=direction, max_iter=2000
        )
    assert np.diff(curve.relevance).min() >= -1e-9
    assert np.diff(curve.expected_distortion).max() <= 1e-9
    assert curve.n_clusters.max() <= 4
    for one, other in itertools.pairwise(curve):
        assert one.objective <= other.rate + one.beta * other.expected_distortion + 1e-9
        assert other.objective <= one.rate + other.beta * one.expected_distortion + 1e-9


def test_a_capped_sparse_solve_is_as_good_as_the_dense_one_and_the_baseline(always_sparse):
    joint = thin_documents()
    dense = joint.to_dense()
    for beta in (8.0, 200.0):
        own = dualib.solve(joint, beta, n_clusters=4, certify=False)
        assert own.objective <= baseline.solve(dense.px, dense.py_x, beta, 4, seeds=range(3)) + 1e-9
        assert own.objective == pytest.approx(dualib.solve(dense, beta, n_clusters=4, certify=False).objective, abs=1e-6)
        assert own.gap == np.inf and own.certificate is None and own.status is Status.CAPPED
