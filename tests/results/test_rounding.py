"""Betas so large that the rounding of beta d is what is left: gaps that count it, statuses by these gaps, or a refusal."""

import warnings

import numpy as np
import pytest

import dualib
from dualib import datasets
from dualib.distortions.named import as_distortion
from dualib.engine.problem import Problem
from dualib.engine.rounding import largest_beta
from dualib.results.solution import status_text

JOINTS = {"letters": datasets.load_letters, "toy": datasets.toy, "case_a": datasets.case_a}
SQUARED = dualib.Bregman(
    lambda m: 0.5 * np.sum(m**2, axis=1), lambda m: m, lambda m: np.tile(np.eye(m.shape[1]), (len(m), 1, 1))
)
KINDS = ("ib", "dualib", "bregman", "alpha", "rate-distortion")
BETAS = (1e6, 1e8, 1e10, 1e12, 1e14, 3e14, 1e16, 1e20, 1e50, 1e100, 1e200, 1e300, 1.7e308)


def distortion_of(kind, joint):
    others = {
        "bregman": SQUARED,
        "alpha": dualib.Alpha(0.5),
        "rate-distortion": dualib.RateDistortion(1.0 - np.eye(joint.n_x)),
    }
    return others.get(kind, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", JOINTS)
def test_the_gap_stated_holds_the_known_optimum_or_the_beta_is_refused(name, kind):
    """Each x is its own cluster at these betas, F = H(X): within the gap of the objective, whatever rounding did to that."""
    joint = JOINTS[name]()
    distortion = distortion_of(kind, joint)
    entropy = -np.sum(joint.px * np.log(joint.px))
    most = largest_beta(Problem(joint, as_distortion(distortion)))
    for beta in BETAS:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", dualib.ConvergenceWarning)
            if beta > most:
                with pytest.raises(
                    ValueError, match=r"beta must be at most about .*beta d overflows, or is nothing but rounding"
                ):
                    dualib.solve(joint, beta, distortion)
                continue
            solution = dualib.solve(joint, beta, distortion)
        assert solution.n_clusters == joint.n_x
        assert solution.rate == pytest.approx(entropy, abs=1e-12)
        assert np.isfinite(solution.encoder).all()
        assert abs(solution.objective - entropy) <= solution.gap + 1e-14
        assert solution.gap <= 0.1 * beta * 1e-12
        assert solution.status.name == ("CONVERGED" if solution.gap <= 1e-9 else "GAP_OPEN")
    assert most >= 1e14


def test_a_loose_tolerance_is_met_where_rounding_is_below_it():
    solution = dualib.solve(datasets.load_letters(), 1e10, tol=1e-3)
    assert solution.converged and 1e-9 < solution.gap <= 1e-3


@pytest.mark.parametrize("call", ["solve", "certify", "anneal", "beta_max"])
def test_every_way_in_refuses_it(call):
    joint = datasets.toy()
    calls = {
        "solve": lambda: dualib.solve(joint, 1e300),
        "certify": lambda: dualib.certify(joint, np.eye(5), 1e300),
        "anneal": lambda: dualib.anneal(joint, "ib", [4.0, 1e300], events=False),
        "beta_max": lambda: dualib.anneal(joint, "ib", beta_max=1e300, events=False),
    }
    with pytest.raises(ValueError, match=r"beta.* must be at most about 4.*e.15.*got 1e.300"):
        calls[call]()


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("beta", [1e8, 1e12, 1e15])
def test_the_rounding_of_beta_d_is_called_so(kind, beta):
    """No iteration lowers it: the advice is another beta, or another tol, which is then reached."""
    with pytest.warns(dualib.ConvergenceWarning, match=f"beta={beta:g}".replace("+", r"\+")) as caught:
        solution = dualib.solve(datasets.toy(), beta, kind)
    text = str(caught[0].message)
    assert "no more than the rounding of beta d" in text and "a smaller beta, or a larger tol" in text
    assert "max_iter" not in text and "random_state" not in text
    assert solution.status is dualib.Status.GAP_OPEN and 1e-9 < solution.gap < 1e-12 * beta
    assert dualib.solve(datasets.toy(), beta, kind, tol=1e-12 * beta).converged


def test_what_iterations_can_lower_keeps_its_advice():
    with pytest.warns(dualib.ConvergenceWarning, match="raise max_iter") as caught:
        solution = dualib.solve(datasets.load_letters(), 30.0, max_iter=3)
    assert "rounding" not in str(caught[0].message)
    assert status_text(solution) == solution.status.value
