"""Curves without events: jumps from beta to beta, and the certificate of one cluster carried to smaller betas."""

from dataclasses import replace

import numpy as np
import pytest

import dualib
from dualib import JointDistribution, ascent, jit
from dualib.distortions import as_distortion
from dualib.jumps import _HASTY, Walk, jump, missing, walk
from dualib.old_path import Path
from dualib.optimise import Outcome, initial_atoms, optimise
from dualib.problem import Problem, first_of_alike, sweep
from dualib.search import Maxima
from dualib.settle_kernels import settled_known
from dualib.start_kernels import taken_up

KINDS = ("ib", "dualib")


def random_joint(seed, n_x, n_y, concentration, zeros=0.0):
    rng = np.random.default_rng(seed)
    pxy = rng.dirichlet(np.full(n_x * n_y, concentration)).reshape(n_x, n_y)
    pxy[rng.random(pxy.shape) < zeros] = 0.0
    pxy[np.arange(n_x), np.arange(n_x) % n_y] += 1e-2  # no empty row
    return JointDistribution(pxy / pxy.sum())


def path_of(joint, kind, seed=0):
    return Path(Problem(joint, as_distortion(kind)), 1e-9, 20_000, np.random.default_rng(seed))


# -------------------------------------------------------------------------------------------------------------------------- jumps


@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zeros", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_a_curve_without_events_is_the_one_with_them(seed, zeros, kind, direction):
    joint = random_joint(seed, 8, 5, 0.6, zeros)
    betas = np.geomspace(0.5, 80.0, 14)
    jumped = dualib.anneal(joint, kind, betas, events=False, direction=direction)
    followed = dualib.anneal(joint, kind, betas)
    assert jumped.gap.max() <= 1e-9
    np.testing.assert_allclose(jumped.objective, followed.objective, atol=2e-9, rtol=0)
    assert max(solution.residual for solution in jumped) <= 1e-10


def jumped(path, beta, near, certify=None, max_iter=20_000):
    certify = certify or path._certified
    return jump(path.problem, beta, near.state.atoms, near.maxima, 1e-9, max_iter, certify)


def test_a_jump_ends_with_the_sweeps_that_it_may_make():
    path = path_of(random_joint(3, 30, 6, 0.8), "ib")
    high = path.solve_anew(60.0)
    assert jumped(path, 15.0, high).n_iter > 20
    assert jumped(path, 15.0, high, max_iter=20, certify=lambda *_: pytest.fail("nothing to certify")) is None


def test_what_is_put_together_too_early_is_found_again(monkeypatch):
    """Two clusters that an eager look takes for one come back by the search, and are not put together again."""
    path = path_of(random_joint(3, 30, 6, 0.8), "ib")
    high = path.solve_anew(60.0)
    monkeypatch.setattr("dualib.jumps._HASTY", _HASTY._replace(close=30.0))
    numbers = []

    def settled(kind, beta, px, u, pxu, ut, weights, means, *rest):
        if not numbers:  # without one of them
            weights, means = weights[1:] / weights[1:].sum(), means[1:].copy()
        numbers.append(len(weights))
        return settled_known(kind, beta, px, u, pxu, ut, weights, means, *rest)

    monkeypatch.setattr("dualib.jumps.settled_known", settled)
    found = jumped(path, 50.0, high)
    assert len(numbers) > 1 and numbers[0] == len(high.state.atoms) - 1
    assert found is not None and found.state.objective == pytest.approx(
        dualib.solve(path.problem.joint, 50.0).objective, abs=1e-10
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_jump_crosses_many_bifurcations_at_once(kind, monkeypatch):
    """From 40 clusters to a few, over a factor of four in beta; all searching is done at the end."""
    joint = random_joint(3, 40, 6, 0.8)
    path = path_of(joint, kind)
    high = path.solve_anew(60.0)
    monkeypatch.setattr(path, "solve_anew", None)  # the jump alone
    for low in (30.0, 15.0):
        found = jumped(path, low, high)
        assert found is not None and found.gap <= 1e-9
        alone = dualib.solve(joint, low, kind)
        assert found.state.objective == pytest.approx(alone.objective, abs=1e-10)
        assert len(found.state.atoms) == alone.n_clusters < len(high.state.atoms)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jump_upward_finds_the_clusters_born_on_the_way(kind):
    joint = random_joint(8, 9, 4, 0.7)
    path = path_of(joint, kind)
    low = path.solve_anew(12.0)
    found = jumped(path, 16.0, low)
    alone = dualib.solve(joint, 16.0, kind)
    assert found is not None and len(found.state.atoms) == alone.n_clusters > len(low.state.atoms)
    assert found.state.objective == pytest.approx(alone.objective, abs=1e-10)


def test_a_jump_that_fails_says_so_and_the_point_is_solved_anew(monkeypatch):
    joint = dualib.datasets.toy()
    path = path_of(joint, "ib")
    path.solve_anew(60.0)
    near = path.outcomes[60.0]
    monkeypatch.setattr("dualib.jumps.settled_known", lambda *_: (False, np.arange(0), 1))
    monkeypatch.setattr("dualib.old_path.walk", lambda *_, **__: Walk([], None, True))
    assert jumped(path, 9.0, near, certify=lambda *_: pytest.fail("nothing to certify")) is None
    assert path.jump(9.0, 60.0).state.objective == pytest.approx(dualib.solve(joint, 9.0, "ib").objective, abs=1e-10)


# ------------------------------------------------------------------------------------------------------------------------- walks


def walked(path, betas, near):
    return walk(path.problem, betas, near.state.atoms, near.maxima, path.tol, path.max_iter, path.rng, 0.25, prove=True)


def same_bits(first, second):
    assert (first.gap, first.n_iter, first.certificate) == (second.gap, second.n_iter, second.certificate)
    assert first.state.objective == second.state.objective
    for name in ("posterior", "log_z", "c"):
        np.testing.assert_array_equal(getattr(first.state, name), getattr(second.state, name))
    for atoms in ("atoms", "new"):
        np.testing.assert_array_equal(getattr(first.state, atoms).means, getattr(second.state, atoms).means)
    np.testing.assert_array_equal(first.maxima.log_c, second.maxima.log_c)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_x", "n_y"), [(6, 3), (40, 6)])
def test_a_walk_takes_the_same_steps_at_once_as_one_by_one(n_x, n_y, kind, monkeypatch):
    """Proved with three y; with 40 sources the pairs to start from are drawn, and a walk that ends early draws no more."""
    monkeypatch.setattr(jit, "_spent", jit.BUDGET)  # interpreted, it is one by one anyway
    joint = random_joint(3, n_x, n_y, 0.8)
    at_once, by_one = path_of(joint, kind), path_of(joint, kind)
    near, also = at_once.solve_anew(40.0), by_one.solve_anew(40.0)
    betas = np.geomspace(38.0, 8.0, 12).tolist()
    found = walked(at_once, betas, near)
    assert len(found.outcomes) >= 3
    for beta, outcome in zip(betas, found.outcomes, strict=False):
        alone = walked(by_one, [beta], also)
        same_bits(alone.outcomes[0], outcome)
        also = alone.outcomes[0]
        assert outcome.state.objective == pytest.approx(dualib.solve(joint, beta, kind).objective, abs=1e-9)
    if found.stuck:
        assert walked(by_one, betas[len(found.outcomes) :][:1], also).outcomes == []
    assert at_once.rng.bit_generator.state == by_one.rng.bit_generator.state


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_y", [3, 5])
def test_a_jump_goes_on_from_the_end_of_a_walk(n_y, kind):
    """Upward clusters are born: a walk ends at each, and what it has found there is enough for the jump."""
    joint = random_joint(8, 9, n_y, 0.7)
    path = path_of(joint, kind)
    path.solve_anew(2.0)
    ends, start, betas = 0, 2.0, np.geomspace(2.2, 40.0, 14).tolist()
    while betas:
        ends += walked(path_of(joint, kind), betas, path.outcomes[start]).last is not None
        done = path.walk(betas, start)
        start, betas = betas[done - 1], betas[done:]
        outcome = path.outcomes[start]
        assert outcome.gap <= 1e-9
        assert outcome.state.objective == pytest.approx(dualib.solve(joint, start, kind).objective, abs=1e-9)
    assert ends >= 2


def test_a_walk_ends_with_one_cluster():
    joint = dualib.datasets.toy()
    path = path_of(joint, "ib")
    path.solve_anew(20.0)
    betas = [12.0, 2.0, 1.5, 1.0]
    done = path.walk(betas, 20.0)
    assert len(path.outcomes[betas[done - 1]].state.atoms) == 1 and done < 4
    assert path.single is path.outcomes[betas[done - 1]]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_search_finds_is_looked_for_at_the_betas_before(kind):
    """Two points certified though a cluster is missing there, as a search may miss it; the third finds it."""
    joint = random_joint(3, 12, 5, 0.3)
    path = path_of(joint, kind)
    betas = [30.0, 28.0, 26.0, 24.0]
    done = path.walk(betas[:1]) and path.walk(betas[1:], betas[0])
    assert done == 3  # nothing is missing
    right = {beta: path.outcomes[beta] for beta in betas}
    for beta in betas[1:3]:
        state = sweep(
            path.problem, beta, right[beta].state.atoms.pick(np.arange(1, len(right[beta].state.atoms))).normalised()
        )
        maxima = Maxima(right[beta].maxima.points.pick(np.arange(0)), np.empty(0))
        path.add(beta, Outcome(state, 0.0, "multistart", maxima, 1))
        assert missing(path.problem, path.outcomes[beta], right[24.0]) and not missing(path.problem, right[beta], right[24.0])
    path.add(24.0, replace(right[24.0], grown=True))
    path._look_back(24.0, 26.0)
    for beta in betas:
        assert path.outcomes[beta].state.objective == pytest.approx(right[beta].state.objective, abs=1e-10)
        assert len(path.outcomes[beta].state.atoms) == len(right[beta].state.atoms)
    assert path.outcomes[30.0] is right[30.0]


@pytest.mark.parametrize("sure", [True, False])
def test_one_cluster_is_searched_with_all_effort_before_much_rests_on_it(sure, monkeypatch):
    joint = random_joint(8, 9, 5, 0.7)
    path = path_of(joint, "ib")
    first = dualib.onset(joint)
    path.walk([2.0 * first])
    path.walk([0.9 * first], 2.0 * first)
    assert path.single is not None and path.sure is None
    efforts = []
    real = Path._certified

    def certified(self, state, hints, n_iter, effort=1.0, known=None):
        efforts.append(effort)
        outcome = real(self, state, hints, n_iter, effort, known)
        return outcome if sure else replace(outcome, gap=1.0)

    monkeypatch.setattr(Path, "_certified", certified)
    path.walk([0.8 * first], 0.9 * first)
    assert efforts[0] == 1.0 and path.sure is (path.single if sure else None)
    assert path.outcomes[0.9 * first].gap <= 1e-9
    path.walk([0.7 * first], 0.8 * first)
    assert path.outcomes[0.7 * first].state.objective == pytest.approx(dualib.solve(joint, 0.7 * first).objective, abs=1e-12)


def test_a_walk_without_proofs_where_they_are_not_wanted():
    joint = dualib.datasets.toy()
    path = path_of(joint, "ib")
    near = path.solve_anew(20.0)
    kinds = [
        walk(path.problem, [12.0], near.state.atoms, near.maxima, 1e-9, 1000, path.rng, 0.25, prove=prove)
        .outcomes[0]
        .certificate
        for prove in (0, 1)
    ]
    assert kinds == ["multistart", "rigorous"]


# ------------------------------------------------------------------------------------------------------------------- one cluster


def log_c(joint, kind, beta, points):
    """Log c at decoders (m, n_y) with the one cluster as the solution, in plain NumPy."""
    p = joint.py_x
    if kind == "ib":
        d = np.array([[np.sum(a * np.log(a / q)) for q in points] for a in p])
        own = np.array([np.sum(a * np.log(a / joint.py)) for a in p])
    else:
        middle = np.exp(joint.px @ np.log(p))
        middle /= middle.sum()
        d = np.array([[np.sum(q * np.log(q / a)) for q in points] for a in p])
        own = np.array([np.sum(middle * np.log(middle / a)) for a in p])
    return np.log(joint.px @ np.exp(-beta * (d - own[:, None])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_log_c_of_one_cluster_lies_below_its_chord(seed, kind):
    """What carries a certificate to smaller betas: log c is convex in beta, and 0 at beta = 0."""
    rng = np.random.default_rng(seed)
    joint = random_joint(seed, 6, 4, 1.0)
    points = np.concatenate([joint.py_x, rng.dirichlet(np.ones(4), 200)])
    whole = log_c(joint, kind, 5.0, points)
    for part in (0.9, 0.5, 0.1):
        assert (log_c(joint, kind, 5.0 * part, points) <= part * np.maximum(whole, 0.0) + 1e-12).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_cluster_is_searched_for_once(kind, monkeypatch):
    """Below the onset the gap follows from the first point there; it bounds what a fresh certificate finds."""
    joint = random_joint(0, 6, 5, 1.0)
    onset = dualib.onset(joint, kind)
    betas = onset * np.array([0.2, 0.5, 0.9, 0.99, 1.5, 4.0])
    searched = []
    real = Path._certified

    def counted(self, state, *args, **options):
        searched.append(state.beta)
        return real(self, state, *args, **options)

    monkeypatch.setattr(Path, "_certified", counted)
    for events in (False, True):
        searched.clear()
        curve = dualib.anneal(joint, kind, betas, events=events)
        assert not [beta for beta in searched if beta < 0.98 * onset]
        np.testing.assert_array_equal(curve.n_clusters[:4], 1)
        assert curve.gap[:4].max() <= 1e-9
        for solution in [curve[i] for i in range(4)]:
            fresh = dualib.certify(joint, solution.encoder, solution.beta, kind)
            assert fresh.gap <= solution.gap + 1e-12
            assert solution.certificate == fresh.kind


@pytest.mark.parametrize("kind", KINDS)
def test_hints_are_taken_up_by_the_kernel_as_by_hand(kind):
    rng = np.random.default_rng(3)
    problem = Problem(JointDistribution(rng.dirichlet(np.full(20 * 4, 0.5)).reshape(20, 4)), as_distortion(kind))
    state = optimise(problem, 6.0, initial_atoms(problem), tol=1e-9, max_iter=2000, rng=rng).state
    log_a, points = problem.log_px - state.log_z, problem.atoms_from_members(rng.dirichlet(np.full(20, 0.3), 40))
    arrays = (problem.U, problem.UT, log_a, points.means, state.atoms.means, problem.link(state.atoms)[0])
    means, values = taken_up(problem.known, 6.0, *arrays, 3, 1e-2)
    for _ in range(3):
        points = problem.atoms_from_members(ascent.log_c(problem, 6.0, log_a, points)[1], points.weights)
    points = first_of_alike(problem, 6.0, points, state.atoms, 1e-2)
    np.testing.assert_allclose(means, points.means, atol=1e-12)
    np.testing.assert_allclose(values, ascent.log_c(problem, 6.0, log_a, points)[0], atol=1e-12)
    assert 0 < len(means) < 40
