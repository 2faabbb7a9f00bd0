"""Onset, certificate and wanted rates on a sparse p(y|x) that is kept sparse, against the dense form of the same table."""

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import JointDistribution
from dualib.engine import choice


def table(seed, n_x=20, n_y=12, density=0.4):
    rng = np.random.default_rng(seed)
    pxy = rng.gamma(1.0, size=(n_x, n_y)) * (rng.random((n_x, n_y)) < density)
    pxy[0, 0] = 1.0
    return pxy / pxy.sum()


def symmetric(n, a):
    return (a * np.eye(n) + (1.0 - a) / n) / n


def both(pxy):
    return JointDistribution(pxy), JointDistribution(sparse.csr_array(pxy))


@pytest.fixture(autouse=True)
def always_sparse(monkeypatch):
    monkeypatch.setattr(choice, "DENSE_CELLS", 0)


@pytest.mark.parametrize("seed, density", [(0, 0.3), (1, 0.4), (2, 0.9), (5, 0.9), (7, 0.3), (11, 0.6)])
def test_the_onset_is_that_of_the_dense_form(seed, density):
    dense, own = both(table(seed, density=density))
    assert dualib.onset(own) == pytest.approx(dualib.onset(dense), rel=1e-12)
    assert dualib.local_critical_beta(own) == pytest.approx(dualib.local_critical_beta(dense), rel=1e-12)


def test_the_local_critical_beta_is_the_second_singular_value():
    """1 / sigma_2^2 of p(x, y) / sqrt(p(x) p(y)): of a table so large that one round of Lanczos's method would not do."""
    pxy = table(3, 300, 200, 0.1)
    pxy = pxy[pxy.sum(axis=1) > 0.0][:, pxy.sum(axis=0) > 0.0]
    px, py = pxy.sum(axis=1), pxy.sum(axis=0)
    sigma = np.linalg.svd(pxy / np.sqrt(np.outer(px, py)), compute_uv=False)
    assert dualib.local_critical_beta(both(pxy)[1]) == pytest.approx(1.0 / sigma[1] ** 2, rel=1e-12)


@pytest.mark.parametrize(
    "pxy, expected",
    [
        (symmetric(3, 0.6), 2.7249340568),  # a birth at a distance
        (dualib.datasets.erasure(0.3).pxy, 1.0 / 0.7),  # a jump
        (np.array([[0.45, 0.05], [0.05, 0.45]]), 1.0 / 0.64),  # a split
        (np.diag([0.2, 0.3, 0.5]), 1.0),  # deterministic
        (np.full((3, 4), 1.0 / 12.0), np.inf),  # nothing to learn
    ],
    ids=["symmetric", "erasure", "binary symmetric", "deterministic", "independent"],
)
def test_the_onset_of_closed_forms(pxy, expected):
    assert dualib.onset(both(pxy)[1]) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("off", [1e-3, 1e-5])
def test_a_birth_right_beside_the_one_cluster_is_close_to_the_local_critical_beta(off):
    pxy = np.array([[0.45 + off, 0.05], [0.05, 0.45 - off]])
    dense, own = both(pxy / pxy.sum())
    assert dualib.onset(own) == pytest.approx(dualib.onset(dense), rel=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_certificates_are_those_of_the_dense_form(seed):
    dense, own = both(table(seed))
    rng = np.random.default_rng(seed)
    soft = rng.dirichlet(np.full(4, 0.5), dense.n_x)
    for encoder in (soft, soft.argmax(axis=1), dualib.solve(dense, 4.0).encoder):
        theirs, mine = dualib.certify(dense, encoder, 4.0), dualib.certify(own, encoder, 4.0)
        assert mine.objective == pytest.approx(theirs.objective, abs=1e-12)
        assert mine.lower_bound == pytest.approx(theirs.lower_bound, abs=1e-9)
        assert mine.kind == "multistart"
    assert mine.gap < 1e-9 and mine.residual < 1e-9


def test_a_certificate_of_alpha_below_1_and_of_soft_clusters_has_their_residual():
    dense, own = both(table(3, density=0.9))
    soft = np.random.default_rng(3).dirichlet(np.ones(3), dense.n_x)
    theirs, mine = (dualib.certify(joint, soft, 4.0, alpha=0.5) for joint in (dense, own))
    assert mine.objective == pytest.approx(theirs.objective, abs=1e-12)
    assert mine.residual == pytest.approx(theirs.residual, rel=1e-9)


@pytest.mark.parametrize("name, share", [("rate", 0.2), ("relevance", 0.5), ("expected_distortion", 0.4)])
def test_a_wanted_rate_is_that_of_the_dense_form(name, share):
    dense, own = both(table(1))
    wanted = {name: share * dense.mutual_information}
    theirs, mine = (dualib.solve_at(joint, **wanted) for joint in (dense, own))
    assert getattr(mine, name) == pytest.approx(wanted[name], abs=1e-9)
    assert mine.beta == pytest.approx(theirs.beta, rel=1e-7)
    for other in ("rate", "relevance", "expected_distortion"):
        assert getattr(mine, other) == pytest.approx(getattr(theirs, other), abs=1e-8)
    assert mine.gap < 1e-9


def test_a_rate_on_the_straight_piece_of_a_jump():
    solution = dualib.solve_at(both(dualib.datasets.erasure(0.3).pxy)[1], rate=0.5)
    assert (solution.rate, solution.relevance) == (pytest.approx(0.5), pytest.approx(0.35))


def test_a_rate_that_takes_more_clusters_than_there_may_be_is_refused(monkeypatch):
    monkeypatch.setattr("dualib.engine.sparse.MOST_ATOMS", 4)
    with pytest.raises(
        ValueError, match=r"rate must be at most .* more than the 4 clusters that a problem kept sparse grows to"
    ):
        dualib.solve_at(both(table(1))[1], rate=2.2)


def test_a_branch_is_followed_as_in_the_dense_form():
    """Past the onset a local branch stays at one cluster until that divides, at the local critical beta."""
    dense, own = both(table(2, density=0.9))
    betas = dualib.local_critical_beta(dense) * np.array([0.9, 0.99, 1.05, 1.1])
    theirs, mine = (dualib.follow(dualib.solve(joint, 1.0), betas) for joint in (dense, own))
    assert mine.n_clusters.tolist() == theirs.n_clusters.tolist() == [1, 1, 2, 2]
    np.testing.assert_allclose(mine.objective, theirs.objective, atol=1e-9)
    np.testing.assert_allclose(mine.gap, theirs.gap, atol=1e-6)


def test_the_deviation_of_an_encoder_is_that_of_the_dense_form():
    dense, own = both(table(4, 12, 8, 0.9))
    labels = np.arange(12) % 3
    theirs, mine = (dualib.anneal(joint, betas=[3.0, 6.0, 12.0], events=False).deviation(labels) for joint in (dense, own))
    assert mine.epsilon == pytest.approx(theirs.epsilon, abs=1e-6)
    assert mine.rate == pytest.approx(theirs.rate, abs=1e-12)
    finest = dualib.anneal(own, betas=[3.0, 6.0], events=False).deviation(np.arange(12))
    assert finest.epsilon == pytest.approx(0.0, abs=1e-6)
