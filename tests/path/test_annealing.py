"""The path over beta: its grid, its certificates, the two directions, and where learning begins."""

import mpmath
import naive
import numpy as np
import pytest

import dualib
from dualib import JointDistribution, closed_forms, datasets

KINDS = ("ib", "dualib")


def random_joint(seed, n_x=6, n_y=4, concentration=1.0):
    px, py_x = naive.random_problem(np.random.default_rng(seed), n_x, n_y, concentration)
    return JointDistribution.from_conditionals(py_x, px)


# ------------------------------------------------------------------------------------------------------------------------ the grid


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", ["down", "up"])
def test_the_curve_holds_each_of_the_given_betas_once(kind, direction):
    betas = [7.0, 2.0, 3.5, 2.0, 90.0, 7.0, 1e-3]
    curve = dualib.anneal(random_joint(0), kind, betas, direction=direction)
    np.testing.assert_array_equal(curve.beta, [1e-3, 2.0, 3.5, 7.0, 90.0])
    for beta, solution in zip(curve.beta, curve, strict=True):
        assert solution.beta == beta


def test_one_beta_is_a_curve():
    curve = dualib.anneal(random_joint(0), "ib", [3.0])
    assert len(curve) == 1
    assert curve.objective[0] == pytest.approx(dualib.solve(random_joint(0), 3.0).objective, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("joint", [datasets.toy(), datasets.three_by_three(), random_joint(3)], ids=["toy", "3x3", "random"])
def test_the_adaptive_grid_goes_from_below_the_onset_to_saturation(kind, joint):
    curve = dualib.anneal(joint, kind)
    assert curve.beta[0] < curve.onset == pytest.approx(dualib.onset(joint, kind), rel=1e-12)
    assert curve.rate[0] == pytest.approx(0.0, abs=1e-12)
    assert curve.n_clusters[0] == 1
    assert curve.relevance[-1] >= 0.999 * joint.mutual_information
    assert (np.diff(curve.beta) > 0.0).all()
    assert (curve.gap <= 1e-8).all()
    for name in ("objective", "rate", "relevance"):
        assert (np.diff(getattr(curve, name)) >= -1e-7).all()
    assert (np.diff(curve.expected_distortion) <= 1e-7).all()


def test_the_adaptive_grid_has_an_end(monkeypatch):
    """However fine a grid is asked for, its points are no more than the cap, and those it has are as good."""
    toy = datasets.toy()
    whole = dualib.anneal(toy, events=False)
    monkeypatch.setattr("dualib.path.grid.MOST_POINTS", 20)
    few = dualib.anneal(toy, events=False)
    assert len(few) == 20 < len(whole)
    assert set(few.beta) <= set(whole.beta) and (few.beta[0], few.beta[-1]) == (whole.beta[0], whole.beta[-1])
    monkeypatch.setattr("dualib.path.grid.MOST_FOR_ENCLOSURE", 30)
    narrow = dualib.anneal(toy, events=False, tol_curve=1e-8)
    assert 30 <= len(narrow) < 60  # one more round of halving at most
    assert narrow.gap.max() <= 1e-9
    lower, upper = narrow.objective_bounds(whole.beta)
    assert np.all(lower <= whole.objective + 1e-9) and np.all(upper >= whole.objective - 1e-9)


def test_the_adaptive_grid_does_not_look_for_saturation_for_ever(monkeypatch):
    """Two x that are all but alike part at a beta of 4e6 only: the grid ends at the largest beta instead."""
    joint = JointDistribution.from_conditionals([[0.5, 0.5], [0.499, 0.501]])
    monkeypatch.setattr("dualib.path.grid.LARGEST_BETA", 40.0)
    curve = dualib.anneal(datasets.toy(), events=False)
    assert curve.beta[-1] == 40.0 and curve.relevance[-1] < 0.999 * curve.joint.mutual_information
    assert dualib.anneal(joint, events=False, beta_min=1.0).beta[-1] == 40.0


def test_the_ends_of_the_adaptive_grid_can_be_given():
    curve = dualib.anneal(datasets.toy(), "ib", beta_min=5.0, beta_max=9.0)
    assert curve.beta[0] == pytest.approx(5.0, rel=1e-12)
    assert curve.beta[-1] == pytest.approx(9.0, rel=1e-12)
    assert dualib.anneal(datasets.toy(), "ib", beta_max=9.0).beta[0] < curve.onset
    assert dualib.anneal(datasets.toy(), "ib", beta_min=5.0).relevance[-1] >= 0.999 * datasets.toy().mutual_information


# ------------------------------------------------------------------------------------------------------------------------- optima


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_both_directions_and_single_solves_agree(kind, seed):
    joint = random_joint(seed, 7, 5, 0.5)
    betas = np.geomspace(0.5, 60.0, 12)
    down = dualib.anneal(joint, kind, betas)
    up = dualib.anneal(joint, kind, betas, direction="up")
    alone = [dualib.solve(joint, beta, kind).objective for beta in betas]
    np.testing.assert_allclose(down.objective, up.objective, atol=1e-8, rtol=0)
    np.testing.assert_allclose(down.objective, alone, atol=1e-8, rtol=0)
    assert max(down.gap.max(), up.gap.max()) <= 1e-8


@pytest.mark.parametrize("kind", KINDS)
def test_the_curve_of_the_binary_symmetric_channel(kind):
    e = 0.15
    betas = closed_forms.binary_symmetric_onset(e, kind) * np.array([0.5, 0.99, 1.01, 1.5, 4.0, 20.0])
    curve = dualib.anneal(datasets.binary_symmetric(e), kind, betas)
    exact = np.array([closed_forms.binary_symmetric(e, beta, kind) for beta in curve.beta])
    np.testing.assert_allclose(curve.objective, exact[:, 0], atol=1e-10)
    np.testing.assert_allclose(curve.rate, exact[:, 1], atol=1e-8)
    np.testing.assert_allclose(curve.relevance, exact[:, 2], atol=1e-8)
    np.testing.assert_array_equal(curve.n_clusters, [1, 1, 2, 2, 2, 2])


@pytest.mark.parametrize("direction", ["down", "up"])
def test_the_objective_is_concave_and_the_distortion_its_slope(direction):
    """Envelope theorem: each optimum's tangent ``rate + beta E d`` lies above all other optima."""
    curve = dualib.anneal(random_joint(5, 8, 6, 0.4), "dualib", np.geomspace(0.3, 40.0, 15), direction=direction)
    tangents = curve.rate[:, None] + curve.expected_distortion[:, None] * curve.beta[None, :]
    assert (tangents >= curve.objective - 1e-8).all()


def test_paths_repeat():
    first, second = (dualib.anneal(random_joint(6), "ib", [1.5, 4.0, 9.0], random_state=3) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.encoder, b.encoder)


def test_the_onset_of_a_curve_of_given_betas_without_events_is_found_when_asked_for(monkeypatch):
    from dualib.path import anneal

    real, calls = anneal.onset_of, []
    monkeypatch.setattr(anneal, "onset_of", lambda problem, rng: (calls.append(1), real(problem, rng))[1])
    joint = dualib.datasets.toy()
    curve = dualib.anneal(joint, "ib", [3.0, 9.0], events=False)
    assert not calls
    assert curve.onset == dualib.onset(joint, "ib")
    assert curve.onset and len(calls) == 1


def test_progress_is_reported_to_a_callable():
    calls = []
    dualib.anneal(datasets.toy(), "ib", [4.0, 5.0, 6.0], progress=lambda done, total: calls.append((done, total)))
    done, total = np.array(calls).T
    assert (done <= total).all()
    assert (np.diff(done) >= 0).all()
    assert done[-1] == total[-1] >= 3


# ------------------------------------------------------------------------------------------------------------------------- onset


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("e", [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.45])
def test_onset_of_the_binary_symmetric_channel(kind, e):
    joint, exact = datasets.binary_symmetric(e), closed_forms.binary_symmetric_onset(e, kind)
    assert dualib.onset(joint, kind) == pytest.approx(exact, rel=1e-8)
    assert dualib.local_critical_beta(joint, kind) == pytest.approx(exact, rel=1e-8)  # a split: the local test is right


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "a"), [(3, 0.6), (3, 0.2), (5, 0.5), (8, 0.9)])
def test_onset_of_the_symmetric_channel(kind, n, a):
    joint = datasets.symmetric(n, a)
    exact = closed_forms.symmetric_onset(n, a, kind)
    assert dualib.onset(joint, kind) == pytest.approx(exact, rel=1e-8)
    assert dualib.local_critical_beta(joint, kind) == pytest.approx(closed_forms.symmetric_local(n, a, kind), rel=1e-8)
    if (n, a) == (3, 0.6):
        assert exact == pytest.approx({"ib": 2.7249340568, "dualib": 2.6679793}[kind], rel=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("e", [0.1, 0.5, 0.8])
def test_onset_of_the_erasure_channel(kind, e):
    assert dualib.onset(datasets.erasure(e), kind) == pytest.approx(closed_forms.erasure_onset(e, kind), rel=1e-8)


@pytest.mark.parametrize(
    ("joint", "kind", "local", "onset", "rel"),
    [
        (datasets.case_a(), "ib", 2.250425133221543, 2.0487932, 2e-8),
        (datasets.case_a(), "dualib", 2.607823195280784, 1.3362337, 3e-8),
        (datasets.toy(), "ib", 4.365469, 4.365028, 2e-7),
        (datasets.toy(), "dualib", 3.251676, 3.223708, 2e-7),
        (datasets.three_by_three(), "ib", None, 1.5129119373, 1e-10),
        (datasets.three_by_three(), "dualib", 1.16584, 0.8950490036, 1e-10),
    ],
)
def test_onsets_checked_elsewhere(joint, kind, local, onset, rel):
    """Numbers of an independent program, to the digits that it gave."""
    assert dualib.onset(joint, kind) == pytest.approx(onset, rel=rel)
    if local is not None:
        assert dualib.local_critical_beta(joint, kind) == pytest.approx(local, rel=3e-6)


def log_c(joint, kind, beta, points):
    """log c(s) at the one-cluster solution, by its definition."""
    one = naive.centroid(kind, joint.px, joint.py_x)
    excess = naive.distortion_matrix(kind, joint.py_x, points) - naive.distortion_matrix(kind, joint.py_x, [one])
    return np.log(joint.px @ np.exp(-beta * excess))


def test_the_onset_of_the_published_matrix_by_its_touching_point():
    """At the onset log c has a second zero, a maximum at a distance: ``c(s) = 1`` and s its own centroid, in 40 digits."""
    joint = datasets.three_by_three()
    with mpmath.workdps(40):
        rows = [[mpmath.mpf(float(p)) for p in row] for row in joint.py_x]
        one = [mpmath.fsum(column) / 3 for column in zip(*rows, strict=True)]

        def equations(s1, s2, beta):
            s = (s1, s2, 1 - s1 - s2)
            gain = [mpmath.fsum(p * mpmath.log(b / a) for p, a, b in zip(row, one, s, strict=True)) for row in rows]
            terms = [mpmath.exp(beta * g) / 3 for g in gain]
            c = mpmath.fsum(terms)
            mean = [mpmath.fsum(t * row[y] for t, row in zip(terms, rows, strict=True)) / c for y in (0, 1)]
            return c - 1, mean[0] - s1, mean[1] - s2

        s1, s2, beta = mpmath.findroot(equations, (0.454965, 0.304676, 1.5129119), tol=1e-60)
    assert abs(s1 - one[0]) > 1e-3  # another point than the one cluster, where c = 1 at every beta
    np.testing.assert_allclose([float(s1), float(s2)], [0.454965466, 0.304676484], atol=1e-9)
    assert dualib.onset(joint, "ib") == pytest.approx(float(beta), rel=1e-9)
    assert dualib.onset(joint, "ib") < dualib.local_critical_beta(joint, "ib")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_the_onset_is_where_c_first_exceeds_one(kind, seed):
    """Just below it no point of a fine grid over the simplex has c > 1; just above it one cluster is no optimum."""
    joint = random_joint(seed, 5, 3)
    onset = dualib.onset(joint, kind)
    grid = np.array([(i, j, 40 - i - j) for i in range(41) for j in range(41 - i)]) + 1e-7
    assert log_c(joint, kind, onset * (1 - 1e-6), grid / grid.sum(axis=1, keepdims=True)).max() <= 1e-12
    assert onset <= dualib.local_critical_beta(joint, kind) * (1 + 1e-12)
    assert dualib.solve(joint, onset * 0.999, kind).n_clusters == 1
    above = dualib.solve(joint, onset * 1.01, kind)
    assert above.n_clusters > 1
    assert above.rate > 1e-4


def test_onset_where_nothing_can_be_learned_and_where_all_must_be():
    independent = JointDistribution.from_conditionals([[0.6, 0.4]] * 3, [0.2, 0.3, 0.5])
    rounded = JointDistribution(np.outer([0.2, 0.3, 0.5], [0.6, 0.4]))  # independent but for the last digits
    assert len(np.unique(rounded.py_x, axis=0)) > 1
    identity = datasets.deterministic([0, 1, 2])
    for kind in KINDS:
        assert dualib.onset(independent, kind) == np.inf
        assert dualib.onset(rounded, kind) == np.inf
        assert dualib.onset(JointDistribution([[1.0]]), kind) == np.inf
    assert dualib.onset(identity, "dualib") == 0.0  # no two y can share a cluster, at any beta
    assert dualib.onset(identity, "ib") == pytest.approx(1.0, rel=1e-8)


@pytest.mark.parametrize("p", [0.1, 0.3])
def test_onset_of_rate_distortion(p):
    hamming = dualib.RateDistortion([[0, 1], [1, 0]])
    assert dualib.onset(datasets.bernoulli(p), hamming) == pytest.approx(closed_forms.bernoulli_hamming_onset(p), rel=1e-8)


# ------------------------------------------------------------------------------------------------------------ local critical beta


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_local_critical_beta_by_the_eigenvalue(kind, seed):
    """The matrices of the literature, by dense eigenvalues: covariances at the one-cluster solution."""
    joint = random_joint(seed, 3 + seed, 2 + seed % 4)
    px, rows = joint.px, joint.py_x
    r = naive.centroid(kind, px, rows)
    features = rows if kind == "ib" else np.log(rows)
    centred = features - px @ features
    covariance = np.einsum("x,xi,xj->ij", px, centred, centred)
    if kind == "ib":
        matrix = covariance / np.sqrt(np.outer(r, r))
    else:
        projector = np.eye(len(r)) - np.sqrt(np.outer(r, r))
        matrix = projector @ (covariance * np.sqrt(np.outer(r, r))) @ projector
    assert dualib.local_critical_beta(joint, kind) == pytest.approx(1 / np.linalg.eigvalsh(matrix)[-1], rel=1e-10)


def test_local_critical_beta_of_the_extremes():
    independent = JointDistribution(np.outer([0.25, 0.75], [0.5, 0.5]))
    for kind in KINDS:
        assert dualib.local_critical_beta(independent, kind) > 1e12
    with pytest.raises(ValueError, match="joint has no feasible one-cluster solution"):
        dualib.local_critical_beta(datasets.deterministic([0, 1]), "dualib")
    with pytest.raises(ValueError, match="fixed columns"):
        dualib.local_critical_beta(datasets.bernoulli(0.3), dualib.RateDistortion([[0, 1], [1, 0]]))


# ---------------------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"direction": "sideways"}, ValueError, "direction must be 'down' or 'up', got 'sideways'"),
        ({"betas": [2.0], "beta_min": 1.0}, ValueError, "betas"),
        ({"betas": [2.0], "beta_max": 9.0}, ValueError, "betas"),
        ({"beta_min": 5.0, "beta_max": 4.0}, ValueError, "beta_min must be below beta_max, got 5.0 and 4.0"),
        ({"events": "yes"}, TypeError, "events must be a bool, got 'yes'"),
        ({"tol_curve": "1e-3"}, TypeError, "tol_curve must be a number, got '1e-3'"),
        ({"tol_curve": True}, TypeError, "tol_curve must be a number, got True"),
        ({"tol_curve": 9e-9}, ValueError, "tol_curve must be finite and at least 10 tol = 1e-08, got 9e-09"),
        ({"tol_curve": np.inf}, ValueError, "tol_curve must be finite"),
        ({"tol_curve": np.nan}, ValueError, "tol_curve must be finite"),
        ({"progress": "yes"}, TypeError, "progress must be a bool or a callable, got 'yes'"),
    ],
)
def test_bad_arguments(options, error, words):
    """Bad betas, tolerances and distortions are in test_validation."""
    with pytest.raises(error, match=words):
        dualib.anneal(datasets.toy(), "ib", **options)
