"""Whole paths on a sparse p(y|x) that is kept sparse, against those of its dense form."""

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import JointDistribution
from dualib.engine import choice
from dualib.path import grid, public


def table(seed, n_x=12, n_y=8, density=0.9):
    rng = np.random.default_rng(seed)
    pxy = rng.gamma(1.0, size=(n_x, n_y)) * (rng.random((n_x, n_y)) < density)
    pxy[0, 0] = 1.0
    return pxy / pxy.sum()


def both(pxy):
    return JointDistribution(pxy), JointDistribution(sparse.csr_array(pxy))


@pytest.fixture(autouse=True)
def always_sparse(monkeypatch):
    monkeypatch.setattr(choice, "DENSE_CELLS", 0)


@pytest.mark.parametrize("seed, density", [(2, 0.9), (0, 0.4)])
def test_an_adaptive_path_has_the_events_of_the_dense_form(seed, density):
    theirs, mine = (dualib.anneal(joint, beta_max=6.0) for joint in both(table(seed, density=density)))
    assert mine.onset == pytest.approx(theirs.onset, rel=1e-10)
    assert [event.kind for event in mine.events] == [event.kind for event in theirs.events]
    assert all(event.located for event in mine.events)
    for one, other in zip(mine.events, theirs.events, strict=True):
        assert (one.before, one.after) == (other.before, other.after)
        assert one.beta == pytest.approx(other.beta, rel=1e-9 if other.located else other.precision)
    np.testing.assert_allclose(
        np.interp(2.0, mine.beta, mine.relevance), np.interp(2.0, theirs.beta, theirs.relevance), atol=1e-3
    )
    assert mine.gap.max() < 1e-9


@pytest.mark.parametrize(
    "pxy, kind, beta",
    [
        (np.array([[0.45, 0.05], [0.05, 0.45]]), "split", 1.0 / 0.64),
        (dualib.datasets.erasure(0.3).pxy, "jump", 1.0 / 0.7),
        ((0.6 * np.eye(3) + 0.4 / 3.0) / 3.0, "jump", 2.7249340568),
    ],
    ids=["binary symmetric", "erasure", "symmetric"],
)
def test_the_first_event_of_closed_forms(pxy, kind, beta):
    (first, *_) = dualib.anneal(both(pxy)[1], betas=beta * np.array([0.8, 0.9, 1.2, 1.4])).events
    assert (first.kind, first.located) == (kind, True)
    assert first.beta == pytest.approx(beta, rel=1e-9)


def test_atoms_that_have_next_to_nothing_of_most_y_are_followed():
    """Documents: a cluster is born at one x, and its mean vanishes at all y that this has not, which no Newton's step can tell."""
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(60, 0.3), 6)
    counts = np.array([rng.multinomial(15, topics[i % 6]) for i in range(60)], dtype=float)
    pxy = counts[:, counts.sum(axis=0) > 0.0] / counts.sum()
    dense, own = both(pxy)
    curve = dualib.anneal(own, beta_max=1.3 * dualib.onset(own))
    assert len(curve.events) == curve.n_clusters[-1] - 1 > 2
    assert all(event.located for event in curve.events)
    for event in curve.events:
        at = dualib.solve(dense, event.beta)
        assert event.below.objective == pytest.approx(at.objective, abs=1e-9)


def test_the_enclosure_is_refined():
    curve = dualib.anneal(both(table(1))[1], betas=[2.0, 4.0, 8.0], tol_curve=1e-2, events=False)
    lower, upper = curve.objective_bounds(np.linspace(2.0, 8.0, 50))
    assert (upper - lower).max() <= 1e-2 and len(curve) > 3


def test_an_interrupted_path_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    _, own = both(table(1))
    monkeypatch.setattr("dualib.path.points.CHUNK", 2)
    whole = dualib.anneal(own, betas=[2.0, 3.0, 4.0, 5.0, 6.0], events=False)

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    options = {"betas": [2.0, 3.0, 4.0, 5.0, 6.0], "events": False, "checkpoint": tmp_path / "path"}
    with pytest.raises(KeyboardInterrupt):
        dualib.anneal(own, progress=stop, **options)
    again = dualib.anneal(own, **options)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one.encoder, other.encoder)
    pxy = own.pxy.copy()
    pxy.data = pxy.data[::-1].copy()
    with pytest.raises(ValueError, match="was written for another problem"):
        dualib.anneal(JointDistribution(pxy), **options)


def test_many_clusters_end_an_adaptive_grid_and_it_says_so(monkeypatch):
    monkeypatch.setattr(grid, "MOST_CLUSTERS", 3)
    with pytest.warns(dualib.DualibWarning, match=r"ends at beta=.* with \d+ clusters, which keep .* give beta_max"):
        curve = dualib.anneal(both(table(2))[1], events=False)
    assert 3 <= curve.n_clusters[-1] <= 4 and curve.beta[0] < curve.onset < curve.beta[-1]


def test_a_table_of_few_clusters_is_followed_to_saturation():
    pxy = table(2, 4, 6)
    curve = dualib.anneal(both(pxy)[1], events=False)
    assert curve.relevance[-1] >= 0.999 * JointDistribution(pxy).mutual_information


def test_events_that_are_not_affordable_are_bracketed(monkeypatch):
    _, own = both(table(2))
    located = dualib.anneal(own, beta_max=5.0).events
    monkeypatch.setattr(public, "FOLLOWED_PRODUCTS", 0)
    bracketed = dualib.anneal(own, beta_max=5.0).events
    assert bracketed and not any(event.located for event in bracketed)
    assert all(any(low <= event.beta <= high for low, high in (b.interval for b in bracketed)) for event in located)


def test_a_capped_path_finds_its_own_betas():
    theirs, mine = (dualib.anneal(joint, n_clusters=2) for joint in both(table(3)))
    np.testing.assert_allclose(mine.beta, theirs.beta, rtol=1e-9)
    np.testing.assert_allclose(mine.objective, theirs.objective, atol=1e-6)


def test_what_cannot_fit_is_refused_before_it_is_solved(monkeypatch):
    from dualib import memory

    monkeypatch.setattr(memory, "_ALWAYS_FITS", 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 32_500_000)
    with pytest.raises(
        MemoryError, match=r"a sparse problem of 12 x by 8 y with .* and 32 clusters at 16 betas needs at least"
    ):
        dualib.anneal(both(table(2))[1])
