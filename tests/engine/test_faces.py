"""The faces of the dual IB on the engine: each that can hold a c above a level is looked at, and the largest c of all is found."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp
from solving.test_faces import intersections, with_zeros

import dualib
from dualib.distortions.bottlenecks import IB, DualIB
from dualib.engine.faces import _all_starts, has_faces, look_at_faces
from dualib.engine.initial import identity
from dualib.engine.judge import judge
from dualib.engine.optimum import optimum
from dualib.engine.problem import Problem
from dualib.engine.search import Found, at_rest
from dualib.engine.starts import Points
from dualib.engine.sweep import Sweep
from engine import twins


def naive_maximum(px, py_x, beta, log_z, face, rng):
    """The largest log c that naive ascents from many points of the simplex over a set of y lead to; -inf where no source has it."""
    inside = (py_x[:, face] > 0.0).all(axis=1)
    if not inside.any():
        return -np.inf
    log_p, log_a = np.log(py_x[np.ix_(inside, face)]), np.log(px[inside]) - log_z[inside]
    log_s = np.log(rng.dirichlet(np.full(int(face.sum()), 0.5), 20) + 1e-300)
    log_s = np.concatenate([log_s, log_p - logsumexp(log_p, axis=1, keepdims=True)])
    highest = np.full(len(log_s), -np.inf)
    while True:
        s = np.exp(log_s)
        terms = log_a - beta * ((s * log_s).sum(axis=1)[:, None] - s @ log_p.T)
        values = logsumexp(terms, axis=1)
        if (values - highest).max() < 1e-13:
            return float(values.max())
        highest = values
        mean = np.exp(terms - values[:, None]) @ log_p
        log_s = mean - logsumexp(mean, axis=1, keepdims=True)


def nothing_found(problem, batch, sweep, level):
    """What a search says that has looked at the atoms only, at which log c is a level."""
    none = Points(np.zeros((0, problem.k)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    best = Points(batch.means[batch.start], batch.face[batch.start], np.arange(len(batch.beta)))
    return Found(np.zeros(0), none, np.asarray(level, dtype=np.float64), best, np.zeros(len(batch.weights)))


@pytest.fixture(scope="module", params=range(6))
def small_table(request):
    """A table of five or six y with zeros, three betas at the identity, where c exceeds 1, and for each log max c by set of y."""
    rng = np.random.default_rng([27, request.param])
    n_x, n_y = int(rng.integers(4, 9)), 5 + request.param % 2
    py_x = rng.dirichlet(np.full(n_y, [0.3, 1.0, 5.0][request.param % 3]), n_x) * (rng.random((n_x, n_y)) < 0.7)
    py_x[py_x.sum(axis=1) == 0.0] = 1.0
    joint = dualib.JointDistribution.from_conditionals(py_x / py_x.sum(axis=1, keepdims=True), rng.dirichlet(np.ones(n_x)))
    problem = Problem(joint, DualIB())
    batch = identity(problem, 10.0 ** rng.uniform(-0.7, 1.3, 3))
    sweep = Sweep(problem, batch)
    sets = np.array(list(itertools.product([False, True], repeat=n_y))[1:])
    naive = [
        {tuple(face): naive_maximum(problem.px, problem.py_x, beta, log_z, face, rng) for face in sets}
        for beta, log_z in zip(batch.beta, sweep.log_z, strict=True)
    ]
    return problem, batch, sweep, naive


def test_the_largest_c_of_all_faces_is_found(small_table):
    problem, batch, sweep, naive = small_table
    best = np.array([max(each.values()) for each in naive])
    known = len(problem.faces.masks)
    every = np.ones(len(best), dtype=bool)
    found, complete = look_at_faces(problem, batch, sweep, nothing_found(problem, batch, sweep, best - 1.0), every, 1e-9)
    assert complete.all()
    assert (found.gap >= 0.85 * best - 1e-8).all()  # points of large c are new atoms before they come to rest
    found = at_rest(problem, batch, sweep, found, every)
    assert found.gap == pytest.approx(np.maximum(best, 0.0), abs=1e-8)
    decoders = problem.decoder(found.best.means, found.best.face)
    for s, (beta, log_z) in enumerate(zip(batch.beta, sweep.log_z, strict=True)):
        value = twins.log_c(problem.joint, problem.distortion, beta, log_z[problem.row_of], decoders[s])
        assert value == pytest.approx(found.gap[s], abs=1e-8)
    assert len(problem.faces.masks) <= known + len(found.points.owner) + len(best)
    assert (np.bincount(found.points.owner, minlength=len(best)) > 0)[best > 1e-6].all()
    again, _ = look_at_faces(problem, batch, sweep, nothing_found(problem, batch, sweep, best + 1e-9), every, 1.0)
    assert not len(again.weights) and again.gap == pytest.approx(best + 1e-9, abs=1e-12)


def test_solutions_that_are_not_asked_for_are_as_they_were(small_table):
    problem, batch, sweep, naive = small_table
    found = nothing_found(problem, batch, sweep, np.zeros(3))
    which = np.array([False, True, False])
    more, kinds = judge(problem, batch, sweep, found, 1e-9, prove=~which & which, search=which)
    assert kinds.tolist() == ["heuristic", "multistart", "heuristic"]
    assert (more.gap[~which] == np.maximum(np.maximum.reduceat(np.log(sweep.c), batch.start), 0.0)[~which]).all()
    assert more.gap[1] == pytest.approx(max(0.0, *naive[1].values()), rel=0.15, abs=1e-8) and set(more.points.owner) <= {1}


def test_at_the_optimum_no_set_of_y_has_a_larger_c_than_the_gap_says(small_table):
    problem, batch, _, naive = small_table
    found = optimum(problem, batch.beta)
    assert (found.gap <= 1e-9).all() and (found.kind == "multistart").all()
    rng = np.random.default_rng(0)
    for s, beta in enumerate(batch.beta):
        for face in naive[s]:
            largest = naive_maximum(problem.px, problem.py_x, beta, found.sweep.log_z[s], np.array(face), rng)
            assert largest <= found.gap[s] + 5e-10, (s, face)


def test_every_face_with_a_c_above_the_level_is_among_the_starts(small_table):
    """The bounds rule out no face, whatever the level: each that has a point above it has a start, and no other set is a face."""
    problem, batch, sweep, naive = small_table
    closed = {tuple(face) for face in intersections(problem.faces.support)}
    for share in (0.0, 0.3, 0.6, 0.9):
        level = (
            np.array([np.quantile([value for face, value in each.items() if face in closed], share) for each in naive]) - 1e-6
        )
        complete = np.zeros(3, dtype=bool)
        parts = list(_all_starts(problem, batch, sweep, level, np.ones(3, dtype=bool), complete))
        assert complete.all()
        for s in range(3):
            found = {tuple(face) for part in parts for face in problem.faces.masks[part.face[part.owner == s]]}
            assert {face for face in closed if naive[s][face] > level[s]} <= found <= closed


def test_faces_matter_only_where_there_are_zeros_and_to_the_dual_ib():
    rng = np.random.default_rng(0)
    dense = dualib.JointDistribution(rng.dirichlet(np.ones(20)).reshape(5, 4))
    px, py_x, _ = with_zeros(3)
    few = dualib.JointDistribution.from_conditionals(py_x, px)
    assert not has_faces(Problem(dense, DualIB())) and not has_faces(Problem(few, IB()))
    assert has_faces(Problem(few, DualIB()))
