"""The exponential family: as a distortion, for unseen x, in files, and cut out of given conditionals."""

import pickle

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import ExponentialFamily
from dualib.distortions.check import check_distortion
from dualib.distortions.named import from_config
from dualib.engine.problem import Problem


def family(seed, n_x=9, d=3, n_y=5, size=1.0):
    rng = np.random.default_rng(seed)
    return ExponentialFamily(size * rng.normal(size=(n_x, d)), rng.normal(size=(d, n_y)), rng.normal(size=n_y))


def textbook(features, parameters, intercept):
    """p(y|x), one number after the other."""
    rows = []
    for a in features:
        weights = [np.exp(-a @ parameters[:, y] - intercept[y]) for y in range(parameters.shape[1])]
        rows.append([w / sum(weights) for w in weights])
    return np.array(rows)


# the distortion


def test_conditionals_are_those_of_the_definition():
    fam = family(0)
    np.testing.assert_allclose(fam.conditionals(), textbook(fam.features, fam.parameters, fam.intercept), rtol=1e-13)
    px = np.random.default_rng(1).dirichlet(np.ones(9))
    joint = fam.joint(px, x_labels=list("abcdefghi"))
    np.testing.assert_allclose(joint.pxy, px[:, None] * fam.conditionals(), atol=1e-16)
    assert joint.x_labels[2] == "c"


@pytest.mark.parametrize("seed", range(50))
def test_the_answer_is_that_of_the_dual_ib(seed):
    rng = np.random.default_rng(seed)
    n_x, d, n_y = int(rng.integers(3, 9)), int(rng.integers(1, 5)), int(rng.integers(2, 7))
    fam = family(seed, n_x, d, n_y)
    joint = fam.joint(rng.dirichlet(np.ones(n_x)))
    beta = float(rng.uniform(2.0, 12.0))
    own, plain = dualib.solve(joint, beta, fam), dualib.solve(joint, beta, "dualib")
    assert own.objective == pytest.approx(plain.objective, abs=1e-9)
    assert own.gap <= 1e-9
    assert own.means.shape[1] == min(d, n_y - 1)
    np.testing.assert_allclose(own.encoder, plain.encoder, atol=1e-7)
    np.testing.assert_allclose(own.decoder, plain.decoder, atol=1e-7)
    assert own.expected_distortion == pytest.approx(plain.expected_distortion, abs=1e-7)


def test_means_are_minus_the_mean_features_and_lift_finds_the_features():
    fam = family(3, d=3, n_y=6)
    joint = fam.joint()
    features, offset = fam.lift(joint.py_x)
    np.testing.assert_allclose(features, -fam.features, atol=1e-12)
    logs = -fam.features @ (fam.parameters - fam.parameters.mean(axis=1, keepdims=True)) - (
        fam.intercept - fam.intercept.mean()
    )
    np.testing.assert_allclose(offset, np.log(np.exp(logs).sum(axis=1)), atol=1e-12)
    solution = dualib.solve(joint, 8.0, fam)
    members = (joint.px[:, None] * solution.encoder).T / solution.weights[:, None]
    np.testing.assert_allclose(solution.means, -members @ fam.features, atol=1e-8)


def test_sources_in_any_order_merged_dropped_or_repeated():
    fam = family(4)
    px = np.random.default_rng(4).dirichlet(np.ones(9))
    reference = dualib.solve(fam.joint(px), 8.0, fam)
    order = np.array([5, 1, 8, 0, 2, 2, 7, 3, 6, 4])
    split = px[order] * np.where(order == 2, 0.5, 1.0)
    moved = dualib.solve(dualib.JointDistribution(split[:, None] * fam.conditionals()[order]), 8.0, fam)
    assert moved.objective == pytest.approx(reference.objective, abs=1e-12)
    np.testing.assert_allclose(moved.encoder, reference.encoder[order], atol=1e-8)


def test_a_source_of_no_probability_and_of_no_family_gets_the_marginal():
    fam = family(5, d=2, n_y=6)
    px = np.array([0.2, 0.0, 0.2, 0.2, 0.2, 0.2, 0.0, 0.0, 0.0])
    known = dualib.solve(fam.joint(px), 8.0, fam)  # the conditionals of the family are kept, also there
    unknown = dualib.solve(dualib.JointDistribution(fam.joint(px).pxy), 8.0, fam)  # p(y) is put there, which is a mixture
    live = px > 0.0
    np.testing.assert_allclose(unknown.encoder[live], known.encoder[live], atol=1e-9)
    np.testing.assert_allclose(unknown.encoder[~live], np.tile(unknown.weights, (4, 1)), atol=1e-12)
    np.testing.assert_allclose(known.encoder[1], known.encode(fam.conditionals()[[1]])[0], atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_gauge_and_change_of_basis(seed):
    rng = np.random.default_rng(seed)
    fam = family(seed)
    shifted = ExponentialFamily(fam.features, fam.parameters + 100.0 * rng.normal(size=(3, 1)), fam.intercept + 7.0)
    mixing = rng.normal(size=(3, 3))
    mixed = ExponentialFamily(fam.features @ mixing, np.linalg.solve(mixing, fam.parameters), fam.intercept)
    scaled = ExponentialFamily(
        fam.features * [1e20, 1.0, 1e-20], fam.parameters / np.array([[1e20], [1.0], [1e-20]]), fam.intercept
    )
    constant = ExponentialFamily(
        np.c_[fam.features, np.ones(9)], np.vstack([fam.parameters, fam.intercept])
    )  # the intercept as a feature
    reference = dualib.solve(fam.joint(), 8.0, fam)
    for other in (shifted, mixed, scaled, constant):
        np.testing.assert_allclose(other.conditionals(), fam.conditionals(), rtol=1e-10)
        solution = dualib.solve(other.joint(), 8.0, other)
        assert solution.objective == pytest.approx(reference.objective, abs=1e-10)
        np.testing.assert_allclose(solution.encoder, reference.encoder, atol=1e-7)


def test_dependent_parameters_use_as_many_coordinates_as_there_are():
    fam = family(6, d=2, n_y=5)
    doubled = ExponentialFamily(
        np.c_[fam.features, fam.features[:, :1]], np.vstack([fam.parameters, fam.parameters[:1]]), fam.intercept
    )
    joint = doubled.joint()
    solution = dualib.solve(joint, 6.0, doubled)
    assert solution.means.shape[1] == 2
    assert solution.objective == pytest.approx(dualib.solve(joint, 6.0, "dualib").objective, abs=1e-10)
    nothing = ExponentialFamily(fam.features, np.ones((2, 5)))
    assert dualib.solve(nothing.joint(), 6.0, nothing).n_clusters == 1


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0])
def test_the_interface_is_kept_over_a_wide_range(size):
    fam = family(7, n_x=6, d=2, n_y=4, size=size)
    py_x = fam.conditionals()
    assert (py_x > 0.0).all()
    check_distortion(fam, py_x)
    problem = Problem(fam.joint(), fam)
    means, face, _ = problem.centroids(np.random.default_rng(8).dirichlet(np.ones(problem.n), 5))
    r = np.array([np.exp(m @ np.log(problem.py_x)) for m in np.random.default_rng(8).dirichlet(np.ones(problem.n), 5)])
    r /= r.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(problem.decoder(means, face), r, rtol=1e-9)
    direct = np.sum(r[:, None] * (np.log(r)[:, None] - np.log(problem.py_x)), axis=2)
    distances = problem.a - problem.terms(np.ones(5), *problem.link(means, face), face)
    np.testing.assert_allclose(distances, direct, atol=1e-12 * (1.0 + 50.0 * size))


def test_link_is_the_same_with_and_without_the_shift():
    rng = np.random.default_rng(9)
    fam = family(9, d=2, n_y=300)
    means = rng.normal(size=(500, 2))  # more than one block
    near = [part.copy() for part in fam.link(means)]
    far = fam.link(np.vstack([means, [[1e4, -1e4]]]))  # one large mean, and every block is shifted by its maximum
    np.testing.assert_allclose(far[0][:-1], near[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(far[1][:-1], near[1], rtol=1e-12, atol=1e-13)
    assert np.isfinite(far[0]).all()
    assert fam.link(np.empty((0, 2)))[0].shape == (0, 2)


def test_a_path_and_a_certificate():
    fam = family(10, n_x=6, d=1, n_y=3, size=1.5)
    joint = fam.joint()
    curve = dualib.anneal(joint, fam, beta_max=10.0)
    plain = dualib.anneal(joint, "dualib", beta_max=10.0)
    assert curve.gap.max() <= 1e-9
    assert curve.onset == pytest.approx(plain.onset, rel=1e-6)
    last = curve[-1]
    assert dualib.certify(joint, last.encoder, last.beta, fam).gap <= 1e-8
    assert dualib.local_critical_beta(joint, fam) == pytest.approx(dualib.local_critical_beta(joint, "dualib"), rel=1e-9)


# unseen x


def test_unseen_x_with_the_features_of_a_seen_one():
    fam = family(11)
    solution = dualib.solve(fam.joint(), 8.0, fam)
    again = fam.conditionals(fam.features[[4, 2]])
    np.testing.assert_allclose(solution.encode(again), solution.encoder[[4, 2]], atol=1e-9)
    np.testing.assert_allclose(solution.predict_proba(again), solution.predict_proba()[[4, 2]], atol=1e-9)
    new = fam.conditionals(np.random.default_rng(12).normal(size=(20, 3)))
    plain = dualib.solve(fam.joint(), 8.0, "dualib")
    np.testing.assert_allclose(solution.predict_proba(new), plain.predict_proba(new), atol=1e-7)


def test_conditionals_outside_the_family_are_refused():
    fam = family(13, d=2)
    solution = dualib.solve(fam.joint(), 8.0, fam)
    rows = fam.conditionals()
    rows[3] = np.full(5, 0.2) + 1e-5 * np.array([2.0, -1.0, -1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="row 3 is not in the exponential family"):
        solution.encode(rows)
    with pytest.raises(ValueError, match=r"p\(y\|x\) = 0 at index \(0, 1\)"):
        solution.encode([[0.5, 0.0, 0.2, 0.2, 0.1]])
    with pytest.raises(ValueError, match="n_y = 5 columns"):
        dualib.solve(family(1, n_y=4).joint(), 3.0, fam)


# sparse features, storage


def test_sparse_features_give_the_same():
    rng = np.random.default_rng(14)
    dense = rng.normal(size=(12, 6)) * (rng.random((12, 6)) < 0.4)
    parameters = rng.normal(size=(6, 5))
    first = ExponentialFamily(dense, parameters)
    for kind in (sparse.csr_array, sparse.coo_matrix, sparse.csc_array):
        second = ExponentialFamily(kind(dense), parameters)
        np.testing.assert_allclose(second.conditionals(), first.conditionals(), rtol=1e-13)
        np.testing.assert_allclose(second.conditionals(kind(dense[:2])), first.conditionals(dense[:2]), rtol=1e-13)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_config_pickle_equality_and_files(kind, tmp_path):
    rng = np.random.default_rng(15)
    fam = ExponentialFamily(kind(rng.normal(size=(7, 2))), rng.normal(size=(2, 4)), rng.normal(size=4))
    other = ExponentialFamily(kind(np.asarray(rng.normal(size=(7, 2)))), fam.parameters, fam.intercept)
    for copy in (from_config(fam.to_config()), pickle.loads(pickle.dumps(fam))):
        assert copy == fam != other
        assert repr(copy) == repr(fam)
        np.testing.assert_array_equal(copy.conditionals(), fam.conditionals())
    assert fam != dualib.DualIB()
    solution = dualib.solve(fam.joint(), 6.0, fam)
    solution.save(tmp_path / "solution.npz")
    loaded = dualib.load(tmp_path / "solution.npz")
    assert loaded.distortion == fam
    np.testing.assert_array_equal(loaded.encode(fam.conditionals()), solution.encode(fam.conditionals()))
    curve = dualib.anneal(fam.joint(), fam, betas=[2.0, 6.0])
    curve.save(tmp_path / "curve.npz")
    assert dualib.load(tmp_path / "curve.npz")[1].distortion == fam
    assert str(fam.n_x) in repr(fam)


def test_nothing_can_be_changed_from_outside():
    features, parameters = np.ones((3, 1)), np.array([[1.0, 2.0]])
    fam = ExponentialFamily(features, parameters)
    features[0], parameters[0] = 9.0, 9.0
    assert fam.features[0, 0] == 1.0
    assert fam.parameters[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        fam.features[0] = 2.0


# from conditionals


def test_from_conditionals_finds_a_family_exactly():
    fam = family(31, n_x=8, d=3, n_y=6)
    px = np.random.default_rng(31).dirichlet(np.ones(8))
    found = ExponentialFamily.from_conditionals(fam.conditionals(), 3, px)
    np.testing.assert_allclose(found.conditionals(), fam.conditionals(), rtol=1e-11)
    assert found.expected_divergence(fam.conditionals(), px) < 1e-13
    assert dualib.solve(found.joint(px), 8.0, found).objective == pytest.approx(
        dualib.solve(fam.joint(px), 8.0, fam).objective
    )


def test_from_conditionals_costs_less_with_rank_and_nothing_at_the_full_one():
    py_x = np.random.default_rng(32).dirichlet(np.full(5, 2.0), 7)
    costs = []
    for rank in range(1, 5):
        fam = ExponentialFamily.from_conditionals(py_x, rank)
        direct = np.mean([np.sum(p * np.log(p / q)) for p, q in zip(py_x, fam.conditionals(), strict=True)])
        costs.append(fam.expected_divergence(py_x))
        assert costs[-1] == pytest.approx(direct, abs=1e-14)
    assert np.all(np.diff(costs) < 0.0)
    assert costs[-1] < 1e-13
    logs = np.log(py_x) - np.log(py_x).mean(axis=1, keepdims=True)
    logs -= logs.mean(axis=0)
    fam = ExponentialFamily.from_conditionals(py_x, 2)
    values = np.linalg.svd(logs)[1]
    assert np.sum((logs + fam.features @ fam.parameters) ** 2) == pytest.approx(np.sum(values[2:] ** 2))


# bad input


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (([[1.0, 2.0]], [[1.0, 2.0]]), "parameters must have one row for each of the 2 features"),
        (([1.0], [[1.0]]), "features must have 2 dimension"),
        (([[np.nan]], [[1.0, 2.0]]), "features must be finite"),
        (([[1.0]], [[np.inf, 2.0]]), "parameters must be finite"),
        (([[1.0]], [[1.7e308, 1.7e308]]), "overflows"),
        (([[1.0]], [[1.0, 2.0]], [1.0]), "intercept must have length n_y = 2"),
        ((np.empty((0, 2)), np.ones((2, 3))), "features must not be empty"),
        ((sparse.csr_array((0, 2)), np.ones((2, 3))), "features must have 2 dimensions and not be empty"),
        ((sparse.csr_array([[np.inf]]), np.ones((1, 3))), "features must be finite"),
    ],
)
def test_bad_families(arguments, match):
    with pytest.raises(ValueError, match=match):
        ExponentialFamily(*arguments)


def test_bad_features_and_conditionals():
    fam = family(33)
    with pytest.raises(ValueError, match="features must have 3 columns"):
        fam.conditionals([[1.0, 2.0]])
    with pytest.raises(ValueError, match="overflows"):
        fam.conditionals([[1e308, 1e308, -1e308]])
    with pytest.raises(ValueError, match="9 rows"):
        fam.expected_divergence(np.full((2, 5), 0.2))
    with pytest.raises(TypeError, match="features must hold real numbers"):
        ExponentialFamily(sparse.csr_array(np.array([[1j]])), [[1.0, 2.0]])
    huge = ExponentialFamily([[0.0], [2000.0]], [[0.0, 1.0]])
    np.testing.assert_array_equal(huge.conditionals()[1], [1.0, 0.0])
    with pytest.raises(ValueError, match="underflows, scale them down"):
        dualib.solve(huge.joint(), 2.0, huge)
    assert huge.expected_divergence([[0.5, 0.5], [1.0, 0.0]]) == pytest.approx(0.0, abs=1e-15)
    assert huge.expected_divergence([[0.5, 0.5], [0.9, 0.1]]) == pytest.approx(100.0, abs=0.5)


@pytest.mark.parametrize(
    ("py_x", "rank", "match"),
    [
        ([[0.5, 0.5], [1.0, 0.0]], 1, r"p\(y\|x\) = 0 at index \(1, 1\)"),
        ([[0.5, 0.5], [0.9, 0.1]], 2, r"rank must be at most min\(n_x, n_y\) - 1 = 1, got 2"),
        ([[0.5, 0.5], [0.9, 0.1]], 0, "rank must be an integer of at least 1"),
        ([[0.5, 0.4], [0.9, 0.1]], 1, "row 0 must sum to 1"),
    ],
)
def test_bad_conditionals(py_x, rank, match):
    with pytest.raises(ValueError, match=match):
        ExponentialFamily.from_conditionals(py_x, rank)
