"""Whole solves: no decoder anywhere has c above what is reported, and no answer lies above those of 0.1.0."""

import numpy as np
import pytest

import dualib
from dualib.engine.initial import identity, of_encoder, one_cluster, random_clusters
from dualib.engine.judge import provable
from dualib.engine.optimum import certify, optimum
from dualib.engine.problem import Problem
from dualib.engine.search import price
from dualib.engine.stability import linear_rate, stability
from dualib.engine.sweep import Sweep
from engine import twins
from engine.cases import cases

CASES = cases()
BETAS = np.geomspace(0.5, 60.0, 7)


@pytest.mark.parametrize(("name", "joint", "distortion"), CASES, ids=[case[0] for case in CASES])
def test_no_decoder_tried_has_a_larger_c_than_the_gap_says(name, joint, distortion):
    """10,000 decoders a beta, on the whole simplex, near its faces and near the atoms; d from its definition, for some of them."""
    problem = Problem(joint, distortion)
    found = optimum(problem, BETAS)
    assert (found.gap <= 1e-9).all() and (found.sweep.residual <= 1e-9).all()
    assert (found.batch.counts <= problem.n).all()
    batch, rng = found.batch, np.random.default_rng(0)
    for s in range(len(BETAS)):
        own = slice(batch.ends[s], batch.ends[s + 1])
        decoders = problem.decoder(batch.means[own], batch.face[own])
        if problem.fixed:
            tried = np.eye(problem.k)
        elif name.startswith("dualexpib"):
            members = rng.dirichlet(np.full(problem.n, 0.3), 60)
            tried = problem.decoder(members @ problem.U, np.zeros(60, dtype=np.int64))
        else:
            members = rng.dirichlet(np.full(problem.n, 0.3), 20) @ problem.py_x
            near = 0.99 * decoders[rng.integers(0, len(decoders), 20)] + 0.01 * rng.dirichlet(np.ones(5), 20)
            tried = np.concatenate([rng.dirichlet(np.full(5, 0.5), 20), members, near])
        _, log_z, objective, _ = twins.sweep(joint, distortion, BETAS[s], batch.weights[own], decoders)
        assert found.sweep.objective[s] == pytest.approx(objective, abs=1e-12)
        assert max(twins.log_c(joint, distortion, BETAS[s], log_z, r) for r in tried) <= found.gap[s] + 1e-12


def test_what_a_search_has_missed_a_proof_finds(monkeypatch):
    joint = dualib.datasets.toy()
    problem = Problem(joint, dualib.IB())
    expected = optimum(problem, [8.0, 20.0])
    assert provable(problem)

    def blind(*arguments, **options):
        found = price(*arguments, **options)
        nothing = np.zeros(len(found.weights), dtype=bool)
        own = np.maximum(found.best.owner * 0.0, 0.0)
        return found._replace(weights=found.weights[nothing], points=found.points.pick(nothing), gap=own)

    monkeypatch.setattr("dualib.engine.optimum.price", blind)
    start = one_cluster(problem, [8.0, 20.0])
    found = certify(problem, start)
    assert (found.kind == "rigorous").all() and (found.gap <= 1e-9).all()
    np.testing.assert_allclose(found.sweep.objective, expected.sweep.objective, atol=1e-9)


def test_one_beta_alone_is_one_beta_among_others():
    for _, joint, distortion in CASES:
        problem = Problem(joint, distortion)
        together = optimum(problem, BETAS)
        for s in (1, 4):
            alone = optimum(Problem(joint, distortion), BETAS[[s]])
            assert alone.sweep.objective[0] == pytest.approx(together.sweep.objective[s], abs=2e-9)
            assert alone.batch.counts[0] == together.batch.counts[s]


def test_the_same_call_gives_the_same_bits():
    _, joint, distortion = CASES[7]
    first, second = (optimum(Problem(joint, distortion), BETAS) for _ in range(2))
    for name in ("weights", "means", "owner"):
        assert (getattr(first.batch, name) == getattr(second.batch, name)).all()
    assert (first.gap == second.gap).all()


def test_the_order_of_the_sources_does_not_matter():
    for _, joint, distortion in CASES:
        if isinstance(distortion, (dualib.RateDistortion, dualib.ExponentialFamily)):
            continue
        order = np.random.default_rng(1).permutation(joint.n_x)
        other = dualib.JointDistribution(joint.pxy[order])
        first, second = (optimum(Problem(some, distortion), BETAS) for some in (joint, other))
        np.testing.assert_allclose(first.sweep.objective, second.sweep.objective, atol=2e-9)
        assert (first.batch.counts == second.batch.counts).all()


def test_any_start_leads_to_the_same_optimum():
    for name, joint, distortion in CASES[:7]:
        problem = Problem(joint, distortion)
        expected = optimum(problem, [7.0]).sweep.objective[0]
        starts = [identity(problem, [7.0]), random_clusters(problem, 7.0, 3, 1, np.random.default_rng(2))]
        if not problem.fixed:
            starts.append(of_encoder(problem, [7.0], np.eye(7)[[0, 1, 1, 2, 0, 0, 0]], "encoder"))
        for start in starts:
            assert certify(problem, start).sweep.objective[0] == pytest.approx(expected, abs=2e-9), name


def test_an_encoder_is_judged_where_it_is():
    _, joint, distortion = CASES[0]
    problem = Problem(joint, distortion)
    batch = of_encoder(problem, [9.0], np.full((7, 2), 0.5), "encoder")
    sweep = Sweep(problem, batch)
    found = price(problem, batch, sweep)
    best = optimum(problem, [9.0])
    assert sweep.objective[0] - found.gap[0] <= best.sweep.objective[0] + 1e-12
    assert found.gap[0] > 1e-3


@pytest.mark.parametrize(("name", "joint", "distortion"), CASES, ids=[case[0] for case in CASES])
def test_the_linear_rate_is_that_of_sweeps(name, joint, distortion):
    """The error of many sweeps from a disturbed optimum shrinks at that rate."""
    problem = Problem(joint, distortion)
    found = optimum(problem, [12.0], tol=1e-11)
    rate = linear_rate(problem, found.batch, found.sweep)
    assert 0.0 <= rate < 1.0
    batch = found.batch
    shaken = of_shaken(problem, batch)
    excess = []
    for _ in range(400):
        sweep = Sweep(problem, shaken)
        excess.append(sweep.objective[0] - found.sweep.objective[0])
        shaken = type(batch)(batch.beta, sweep.new_weights, sweep.new_means, batch.owner, batch.face)
    tail = [i for i in range(1, len(excess)) if excess[i] > 1e-11 and excess[i - 1] < 1e-5]
    for i in tail[-3:]:
        assert excess[i] / excess[i - 1] <= rate**2 + 1e-2


def of_shaken(problem, batch):
    rng = np.random.default_rng(0)
    weights = batch.weights * (1.0 + 0.2 * rng.random(len(batch.weights)))
    means = batch.means
    if not problem.fixed:
        allowed = np.ones((len(means), problem.n)) if problem.faces is None else (~problem.lost(batch.face)).astype(float)
        members = allowed * rng.random(allowed.shape)
        means = 0.98 * means + 0.02 * (members / members.sum(axis=1, keepdims=True)) @ problem.U
    new = type(batch)(batch.beta, weights, means, batch.owner, batch.face)
    return new.keep(np.ones(len(weights), dtype=bool))


def test_stability_numbers_are_the_textbooks():
    """IB: the largest eigenvalue of beta D^-1/2 Cov_t D^-1/2, D the diagonal of the decoder."""
    _, joint, distortion = CASES[0]
    problem = Problem(joint, distortion)
    found = optimum(problem, [6.0])
    batch, sweep = found.batch, found.sweep
    for t, number in enumerate(stability(problem, batch, sweep)):
        q = sweep.posterior[t] * problem.px / sweep.new_weights[t]
        mean = q @ problem.py_x
        centred = problem.py_x - mean
        matrix = (centred * q[:, None]).T @ centred / np.sqrt(np.outer(mean, mean))
        assert number == pytest.approx(6.0 * np.linalg.eigvalsh(matrix)[-1], rel=1e-6)
