"""Zeros in p(y|x). The dual IB's decoders may lie on any intersection of supports, and the search must look on each; the optimum of
the IB may be off a face by a mass that is tiny."""

import itertools
import warnings

import numpy as np
import pytest
from relations import thinned
from test_certify import random_problem

import dualib
from dualib.distortions import IB, DualIB
from dualib.problem import MOST_FACES, Problem


def with_zeros(seed):
    rng = np.random.default_rng(seed)
    n_x, n_y = int(rng.integers(3, 13)), int(rng.integers(5, 13))
    px = rng.dirichlet(np.ones(n_x))
    py_x = rng.dirichlet(np.full(n_y, [0.05, 0.2, 1.0, 5.0][seed % 4]), n_x) * (rng.random((n_x, n_y)) < 0.6)
    py_x[py_x.sum(axis=1) == 0.0] = 1.0
    return px, py_x / py_x.sum(axis=1, keepdims=True), 10.0 ** rng.uniform(-1.0, 1.0)


def test_no_certificate_is_refuted_by_the_same_problem_in_another_order():
    """Other orders and seeds search elsewhere: none may find an objective below what another one has certified."""
    for seed in range(40):
        px, py_x, beta = with_zeros(seed)
        found = []
        for order in range(3):
            rng = np.random.default_rng(order)
            x, y = rng.permutation(len(px)), rng.permutation(py_x.shape[1])
            joint = dualib.JointDistribution.from_conditionals(py_x[np.ix_(x, y)], px[x])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", dualib.ConvergenceWarning)
                found.append(dualib.solve(joint, beta, "dualib", random_state=order))
        best = min(solution.objective for solution in found)
        assert all(solution.objective - solution.gap <= best + 1e-8 for solution in found), seed


def test_the_faces_are_all_intersections_of_supports():
    px, py_x, _ = with_zeros(3)
    problem = Problem(dualib.JointDistribution.from_conditionals(py_x, px), DualIB())
    supports = [frozenset(np.flatnonzero(row)) for row in problem.support]
    expected = set(supports)
    for _ in supports:
        expected |= {one & other for one in expected for other in supports}
    expected.discard(frozenset())
    sharing = {tuple(face <= support for support in supports) for face in expected}
    assert {tuple(row) for row in problem.sharing.tolist()} == sharing
    assert len(problem.sharing) == len(expected)


def test_faces_are_few_and_only_where_zeros_matter():
    rng = np.random.default_rng(0)
    dense = dualib.JointDistribution(rng.dirichlet(np.ones(20)).reshape(5, 4))
    assert Problem(dense, DualIB()).sharing is None
    pxy = rng.random((40, 40)) * (rng.random((40, 40)) < 0.7)
    many = dualib.JointDistribution(pxy / pxy.sum())
    problem = Problem(many, DualIB())
    assert MOST_FACES < len(problem.sharing) <= 2 * MOST_FACES
    shared = {tuple(row) for row in problem.sharing.tolist()}  # of these none may be left out, however many others there are
    for one, other in itertools.product(range(40), repeat=2):
        holding = problem.support[:, one] & problem.support[:, other]
        face = problem.support[holding].all(axis=0)
        assert not holding.any() or tuple((problem.support | ~face).all(axis=1).tolist()) in shared
    assert Problem(many, IB()).sharing is None


@pytest.mark.parametrize("seed", [0, 5])
def test_a_cluster_on_a_small_face_is_found(seed):
    """Three x that share one y only, otherwise apart: at small beta they are best in one cluster, on that y."""
    rng = np.random.default_rng(seed)
    shared = rng.uniform(0.6, 0.9, 3)
    py_x = np.zeros((3, 7))
    py_x[:, 0] = shared
    for x in range(3):
        py_x[x, 1 + 2 * x : 3 + 2 * x] = (1.0 - shared[x]) * rng.dirichlet(np.ones(2))
    joint = dualib.JointDistribution.from_conditionals(py_x)
    solution = dualib.solve(joint, 0.1, "dualib")
    assert solution.n_clusters == 1
    assert solution.decoder[0] == pytest.approx([1.0, 0, 0, 0, 0, 0, 0], abs=1e-15)
    assert solution.objective == pytest.approx(-0.1 * np.mean(np.log(shared)), rel=1e-12)


def interior_sweeps(px, py_x, beta, n_sweeps=4000):
    """The IB's objective (without constant) by plain sweeps from decoders that are positive everywhere."""
    s = np.concatenate([0.7 * py_x + 0.3 * (px @ py_x), 0.999 * py_x + 0.001 * (px @ py_x)])
    w = np.full(len(s), 1.0 / len(s))
    for _ in range(n_sweeps):
        with np.errstate(all="ignore"):
            d = np.where(py_x > 0.0, py_x * np.log(py_x / s[:, None]), 0.0).sum(axis=2)
        joint = w[:, None] * np.exp(-beta * d)
        z = joint.sum(axis=0)
        members = joint / z * px
        w = members.sum(axis=1)
        s = members @ py_x / w[:, None]
        w, s = w[w > 1e-14], s[w > 1e-14]
    return -float(px @ np.log(z))


@pytest.mark.parametrize("seed", [9, 10, 26, 121, 125, 133])
def test_the_ib_leaves_a_face_by_a_tiny_mass_where_that_pays(seed):
    """Sweeps from the interior come to it, slowly; a search that does not look there certifies 1e-9 to 1e-6 too much."""
    rng = np.random.default_rng(seed)
    n_x, n_y = rng.integers(2, 6), rng.integers(3, 7)
    counts = rng.dirichlet(np.full(n_x * n_y, 0.5)).reshape(n_x, n_y) * (rng.random((n_x, n_y)) < 0.5)
    counts[np.arange(n_x), rng.integers(0, n_y, n_x)] += rng.random(n_x) * 0.3
    joint = dualib.JointDistribution.from_counts(counts)
    beta = float(np.exp(rng.uniform(0.3, 2.5)))
    live = joint.px > 0.0
    swept = interior_sweeps(joint.px[live], joint.py_x[live], beta)
    solution = dualib.solve(joint, beta)
    assert solution.objective - solution.gap - 1e-10 <= swept
    assert solution.objective <= swept + 1e-9


@pytest.mark.parametrize("beta", [33.3, 69.8])
def test_the_dual_ib_finds_a_cluster_at_one_x_on_a_part_of_its_support(beta):
    """There a second x, of another support, is at a finite distance; a start further from the one x led elsewhere."""
    joint = thinned(991)
    usual = dualib.solve(joint, beta, "dualib")
    others = [dualib.solve(joint, beta, "dualib", init="random", random_state=state) for state in range(4)]
    assert usual.gap <= 1e-9
    assert usual.objective <= min(solution.objective for solution in others) + 1e-9


@pytest.mark.parametrize(("seed", "betas"), [(20127, [0.43, 0.83]), (23022, [3.3, 9.4])])
def test_a_curve_of_the_dual_ib_with_zeros_is_as_good_as_separate_solves(seed, betas):
    """The quarter of a search that serves along a path looks at all faces too."""
    joint = thinned(seed)
    alone = [dualib.solve(joint, beta, "dualib") for beta in betas]
    for options in ({"events": False}, {"events": False, "direction": "up"}, {}):
        curve = dualib.anneal(joint, "dualib", betas, **options)
        for solution, other in zip(curve, alone, strict=True):
            assert solution.objective == pytest.approx(other.objective, abs=1e-10 + solution.gap + other.gap)


@pytest.mark.parametrize("number", [13, 55, 135])
def test_faces_that_many_sources_share_are_looked_at(number):
    """Of more faces than can be: intersections of few supports alone left certificates that another start refuted by up to 0.05."""
    rng = np.random.default_rng([0, number, 1])
    joint = random_problem(number).joint
    py_x = joint.py_x * (rng.random(joint.py_x.shape) < 0.6)
    py_x[py_x.sum(axis=1) == 0.0] = 1.0
    joint = dualib.JointDistribution.from_conditionals(py_x / py_x.sum(axis=1, keepdims=True), joint.px)
    for beta in (0.3, 4.0):
        starts = ({}, {"init": "random", "random_state": 1}, {"init": "random", "random_state": 2})
        found = [dualib.solve(joint, beta, "dualib", **options) for options in starts]
        best = min(solution.objective for solution in found)
        assert all(solution.gap <= 1e-9 and solution.lower_bound <= best + 1e-9 for solution in found)


def test_directions_that_outgrow_all_numbers_are_given_up():
    """Conjugate gradients on a table with zeros whose Hessian is all but singular: no overflow, which here would be an error."""
    rng = np.random.default_rng([4, 185])
    n_x, n_y = int(rng.integers(20, 70)), int(rng.integers(6, 15))
    pxy = rng.dirichlet(np.full(n_x * n_y, rng.choice([0.05, 0.3, 1.0, 5.0]))).reshape(n_x, n_y)
    assert rng.integers(5) == 1
    pxy *= rng.random(pxy.shape) < 0.6
    assert dualib.solve(dualib.JointDistribution(pxy / pxy.sum()), 8.4298339669975, "ib").gap <= 1e-9
