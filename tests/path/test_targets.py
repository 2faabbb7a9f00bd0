"""solve_at(): wanted rates, relevances and distortions, straight pieces included."""

import numpy as np
import pytest
from scipy.special import rel_entr

import dualib
from dualib import closed_forms, datasets
from dualib.distortions.bottlenecks import DualIB
from dualib.engine.batch import Batch
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep
from dualib.path.targets import fewest_atoms


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("target", [{"rate": 0.5}, {"relevance": 0.05}, {"expected_distortion": 0.03}])
def test_the_target_is_met_by_a_certified_optimum(kind, target):
    joint = datasets.toy()
    solution = dualib.solve_at(joint, kind, **target)
    (name, value) = next(iter(target.items()))
    assert getattr(solution, name) == pytest.approx(value, abs=1e-9)
    assert solution.gap <= 1e-9
    assert solution.certificate == "rigorous"
    again = dualib.solve(joint, solution.beta, kind)
    assert again.objective == pytest.approx(solution.objective, abs=1e-10)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_against_the_closed_form_of_the_symmetric_channel(rate):
    solution = dualib.solve_at(datasets.binary_symmetric(0.1), rate=rate)
    exact = closed_forms.binary_symmetric(0.1, solution.beta)
    assert exact.rate == pytest.approx(rate, abs=1e-8)
    assert exact.relevance == pytest.approx(solution.relevance, abs=1e-8)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.77])
def test_on_a_straight_piece_the_ends_are_mixed(share):
    """The erasure channel: nothing at all below 1 / (1 - e), everything above."""
    e, ln2 = 0.3, np.log(2)
    solution = dualib.solve_at(datasets.erasure(e), rate=share * ln2)
    assert solution.beta == pytest.approx(1 / (1 - e), rel=1e-8)
    assert solution.rate == pytest.approx(share * ln2, abs=1e-9)
    assert solution.relevance == pytest.approx((1 - e) * share * ln2, abs=1e-9)
    assert solution.gap <= 1e-9
    assert solution.n_clusters <= 3
    dual = dualib.solve_at(datasets.erasure(e), "dualib", rate=share * ln2)
    assert dual.beta == pytest.approx(ln2 / -np.log(e), rel=1e-8)
    assert dual.rate == pytest.approx(share * ln2, abs=1e-9)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_across_a_jump_all_quantities_are_linear_in_the_share(kind):
    """By whichever of them the target is named: the same mixtures."""
    joint = datasets.symmetric(4, 0.6)
    (event,) = (e for e in dualib.anneal(joint, kind, beta_min=1.0, beta_max=8.0).events if e.kind == "jump")
    names = ("rate", "relevance", "expected_distortion")
    below, above = (np.array([getattr(side, name) for name in names]) for side in (event.below, event.above))
    for share in (0.2, 0.65):
        wanted = (1.0 - share) * below + share * above
        for name, value in zip(names, wanted, strict=True):
            solution = dualib.solve_at(joint, kind, **{name: value})
            assert [getattr(solution, other) for other in names] == pytest.approx(wanted, abs=1e-8)
            assert solution.beta == pytest.approx(event.beta, rel=1e-9)
            assert solution.gap <= 1e-9
            assert solution.n_clusters <= joint.n_x + 1


@pytest.mark.parametrize("name", ["rate", "relevance"])
def test_fewer_atoms_keep_the_objective_and_the_wanted_quantity(name):
    """At the onset of the erasure channel one cluster and two are as good; here each is there twice."""
    e, ln2 = 0.3, np.log(2)
    problem = Problem(datasets.erasure(e), DualIB())
    solution = dualib.solve_at(datasets.erasure(e), "dualib", rate=0.4 * ln2)
    means = np.tile(solution.means, (2, 1))
    weights = np.concatenate([0.3 * solution.weights, 0.7 * solution.weights])
    face = problem.faces.numbers(np.tile(solution.decoder > 0.0, (2, 1)))
    batch = Batch(np.array([solution.beta]), weights, means, np.zeros(len(face), dtype=np.int64), face)
    fewer = fewest_atoms(problem, batch, name)
    assert len(fewer.weights) <= problem.n + 1 < len(weights)
    before, after = Sweep(problem, batch), Sweep(problem, fewer)
    assert after.objective == pytest.approx(before.objective, abs=1e-12)
    np.testing.assert_allclose(after.log_z, before.log_z, atol=1e-9)
    rates = [np.sum(rel_entr(s.posterior, s.new_weights[:, None]) @ problem.px) for s in (before, after)]
    assert rates[1] == pytest.approx(rates[0], abs=1e-9)


@pytest.mark.parametrize("kind", ["ib", "dualib", dualib.Alpha(0.5)])
@pytest.mark.parametrize("seed", range(4))
def test_the_answer_is_the_solution_at_its_own_beta(kind, seed):
    rng = np.random.default_rng(seed)
    joint = dualib.JointDistribution.from_conditionals(rng.dirichlet(np.full(5, 0.4), 12), rng.dirichlet(np.full(12, 2.0)))
    for share in (0.1, 0.5, 0.9):
        wanted = share * joint.mutual_information
        solution = dualib.solve_at(joint, kind, relevance=wanted)
        assert solution.relevance == pytest.approx(wanted, abs=1e-10)
        assert solution.gap <= 1e-9
        assert solution.objective == pytest.approx(dualib.solve(joint, solution.beta, kind).objective, abs=1e-9)


def test_rate_distortion_at_a_wanted_distortion():
    p, d = 0.4, 0.1
    solution = dualib.solve_at(datasets.bernoulli(p), dualib.RateDistortion([[0, 1], [1, 0]]), expected_distortion=d)
    h = lambda q: -q * np.log(q) - (1 - q) * np.log(1 - q)  # noqa: E731
    assert solution.rate == pytest.approx(h(p) - h(d), abs=1e-8)
    assert solution.beta == pytest.approx(np.log((1 - d) / d), rel=1e-7)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "exactly one"),
        ({"rate": 0.1, "relevance": 0.1}, "exactly one"),
        ({"rate": -0.1}, "rate must be between"),
        ({"rate": 99.0}, "rate must be between"),
        ({"relevance": 0.2}, "relevance must be between"),
        ({"rate": "0.1"}, "rate must be a number"),
        ({"rate": True}, "rate must be a number"),
        ({"rate": np.nan}, "rate must be finite"),
        ({"rate": 0.1, "tol": 0.0}, "tol"),
    ],
)
def test_bad_targets(options, name):
    with pytest.raises((ValueError, TypeError), match=name):
        dualib.solve_at(datasets.toy(), **options)


def test_nothing_to_learn():
    joint = dualib.JointDistribution(np.full((2, 2), 0.25))
    with pytest.raises(ValueError, match="X and Y are independent"):
        dualib.solve_at(joint, rate=0.1)
