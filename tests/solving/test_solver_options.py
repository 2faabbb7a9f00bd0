"""solve(): its options, caps, starts and restarts, its status and warnings, bad input."""

import inspect
import pickle
import warnings

import naive
import numpy as np
import pytest
from problems import case_a, given_matrix, huang

import dualib
from dualib import JointDistribution, Status
from dualib.clusters.capped import together
from dualib.clusters.merging import merged_down
from dualib.distortions.named import as_distortion
from dualib.engine.descent import descend
from dualib.engine.initial import identity, of_encoder, one_cluster
from dualib.engine.optimum import certify as certified_optimum
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep
from dualib.results.assembly import status_of
from dualib.solving.solver import _best_start, _start

KINDS = ("ib", "dualib")


def test_a_cap_on_the_clusters_states_what_it_costs():
    joint = huang()
    full = dualib.solve(joint, 4.0)
    capped = dualib.solve(joint, 4.0, n_clusters=2, random_state=0)
    assert capped.n_clusters == 2
    assert capped.status is dualib.Status.CAPPED
    assert capped.cap_cost == pytest.approx(capped.objective - full.objective, abs=1e-8)
    assert 0.0 <= capped.gap <= capped.cap_cost
    assert dualib.solve(joint, 4.0, n_clusters=5).n_clusters == 3


def test_a_cap_that_no_clustering_can_meet():
    with pytest.raises(ValueError, match="n_clusters: no feasible clustering"):
        dualib.solve(JointDistribution.from_conditionals(np.eye(3)), 2.0, "dualib", n_clusters=2)


def test_an_initial_encoder_without_certificate_gives_the_local_optimum():
    joint = case_a()
    trapped = dualib.solve(joint, 2.0, "dualib", init=np.ones((5, 1)), certify=False)
    assert trapped.n_clusters == 1
    assert trapped.gap == np.inf
    assert trapped.certificate is None
    assert trapped.status is dualib.Status.NOT_CERTIFIED
    freed = dualib.solve(joint, 2.0, "dualib", init=np.ones((5, 1)))
    assert freed.objective < trapped.objective - 0.04


def test_random_restarts_repeat_with_their_seed():
    joint = huang()
    first = dualib.solve(joint, 4.0, init="random", certify=False, random_state=7)
    second = dualib.solve(joint, 4.0, init="random", certify=False, random_state=7)
    np.testing.assert_array_equal(first.encoder, second.encoder)


def test_too_few_sweeps_are_said():
    with pytest.warns(dualib.ConvergenceWarning, match=r"beta=4: residual .* gap .* nats"):
        solution = dualib.solve(dualib.datasets.toy(), 4.0, "dualib", max_iter=2)
    assert solution.status in (dualib.Status.MAX_ITER, dualib.Status.GAP_OPEN)
    assert not solution.converged
    assert np.isfinite(solution.gap)
    best = dualib.solve(dualib.datasets.toy(), 4.0, "dualib").objective
    assert solution.objective - solution.gap <= best + 1e-12


def test_encode_and_predict():
    joint = huang()
    for kind in KINDS:
        solution = dualib.solve(joint, 4.0, kind)
        np.testing.assert_allclose(solution.encode(joint.py_x), solution.encoder, atol=1e-9)
        np.testing.assert_allclose(solution.predict_proba(), solution.encoder @ solution.decoder, atol=1e-15)
        unseen = solution.predict_proba([[0.3, 0.3, 0.4], [1.0, 0.0, 0.0]] if kind == "ib" else [[0.3, 0.3, 0.4]])
        np.testing.assert_allclose(unseen.sum(axis=1), 1.0)
    with pytest.raises(ValueError, match="py_x: row 0 is infinitely far"):
        solution.encode([[1.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="py_x"):
        solution.encode([[0.5, 0.5]])


def test_solutions_pickle():
    solution = dualib.solve(huang(), 4.0)
    copy = pickle.loads(pickle.dumps(solution))
    np.testing.assert_array_equal(copy.encoder, solution.encoder)


@pytest.mark.parametrize("beta", [0, -1.0, np.nan, np.inf, "2", None, True, 1j, [1.0]])
def test_bad_beta(beta):
    with pytest.raises((ValueError, TypeError), match="beta"):
        dualib.solve(huang(), beta)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"n_clusters": 0}, "n_clusters"),
        ({"n_clusters": 1.5}, "n_clusters"),
        ({"max_iter": 0}, "max_iter"),
        ({"n_restarts": 0}, "n_restarts"),
        ({"tol": 0.0}, "tol"),
        ({"tol": "small"}, "tol"),
        ({"distortion": "kl"}, "distortion"),
        ({"distortion": 3}, "distortion"),
        ({"distortion": dualib.IB}, "distortion"),
        ({"init": np.ones((2, 2)) / 2}, "init"),
        ({"init": np.ones((3, 2))}, "init"),
        ({"init": np.ones(3)}, "init"),
        ({"init": "identity!"}, "init"),
    ],
)
def test_bad_options(options, name):
    with pytest.raises((ValueError, TypeError), match=name):
        dualib.solve(huang(), 2.0, **options)


@pytest.mark.parametrize(
    ("residual", "gap", "options", "status"),
    [
        (1e-9, 1e-9, {}, Status.CONVERGED),  # what reaches the tolerance meets it
        (1.1e-9, 0.0, {}, Status.MAX_ITER),
        (0.0, 1.1e-9, {}, Status.GAP_OPEN),
        (0.0, 0.5e-9, {}, Status.CONVERGED),
        (1.1e-9, 1.0, {"capped": True}, Status.MAX_ITER),
        (1e-9, 1.0, {"capped": True}, Status.CAPPED),
        (1e-9, 1.0, {"certified": False}, Status.NOT_CERTIFIED),
        (1e-9, 1.0, {"certified": False, "capped": True}, Status.CAPPED),
    ],
)
def test_the_status_says_what_residual_and_gap_mean(residual, gap, options, status):
    assert status_of(residual, gap, 1e-9, **options) is status


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_the_gap_of_a_capped_solution_is_to_a_bound_above_the_certified_optimum(kind):
    toy = dualib.datasets.toy()
    full, capped = dualib.solve(toy, 40.0, kind), dualib.solve(toy, 40.0, kind, n_clusters=2)
    assert (full.n_clusters, capped.n_clusters, capped.status) == (4, 2, Status.CAPPED)
    assert full.lower_bound <= capped.lower_bound <= capped.objective
    assert capped.certificate == full.certificate
    assert capped.cap_cost == pytest.approx(capped.objective - full.objective, abs=1e-9)
    assert capped.n_iter > full.n_iter  # both are counted
    assert dualib.solve(toy, 40.0, kind, n_clusters=2, certify=False).gap == np.inf
    assert dualib.solve(toy, 40.0, kind, n_clusters=4).status is Status.CONVERGED


def test_the_best_start_is_the_feasible_one_of_lowest_objective():
    problem, rng = Problem(dualib.datasets.toy(), dualib.IB()), np.random.default_rng(0)
    for beta, least in ((100.0, 5), (0.01, 1)):
        both = together([one_cluster(problem, [beta]), identity(problem, [beta])])
        assert len(_best_start(problem, beta, both, rng).weights) == least
    blocks = Problem(JointDistribution(np.diag([0.2, 0.3, 0.5])), dualib.DualIB())
    alone = identity(blocks, [3.0])
    alone = type(alone)(alone.beta, np.ones(1), alone.means[:1], alone.owner[:1], alone.face[:1])
    assert len(_best_start(blocks, 3.0, alone, rng).weights) == 3  # infinitely far from the two other x: the identity instead


@pytest.mark.parametrize("option", ["n_restarts", "max_iter", "n_clusters"])
def test_counts_of_one_are_allowed_and_none_is_not_always(option):
    toy = dualib.datasets.toy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        assert np.isfinite(dualib.solve(toy, 8.0, **{option: 1}).objective)
    if option == "n_clusters":
        assert dualib.solve(toy, 8.0, n_clusters=None).converged
    else:
        with pytest.raises(TypeError, match=rf"{option} must be an integer, got None"):
            dualib.solve(toy, 8.0, **{option: None})


def test_random_starts_are_as_many_as_asked():
    problem, rng = Problem(dualib.datasets.toy(), dualib.IB()), np.random.default_rng(0)
    assert _start(problem, 3.0, "random", 2, rng).counts.tolist() == [5] * 2
    assert len(_start(problem, 3.0, None, 7, rng).beta) == 1
    assert inspect.signature(dualib.solve).parameters["n_restarts"].default == 10  # as documented


def test_defaults_are_those_documented():
    defaults = {name: parameter.default for name, parameter in inspect.signature(dualib.solve).parameters.items()}
    assert (defaults["max_iter"], defaults["tol"], defaults["certify"]) == (20_000, 1e-9, True)
    toy = dualib.datasets.toy()
    options = {"init": "random", "certify": False, "max_iter": 1, "n_restarts": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        none, zero, one = (dualib.solve(toy, 3.3, random_state=state, **options) for state in (None, 0, 1))
    np.testing.assert_array_equal(none.encoder, zero.encoder)
    assert none.objective != one.objective


CALLS = {
    "solve": lambda joint: dualib.solve(joint, 40.0, max_iter=1),
    "solve_at": lambda joint: dualib.solve_at(joint, rate=0.3, tol=1e-17),
    "anneal": lambda joint: dualib.anneal(joint, betas=[20.0, 40.0], max_iter=1),
    "anneal_from": lambda joint: dualib.anneal(joint, beta_max=40.0, max_iter=1),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_warning_points_at_the_caller(call):
    with pytest.warns(dualib.ConvergenceWarning) as caught:
        CALLS[call](dualib.datasets.toy())
    assert {warning.filename for warning in caught} == {__file__}


def test_one_start_leaves_no_restarts():
    joint = dualib.datasets.toy()
    assert dualib.solve(joint, 8.0, init=[0, 0, 1, 1, 1], certify=False).restarts == ()


@pytest.mark.parametrize("tol", [np.inf, -1.0, 0.0, np.nan, True, "1"])
def test_a_tolerance_is_a_positive_number(tol):
    with pytest.raises(ValueError, match="tol must be a positive number"):
        dualib.solve(dualib.datasets.toy(), 3.0, tol=tol)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_a_capped_solution_without_a_certificate_is_as_good(kind):
    """It starts from the optimum merged down too, whether or not that is certified."""
    rng = np.random.default_rng(3)
    joint = JointDistribution(rng.dirichlet(np.full(120, 0.3)).reshape(20, 6))
    with_it, without = (dualib.solve(joint, 30.0, kind, n_clusters=4, n_restarts=1, certify=c) for c in (True, False))
    assert without.objective == pytest.approx(with_it.objective, abs=1e-9)
    assert without.gap == np.inf and with_it.gap < 10.0


@pytest.mark.parametrize("seed", range(4))
def test_a_capped_solution_is_no_worse_than_the_optimum_merged_down(seed):
    joint = JointDistribution(np.random.default_rng(seed).dirichlet(np.full(160, 0.3)).reshape(20, 8))
    problem = Problem(joint, dualib.IB())
    full = dualib.solve(joint, 20.0)
    batch = of_encoder(problem, [20.0], full.encoder, "encoder")
    alone = descend(problem, merged_down(problem, batch, Sweep(problem, batch), 5))
    assert dualib.solve(joint, 20.0, n_clusters=5, n_restarts=1).objective <= alone.sweep.objective[0] + 1e-8


def test_an_encoder_for_other_columns_is_refused():
    joint, _, matrix = given_matrix()
    with pytest.raises(ValueError, match=r"init must have one column for each of the 4 reproductions, got \(6, 3\)"):
        dualib.solve(joint, 5.0, dualib.RateDistortion(matrix), init=np.full((6, 3), 1.0 / 3.0))


def test_a_start_that_leaves_an_x_without_a_cluster_is_mended_or_refused():
    joint, labels = JointDistribution(np.diag([0.1, 0.15, 0.1, 0.15, 0.2, 0.3])), [0, 0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="init: a cluster joins conditionals without a common support"):
        dualib.solve(joint, 3.0, "dualib", init=labels)
    random = {"init": "random", "random_state": 0, "n_restarts": 2}
    found = dualib.solve(joint, 3.0, "dualib", **random)
    assert found.objective == pytest.approx(-np.sum(joint.px * np.log(joint.px)), abs=1e-12) and found.gap <= 1e-9
    with pytest.raises(ValueError, match="no feasible clustering to start from: some x is infinitely far"):
        dualib.solve(joint, 3.0, "dualib", **random, certify=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_warm_start_nearby_comes_to_the_same_optimum(kind):
    """Without the coarse phase, from a start that may hold clusters too many or too few."""
    problem = Problem(huang(), as_distortion(kind))
    starts = {beta: dualib.solve(huang(), beta, kind) for beta in (1.2, 4.0, 30.0)}
    for near, beta in ((4.0, 4.2), (30.0, 1.2), (1.2, 30.0)):
        start = of_encoder(problem, [beta], starts[near].encoder, "encoder")
        found = certified_optimum(problem, start, coarse=False)
        assert found.gap[0] <= 1e-9
        assert found.sweep.objective[0] == pytest.approx(dualib.solve(huang(), beta, kind).objective, abs=2e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cap_without_a_certificate_starts_from_the_encoder_given(kind):
    px, py_x = huang().px, huang().py_x
    encoder = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    capped = dualib.solve(huang(), 4.0, kind, init=encoder, n_clusters=2, n_restarts=1, certify=False)
    assert capped.n_clusters <= 2 and capped.gap == np.inf and capped.status is Status.CAPPED
    assert capped.objective < naive.objective_of_encoder(kind, px, py_x, encoder, 4.0)
    best = dualib.solve(huang(), 4.0, kind, n_clusters=2)
    assert capped.objective >= best.objective - 1e-9
    assert naive.objective_of_encoder(kind, px, py_x, capped.encoder, 4.0) == pytest.approx(capped.objective, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cap_that_does_not_bind_is_none(kind):
    free = dualib.solve(huang(), 3.0, kind)
    capped = dualib.solve(huang(), 3.0, kind, n_clusters=free.n_clusters + 1)
    assert free.status is capped.status is Status.CONVERGED
    assert capped.objective == pytest.approx(free.objective, abs=1e-10) and capped.gap <= 1e-9
    assert dualib.solve(huang(), 3.0, kind, n_clusters=free.n_clusters - 1).status is Status.CAPPED


def test_a_beta_below_the_onset_is_said_by_the_solution():
    joint = dualib.datasets.toy()
    onset = dualib.onset(joint)
    below, above = dualib.solve(joint, 0.9 * onset), dualib.solve(joint, 1.1 * onset)
    line = "one cluster is optimal: beta is not above the onset of learning (dualib.onset)"
    assert below.n_clusters == 1 and repr(below).splitlines()[-1].strip() == line
    assert above.n_clusters > 1 and line not in repr(above)
    capped = dualib.solve(joint, 2.0 * onset, n_clusters=1)
    unknown = dualib.solve(joint, 0.9 * onset, certify=False)
    assert capped.n_clusters == unknown.n_clusters == 1
    assert line not in repr(capped) and line not in repr(unknown)  # the cap's doing; not known
