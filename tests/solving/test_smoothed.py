"""Counts with a pseudocount in every cell that stay sparse: all that their dense form gives, by the IB and the dual IB."""

import pickle

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import JointDistribution
from dualib.engine import choice
from dualib.engine import sparse as sparse_module
from dualib.engine.batch import Batch
from dualib.engine.initial import drawn
from dualib.engine.problem import Problem
from dualib.engine.sparse import SparseProblem
from dualib.engine.stability import linear_rate, stability
from dualib.engine.sweep import Sweep, log_c

KINDS = ["ib", "dualib"]
DISTORTIONS = {"ib": dualib.IB(), "dualib": dualib.DualIB()}


@pytest.fixture(autouse=True)
def always_sparse(monkeypatch):
    monkeypatch.setattr("dualib.joint.SMOOTHED_DENSE", 0)
    monkeypatch.setattr(choice, "DENSE_CELLS", 0)


def counts(seed, n_x=20, n_y=12):
    """With a row of zeros, two equal rows, and a column of zeros."""
    table = np.random.default_rng(seed).poisson(0.6, (n_x, n_y)).astype(float)
    table[3], table[7], table[:, 5] = 0.0, table[2], 0.0
    return table


def both(table, smoothing=0.3):
    return JointDistribution.from_counts(table, smoothing), JointDistribution.from_counts(sparse.csr_array(table), smoothing)


# the joint distribution


def test_the_joint_distribution_is_that_of_the_dense_form():
    dense, own = both(counts(0))
    assert own.is_sparse and own.is_smoothed and not dense.is_sparse and not dense.is_smoothed
    for name in ("pxy", "py_x"):
        mine, theirs = getattr(own, name), getattr(dense, name)
        np.testing.assert_allclose(mine.toarray(), theirs, rtol=1e-14)
        np.testing.assert_allclose(mine[4:9].toarray(), theirs[4:9], rtol=1e-14)
        np.testing.assert_allclose(mine[[8, 1], :3].toarray(), theirs[[8, 1], :3], rtol=1e-14)
        for axis in (0, 1):
            np.testing.assert_allclose(mine.sum(axis=axis), theirs.sum(axis=axis), rtol=1e-14)
        left, right = np.random.default_rng(0).random((3, 20)), np.random.default_rng(1).random((12, 4))
        np.testing.assert_allclose(mine @ right, theirs @ right, rtol=1e-13)
        np.testing.assert_allclose(mine @ right[:, 0], theirs @ right[:, 0], rtol=1e-13)
        np.testing.assert_allclose(mine.T @ left.T, theirs.T @ left.T, rtol=1e-13)
        np.testing.assert_allclose(left @ mine, left @ theirs, rtol=1e-13)
    np.testing.assert_allclose(own.px, dense.px, rtol=1e-14)
    np.testing.assert_allclose(own.py, dense.py, rtol=1e-14)
    assert own.mutual_information == pytest.approx(dense.mutual_information, abs=1e-14)
    assert own == dense and own.to_dense() == dense
    assert "smoothed, sparse" in repr(own) and "smoothing" in own._repr_html_()


def test_it_is_pickled_and_cannot_be_written_to():
    _, own = both(counts(0))
    again = pickle.loads(pickle.dumps(own))
    assert again == own and again.is_smoothed
    for joint in (own, again):
        with pytest.raises(ValueError, match="read-only"):
            joint.py_x.background[0] = 1.0
        with pytest.raises(ValueError, match="read-only"):
            joint.pxy.sparse.data[0] = 1.0


def test_labels_samples_and_large_counts():
    joint = JointDistribution.from_samples(["a", "b", "a"], ["u", "v", "u"], smoothing=0.5)
    assert joint.x_labels == ("a", "b")
    _, own = both(1e300 * counts(1), 1e299)
    np.testing.assert_allclose(own.px, both(counts(1), 0.1)[0].px, rtol=1e-13)


def test_bad_smoothings_are_named():
    for amount in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="smoothing must be finite and >= 0"):
            both(counts(0), amount)
    with pytest.raises(ValueError, match="smoothing must be at least 1e-290 of the largest count 4, got 1e-300"):
        JointDistribution.from_counts(sparse.csr_array(np.array([[4.0, 1.0], [0.0, 2.0]])), 1e-300)


# the engine


@pytest.fixture(params=[512, 3], ids=["one block", "many blocks"])
def blocks(request, monkeypatch):
    monkeypatch.setattr(sparse_module, "_FEWEST_ROWS", request.param)
    monkeypatch.setattr(sparse_module, "_LARGEST_BLOCK", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_features_products_and_sweeps_are_those_of_the_dense_form(kind, blocks):
    joints = both(counts(1))
    dense, own = Problem(joints[0], DISTORTIONS[kind]), SparseProblem(joints[1], None, DISTORTIONS[kind])
    np.testing.assert_array_equal(own.row_of, dense.row_of)
    assert own.n == 19  # of equal rows one
    rng = np.random.default_rng(1)
    V, pairs = rng.standard_normal((5, own.k)), rng.random((4, own.n))
    np.testing.assert_allclose(own.features()[0], dense.U, rtol=1e-13)
    np.testing.assert_allclose(own.a, dense.a, rtol=1e-13, atol=1e-300)
    assert own.constant == pytest.approx(dense.constant, rel=1e-13)
    np.testing.assert_allclose(own.products(V), dense.products(V), atol=1e-13)
    for members in (pairs, sparse.csr_array(pairs)):
        np.testing.assert_allclose(own.sums(members), dense.sums(pairs), atol=1e-13)
    np.testing.assert_allclose(own.moments(pairs), dense.moments(pairs), atol=1e-14)
    np.testing.assert_allclose(own.outcomes(pairs), dense.outcomes(pairs), atol=1e-14)
    np.testing.assert_allclose(own.absolute_sums(pairs), dense.absolute_sums(pairs), atol=1e-13)
    for one, other in zip(own.sizes(), dense.sizes(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)
    assert not own.beyond(dense.U).any() and own.beyond(dense.U + 10.0).all()
    batch = drawn(own, [2.0, 5.0], 4, rng)
    first, second = Sweep(dense, batch), Sweep(own, batch)
    for name in ("objective", "log_z", "posterior", "c", "new_means", "force", "residual"):
        np.testing.assert_allclose(getattr(second, name), getattr(first, name), rtol=1e-11, atol=1e-12, err_msg=name)
    points = (batch.means[::-1].copy(), batch.face, batch.owner)
    mine, theirs = (log_c(problem, batch.beta, first.log_z, *points) for problem in (own, dense))
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_stability_and_rate_are_those_of_the_dense_form(kind):
    joints = both(counts(2))
    dense, own = Problem(joints[0], DISTORTIONS[kind]), SparseProblem(joints[1], None, DISTORTIONS[kind])
    solution = dualib.solve(joints[1], 2.5 * dualib.onset(joints[1], kind), kind)
    m = solution.n_clusters
    batch = Batch(np.array([solution.beta]), solution.weights, solution.means, np.zeros(m, np.int64), np.zeros(m, np.int64))
    mine, theirs = Sweep(own, batch), Sweep(dense, batch)
    np.testing.assert_allclose(stability(own, batch, mine), stability(dense, batch, theirs), rtol=1e-9, atol=1e-12)
    assert linear_rate(own, batch, mine) == pytest.approx(linear_rate(dense, batch, theirs), abs=1e-9)


# solutions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_optima_onsets_and_certificates_are_those_of_the_dense_form(kind, seed):
    dense, own = both(counts(seed))
    first = dualib.onset(dense, kind)
    assert dualib.onset(own, kind) == pytest.approx(first, rel=1e-10)
    assert dualib.local_critical_beta(own, kind) == pytest.approx(dualib.local_critical_beta(dense, kind), rel=1e-10)
    for beta in (1.2 * first, 3.0 * first):
        mine, theirs = (dualib.solve(joint, beta, kind) for joint in (own, dense))
        assert mine.certificate == "multistart" and mine.gap < 1e-9
        for name in ("objective", "rate", "relevance", "expected_distortion", "decoder_information"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), abs=1e-8), name
        certificate = dualib.certify(own, mine.encoder, beta, kind)
        assert certificate.gap < 1e-9 and certificate.objective == pytest.approx(mine.objective, abs=1e-11)
    labels = np.arange(own.n_x) % 3
    one, other = (dualib.certify(joint, labels, 2.0, kind) for joint in (own, dense))
    assert one.objective == pytest.approx(other.objective, abs=1e-11)
    assert one.lower_bound == pytest.approx(other.lower_bound, abs=1e-9)
    assert one.residual == pytest.approx(other.residual, rel=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_paths_and_wanted_rates_are_those_of_the_dense_form(kind):
    dense, own = both(counts(0, 12, 8))
    theirs, mine = (dualib.anneal(joint, kind, beta_max=2.0 * dualib.onset(dense, kind)) for joint in (dense, own))
    assert [(event.kind, event.located) for event in mine.events] == [(event.kind, event.located) for event in theirs.events]
    np.testing.assert_allclose([event.beta for event in mine.events], [event.beta for event in theirs.events], rtol=1e-8)
    first, second = (dualib.solve_at(joint, kind, rate=0.4) for joint in (dense, own))
    assert second.beta == pytest.approx(first.beta, rel=1e-7) and second.relevance == pytest.approx(first.relevance, abs=1e-9)


def test_a_checkpoint_knows_its_smoothing(tmp_path):
    options = {"betas": [2.0, 4.0], "events": False, "checkpoint": tmp_path / "path"}
    first = dualib.anneal(both(counts(0))[1], "dualib", **options)
    again = dualib.anneal(both(counts(0))[1], "dualib", **options)
    np.testing.assert_array_equal(first[0].encoder, again[0].encoder)
    with pytest.raises(ValueError, match="was written for another problem"):
        dualib.anneal(both(counts(0), 0.4)[1], "dualib", **options)


@pytest.mark.parametrize("kind", KINDS)
def test_hard_and_capped_clusters_are_as_good_as_those_of_the_dense_form(kind):
    dense, own = both(counts(1))
    for options in ({"n_clusters": 3}, {"n_clusters": 4, "alpha": 0.5}, {"alpha": 0.0}):
        mine, theirs = (dualib.solve(joint, 6.0, kind, **options) for joint in (own, dense))
        assert mine.objective == pytest.approx(theirs.objective, abs=1e-8), options
        assert mine.lower_bound <= theirs.objective + 1e-9
    mine, theirs = (dualib.quantize(joint, 4, kind) for joint in (own, dense))
    assert mine.objective == pytest.approx(theirs.objective, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_moves_are_of_all_x_where_single_ones_are_too_many(kind, monkeypatch):
    """Of clusters that are plain, which seeds and nearest clusters find."""
    monkeypatch.setattr("dualib.clusters.hard._MOST_TERMS", 0)
    rng = np.random.default_rng(0)
    table = rng.multinomial(60, np.kron(np.eye(3), np.full(5, 0.2))[np.arange(30) % 3])
    _, own = both(table.astype(float), 0.1)
    found = dualib.quantize(own, 3, kind, certify=False)
    assert all(len(set(found.labels[first::3])) == 1 for first in range(3))


@pytest.mark.parametrize("kind", KINDS)
def test_solutions_are_saved_predict_and_encode(kind, tmp_path):
    dense, own = both(counts(0))
    solution = dualib.solve(own, 4.0, kind)
    theirs = dualib.solve(dense, 4.0, kind)
    solution.save(tmp_path / "s.npz")
    again = dualib.load(tmp_path / "s.npz")
    assert again.joint.is_smoothed and again.joint == own
    np.testing.assert_array_equal(again.encoder, solution.encoder)
    np.testing.assert_array_equal(again.joint.py_x.background, own.py_x.background)
    np.testing.assert_allclose(solution.encode(dense.py_x), solution.encoder, atol=1e-8)
    np.testing.assert_allclose(solution.encode(own.py_x[2:9]), solution.encode(dense.py_x[2:9]), atol=1e-12)
    for decoder in ("problem", "bayes"):
        np.testing.assert_allclose(solution.predict_proba(decoder=decoder), theirs.predict_proba(decoder=decoder), atol=1e-6)


def test_a_saved_background_that_does_not_fit_is_refused(tmp_path):
    dualib.solve(both(counts(0))[1], 4.0).save(tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as file:
        arrays = dict(file)
    for name, value in (("pxy", -1.0), ("pxy", np.nan), ("py_x", 0.9)):
        broken = {**arrays, f"{name}.background": np.full(20, value)}
        np.savez(tmp_path / "broken.npz", **broken)
        with pytest.raises(ValueError, match=r"background|py_x|pxy"):
            dualib.load(tmp_path / "broken.npz")


@pytest.mark.parametrize("name", ["InformationBottleneck", "DualInformationBottleneck"])
@pytest.mark.parametrize("beta", [None, 30.0])
def test_estimators_with_a_smoothing(name, beta):
    pytest.importorskip("sklearn")
    table = counts(2)
    dense, own = (
        getattr(dualib, name)(3, beta, smoothing=0.5, certify=False).fit(data) for data in (table, sparse.csr_array(table))
    )
    assert own.solution_.joint.is_smoothed and not dense.solution_.joint.is_smoothed
    assert own.solution_.objective == pytest.approx(dense.solution_.objective, abs=1e-8)
    np.testing.assert_allclose(own.transform(sparse.csr_array(table)), own.transform(table), atol=1e-12)
    np.testing.assert_array_equal(own.labels_, own.predict(sparse.csr_array(table)))


# what is refused


@pytest.mark.parametrize(
    "call",
    [
        lambda joint: dualib.solve(joint, 2.0, dualib.RateDistortion(np.ones((joint.n_x, 2)))),
        lambda joint: dualib.onset(joint, dualib.Alpha(0.5)),
        lambda joint: dualib.anneal(joint, dualib.Alpha(0.5)),
    ],
    ids=["matrix", "alpha", "anneal"],
)
def test_what_needs_the_dense_form_says_what_that_takes(call, monkeypatch):
    monkeypatch.setattr(choice, "MOST_DENSE_CELLS", 0)
    needed = (
        r"^joint: .* needs the dense form .* would take [\d.]+ MiB of memory at least.* the IB and the dual IB keep it sparse"
    )
    with pytest.raises(ValueError, match=needed):
        call(both(counts(0))[1])
