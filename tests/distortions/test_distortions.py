"""Every distortion under one list of tests, and the interface as a user meets it."""

import copy
import pickle

import naive
import numpy as np
import pytest

import dualib
from dualib import JointDistribution
from dualib.distortions.check import check_distortion
from dualib.distortions.interface import METHODS
from dualib.distortions.named import as_distortion, from_config
from dualib.engine.batch import Batch
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep
from dualib.results.assembly import expected_distortions

N_X, N_Y, N_T = 7, 4, 5


class KullbackLeibler(dualib.Distortion):
    """The IB again, written as a user would write it."""

    name = "kl"

    def lift(self, py_x):
        return py_x, np.sum(py_x * np.log(py_x), axis=1)

    def link(self, means):
        return np.log(means), np.zeros(len(means))

    def decoder(self, means):
        return means

    def link_jacobian(self, means):
        return np.eye(means.shape[1]) / means[:, :, None]


MOVING = {
    "ib": dualib.IB(),
    "dualib": dualib.DualIB(),
    "bregman": dualib.Bregman.squared_euclidean(),
    "alpha 0.3": dualib.Alpha(0.3),
    "alpha 0.8": dualib.Alpha(0.8),
    "custom": KullbackLeibler(),
    # three independent rows for four y: every positive conditional is in the family
    "dualexpib": dualib.ExponentialFamily(np.ones((1, 3)), np.random.default_rng(21).normal(size=(3, N_Y)), np.arange(N_Y)),
}
DIRECT = {
    "ib": naive.kl,
    "dualib": lambda p, r: naive.kl(r, p),
    "bregman": lambda p, r: 0.5 * np.sum((p - r) ** 2),
    "alpha 0.3": lambda p, r: (1 - np.sum(p**0.3 * r**0.7)) / 0.21,
    "alpha 0.8": lambda p, r: (1 - np.sum(p**0.8 * r**0.2)) / 0.16,
    "custom": naive.kl,
    "dualexpib": lambda p, r: naive.kl(r, p),
}
moving = pytest.mark.parametrize("name", MOVING)
BETA = 3.0


def make(name, seed=0):
    """A problem with one source of probability 0, random atoms from random members."""
    rng = np.random.default_rng(seed)
    px, py_x = naive.random_problem(rng, N_X, N_Y)
    px[2] = 0.0
    problem = Problem(JointDistribution.from_conditionals(py_x, px / px.sum()), MOVING[name])
    members = rng.dirichlet(np.ones(problem.n), N_T)
    means, face, _ = problem.centroids(members)
    weights, owner = rng.dirichlet(np.ones(N_T)), np.zeros(N_T, dtype=np.int64)
    return problem, Batch(np.array([BETA]), weights, means, owner, face)


@moving
def test_distances_are_those_of_the_definition(name):
    problem, batch = make(name)
    decoder = problem.decoder(batch.means, batch.face)
    np.testing.assert_allclose(decoder.sum(axis=1), 1.0, atol=1e-14)
    direct = np.array([[DIRECT[name](p, r) for p in problem.py_x] for r in decoder])
    V, b = problem.link(batch.means, batch.face)
    np.testing.assert_allclose(problem.a - problem.terms(np.ones(N_T), V, b, batch.face), direct, atol=1e-13)


@moving
def test_one_sweep_is_the_textbook_one(name):
    problem, batch = make(name)
    d = np.array([[DIRECT[name](p, r) for r in problem.decoder(batch.means, batch.face)] for p in problem.py_x])
    terms = batch.weights * np.exp(-BETA * d)
    encoder = terms / terms.sum(axis=1, keepdims=True)
    state = Sweep(problem, batch)
    np.testing.assert_allclose(state.posterior.T, encoder, atol=1e-14)
    np.testing.assert_allclose(state.new_weights, problem.px @ encoder, atol=1e-14)
    assert state.objective[0] == pytest.approx(-problem.px @ np.log(terms.sum(axis=1)), abs=1e-13)


@moving
def test_the_centroid_is_the_minimiser(name):
    problem, batch = make(name)
    state = Sweep(problem, batch)
    at_centroid = expected_distortions(problem, batch, state)[0]
    rng = np.random.default_rng(1)
    pairs = state.posterior * problem.px
    best = problem.decoder(state.new_means, batch.face)
    for _ in range(30):
        moved = best * np.exp(0.05 * rng.normal(size=best.shape))
        moved /= moved.sum(axis=1, keepdims=True)
        d = np.array([[DIRECT[name](p, r) for p in problem.py_x] for r in moved])
        assert np.sum(pairs * d) >= at_centroid - 1e-13


@moving
def test_jacobian_and_centroid_condition(name):
    rng = np.random.default_rng(4)
    check_distortion(MOVING[name], rng.dirichlet(np.ones(N_Y), N_X))


@moving
def test_whitening_is_a_root_of_the_jacobian(name):
    problem, batch = make(name)
    rows = problem.whitened(batch.means, batch.face)
    difference = problem.U[None] - batch.means[:, None, :]
    jacobian = problem.distortion.link_jacobian(batch.means)
    expected = np.einsum("txk,tkl,tyl->txy", difference, jacobian, difference)
    np.testing.assert_allclose(rows @ rows.transpose(0, 2, 1), expected, atol=1e-12)


ZEROS = np.array([[0.5, 0.3, 0.2, 0.0], [0.2, 0.8, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4], [0.0, 0.6, 0.4, 0.0]])


@pytest.mark.parametrize("name", ["ib", "dualib"])
def test_on_a_face_distances_and_jacobian_are_those_of_what_is_left(name):
    """Clusters of a few of the rows: what no member can have, or any lacks, has no part in them."""
    kind, clusters = MOVING[name], [[0, 1], [1, 3], [0, 3]]
    U, a = kind.lift(ZEROS)
    means = np.array([U[members].mean(axis=0) for members in clusters])
    possible = [
        (ZEROS[members] > 0.0).any(axis=0) if name == "ib" else (ZEROS[members] > 0.0).all(axis=0) for members in clusters
    ]
    face = np.array(possible)
    v, b = kind.link(means, face)
    decoder, jacobian = kind.decoder(means, face), kind.link_jacobian(means, face)
    np.testing.assert_array_equal(decoder > 0.0, face)
    assert not v[~face].any() and not jacobian[~face].any()
    for t, members in enumerate(clusters):
        expected = [DIRECT[name](ZEROS[x], decoder[t]) for x in members]
        np.testing.assert_allclose(a[members] - U[members] @ v[t] + b[t], expected, atol=1e-14)
    diagonal, outer = kind.jacobian_parts(means, face)
    parts = np.einsum("tk,kl->tkl", diagonal, np.eye(N_Y)) - outer[:, :, None] * outer[:, None, :]
    np.testing.assert_allclose(parts, jacobian, atol=1e-14)
    root = kind.whiten(np.broadcast_to(np.eye(N_Y), (len(clusters), N_Y, N_Y)), means, face)
    np.testing.assert_allclose(root @ root.transpose(0, 2, 1), jacobian, atol=1e-13)


def test_an_alpha_cluster_without_mass_has_the_uniform_decoder():
    np.testing.assert_array_equal(dualib.Alpha(0.3).decoder(np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]))[0], 0.25)


@moving
def test_solutions_are_stationary_and_certified(name):
    rng = np.random.default_rng(9)
    px, py_x = naive.random_problem(rng, N_X, N_Y)
    beta = 40.0 if name == "bregman" else 6.0
    solution = dualib.solve(JointDistribution.from_conditionals(py_x, px), beta, MOVING[name])
    assert solution.gap <= 1e-9
    assert solution.residual <= 1e-9
    assert solution.n_clusters > 1
    d = np.array([[DIRECT[name](p, r) for r in solution.decoder] for p in py_x])
    terms = solution.weights * np.exp(-beta * d)
    np.testing.assert_allclose(solution.encoder, terms / terms.sum(axis=1, keepdims=True), atol=1e-9)


def test_a_distortion_of_ones_own_gives_the_same_answer():
    rng = np.random.default_rng(12)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(4), 8))
    own, built_in = dualib.solve(joint, 7.0, KullbackLeibler()), dualib.solve(joint, 7.0, "ib")
    assert own.objective == pytest.approx(built_in.objective, abs=1e-12)
    np.testing.assert_allclose(own.encoder, built_in.encoder, atol=1e-8)
    assert own.certificate == "multistart"


def test_alpha_tends_to_the_ib_and_to_the_dual_ib():
    rng = np.random.default_rng(13)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(3), 6))
    for kind, alpha in (("ib", 1 - 1e-5), ("dualib", 1e-5)):  # nearer, the rounding of beta d is above the tolerance
        limit = dualib.solve(joint, 5.0, dualib.Alpha(alpha)).objective
        assert limit == pytest.approx(dualib.solve(joint, 5.0, kind).objective, abs=1e-4)


def test_zeros_in_the_alpha_divergence_and_in_squared_distance():
    joint = JointDistribution.from_conditionals(np.eye(4))
    for distortion in (dualib.Alpha(0.5), dualib.Bregman.squared_euclidean()):
        solution = dualib.solve(joint, 20.0, distortion)
        assert solution.gap <= 1e-9
        assert np.isfinite(solution.encoder).all()


def test_rate_distortion_is_blahut_arimoto():
    rng = np.random.default_rng(6)
    matrix, px = rng.random((6, 4)), rng.dirichlet(np.ones(6))
    joint = JointDistribution.from_conditionals(np.eye(6), px)
    beta = 5.0
    weights = np.full(4, 0.25)
    for _ in range(20000):
        terms = weights * np.exp(-beta * matrix)
        weights = px @ (terms / terms.sum(axis=1, keepdims=True))
    solution = dualib.solve(joint, beta, dualib.RateDistortion(matrix))
    terms = weights * np.exp(-beta * matrix)
    assert solution.objective == pytest.approx(-px @ np.log(terms.sum(axis=1)), abs=1e-9)
    assert solution.certificate == "rigorous"
    assert solution.decoder.shape == (solution.n_clusters, 4)


def test_rate_distortion_sources_without_probability_keep_their_rows():
    rng = np.random.default_rng(7)
    matrix = rng.random((5, 3))
    px = np.array([0.3, 0.0, 0.3, 0.2, 0.2])
    full = dualib.solve(JointDistribution.from_conditionals(np.eye(5), px), 4.0, dualib.RateDistortion(matrix))
    live = px > 0
    part = dualib.solve(JointDistribution.from_conditionals(np.eye(4), px[live]), 4.0, dualib.RateDistortion(matrix[live]))
    np.testing.assert_allclose(full.encoder[live], part.encoder, atol=1e-12)
    with pytest.raises(ValueError, match="matrix has 5 rows"):
        dualib.solve(JointDistribution.from_conditionals(np.eye(4)), 4.0, dualib.RateDistortion(matrix))


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_method_is_named(method):
    body = {key: value for key, value in vars(KullbackLeibler).items() if key in METHODS and key != method}
    with pytest.raises(TypeError, match=method):
        type("Partial", (dualib.Distortion,), body)()

    class Duck:
        pass

    duck = Duck()
    for other in METHODS:
        if other != method:
            setattr(duck, other, lambda *_: None)
    with pytest.raises(TypeError, match=rf"lacks the method\(s\) {method}"):
        as_distortion(duck)
    setattr(duck, method, lambda *_: None)
    with pytest.raises(TypeError, match=r"has the methods but is no subclass of dualib\.Distortion: derive it"):
        as_distortion(duck)


def test_check_distortion_finds_faults():
    rng = np.random.default_rng(3)
    py_x = rng.dirichlet(np.ones(4), 6)

    class WrongJacobian(KullbackLeibler):
        def link_jacobian(self, means):
            return 2.0 * super().link_jacobian(means)

    class WrongOffset(KullbackLeibler):
        def link(self, means):
            return np.log(means), np.sum(means**2, axis=1)

    class WrongShape(KullbackLeibler):
        def lift(self, py_x):
            return py_x, np.zeros(len(py_x) + 1)

    class NoMatrix(KullbackLeibler):
        def link_jacobian(self, means):
            return super().link_jacobian(means)[:, :-1]

    class Lopsided(KullbackLeibler):
        """V = A M, its Jacobian A not symmetric; b has the right gradient at one point, as b = c M."""

        matrix = rng.random((4, 4))

        def link(self, means):
            return means @ self.matrix.T, means @ self.matrix.T @ py_x.mean(axis=0)

        def link_jacobian(self, means):
            return np.broadcast_to(self.matrix, (len(means), 4, 4))

    with pytest.raises(ValueError, match="link_jacobian is not the derivative"):
        check_distortion(WrongJacobian(), py_x)
    with pytest.raises(ValueError, match=r"link_jacobian must return shape \(n_t, k, k\), got \(1, 3, 4\)"):
        check_distortion(NoMatrix(), py_x)
    with pytest.raises(ValueError, match="link_jacobian is not symmetric: V is not the gradient"):
        check_distortion(Lopsided(), py_x)
    with pytest.raises(ValueError, match="gradient of b"):
        check_distortion(WrongOffset(), py_x)
    with pytest.raises(ValueError, match="lift must return shapes"):
        check_distortion(WrongShape(), py_x)


def test_a_lift_that_is_not_finite_is_refused():
    joint = JointDistribution.from_conditionals(np.eye(3))
    with pytest.raises(ValueError, match="lift returned values that are not finite"), np.errstate(all="ignore"):
        dualib.solve(joint, 2.0, KullbackLeibler())


@pytest.mark.parametrize(
    "distortion",
    [
        dualib.IB(),
        dualib.DualIB(),
        dualib.Alpha(0.4),
        dualib.Bregman.squared_euclidean(),
        dualib.RateDistortion(np.eye(3)),
        MOVING["dualexpib"],
    ],
    ids=repr,
)
def test_config_round_trip_pickle_and_equality(distortion):
    assert from_config(distortion.to_config()) == distortion or isinstance(distortion, dualib.Bregman)
    assert repr(from_config(distortion.to_config())) == repr(distortion)
    assert repr(pickle.loads(pickle.dumps(distortion))) == repr(distortion)
    assert copy.deepcopy(distortion).name == distortion.name
    assert distortion != dualib.Alpha(0.9)


def test_what_cannot_be_saved_says_so():
    with pytest.raises(TypeError, match="cannot be saved"):
        KullbackLeibler().to_config()
    with pytest.raises(TypeError, match="cannot be saved"):
        dualib.Bregman(np.sum, np.sum, np.sum).to_config()
    with pytest.raises(ValueError, match="no distortion named 'x'"):
        from_config({"name": "x"})


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.5, 2.0, np.nan, "0.5", True])
def test_bad_alpha(alpha):
    with pytest.raises(ValueError, match="alpha"):
        dualib.Alpha(alpha)


@pytest.mark.parametrize("matrix", [[], [1.0], [[np.nan]], [["a"]], [[1j]]])
def test_bad_matrix(matrix):
    with pytest.raises((ValueError, TypeError), match="matrix"):
        dualib.RateDistortion(matrix)


def test_bad_bregman():
    with pytest.raises(TypeError, match="gradient must be callable"):
        dualib.Bregman(np.sum, 3, np.sum)


def test_distortions_with_other_attributes_are_not_equal():
    first, second = dualib.Alpha(0.5), dualib.Alpha(0.5)
    assert first == second
    second.note = "mine"
    assert first != second and second != first


def test_only_the_named_bregman_distortion_is_loaded():
    config = dualib.Bregman.squared_euclidean().to_config()
    assert from_config(config) == dualib.Bregman.squared_euclidean()
    for label in ("kl", "squared-euclidean ", "zz"):
        with pytest.raises(ValueError, match="no distortion named 'bregman'"):
            from_config({**config, "label": label})


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_the_local_critical_beta_is_one_over_the_largest_eigenvalue(kind):
    """By the definition: lambda_max(Cov(U) J) at the one cluster, from the whole matrix."""
    joint = dualib.datasets.toy()
    problem = Problem(joint, as_distortion(kind))
    mean = joint.px @ problem.U
    centred = problem.U - mean
    covariance = (centred * joint.px[:, None]).T @ centred
    jacobian = problem.jacobian(mean[None, :], np.zeros(1, dtype=np.int64)).matrices()[0]
    largest = np.linalg.eigvals(covariance @ jacobian).real.max()
    assert dualib.local_critical_beta(joint, kind) == pytest.approx(1.0 / largest, rel=1e-12)
