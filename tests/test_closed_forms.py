"""Closed forms against computations that share nothing with them: textbook sweeps, direct minimisation, the definition of c."""

import itertools

import naive
import numpy as np
import pytest
from scipy import optimize, stats

import dualib
from dualib import closed_forms as forms

KINDS = ("ib", "dualib")
LN2 = np.log(2.0)


def swept(kind, px, py_x, beta, seed=0, n_sweeps=3000):
    """Textbook Blahut-Arimoto from a random start near the identity: objective, rate, relevance."""
    rng = np.random.default_rng(seed)
    weights = px.copy()
    decoder = 0.9 * py_x + 0.1 * (rng.dirichlet(np.ones(len(px)), len(px)) @ py_x)
    before = np.inf
    for _ in range(n_sweeps):
        objective, encoder, weights, decoder = naive.sweep(kind, px, py_x, weights, decoder, beta)
        if before - objective < 1e-15:
            break
        before = objective
    encoder, objective = naive.encoder_of(kind, px, py_x, weights, decoder, beta)
    return objective, naive.mutual_information(px[:, None] * encoder), relevance_of(px, py_x, encoder)


def relevance_of(px, py_x, encoder):
    return naive.mutual_information((px[:, None] * encoder).T @ py_x)


def symmetric_rows(n, a):
    return a * np.eye(n) + (1 - a) / n


def flips(e):
    return np.array([[1 - e, e], [e, 1 - e]])


# --------------------------------------------------------------------------------------------------- binary symmetric channel


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("e", [0.02, 0.2, 0.4, 0.7])
@pytest.mark.parametrize("ratio", [0.6, 1.3, 3.0])
def test_binary_symmetric_by_textbook_sweeps(kind, e, ratio):
    beta = ratio * forms.binary_symmetric_onset(e, kind)
    point = forms.binary_symmetric(e, beta, kind)
    objective, rate, relevance = swept(kind, np.array([0.5, 0.5]), flips(e), beta)
    assert point.objective == pytest.approx(objective, abs=1e-12)
    assert point.rate == pytest.approx(rate, abs=1e-6)  # sweeps end when the objective stands still
    assert point.relevance == pytest.approx(relevance, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("e", [0.05, 0.35])
@pytest.mark.parametrize("ratio", [0.9, 1.001, 1.5, 20.0])
def test_binary_symmetric_is_the_least_over_the_flips_of_the_encoder(kind, e, ratio):
    """Scipy over the one parameter a of a symmetric encoder, with the objective of the definition."""
    beta = ratio * forms.binary_symmetric_onset(e, kind)

    def objective(a):
        return naive.objective_of_encoder(kind, np.array([0.5, 0.5]), flips(e), flips(a), beta)

    found = optimize.minimize_scalar(objective, bounds=(0.0, 0.5), method="bounded", options={"xatol": 1e-12})
    point = forms.binary_symmetric(e, beta, kind)
    assert point.objective == pytest.approx(min(found.fun, objective(0.5)), abs=1e-10)
    assert point.objective <= found.fun + 1e-14


@pytest.mark.parametrize(
    ("e", "beta", "u"), [(0.2, 3.1220534715084116, 1.1020842274449156), (0.3, 8.357550913237167, 0.7067692084126719)]
)
def test_binary_symmetric_dual_roots_checked_elsewhere(e, beta, u):
    """u = L (1 - 2a), the log odds of the decoder: two values computed by another program."""
    length = np.log((1 - e) / e)
    a = (1 - u / length) / 2
    assert u == pytest.approx(length * np.tanh(beta * np.tanh(u / 2) * length / 2), rel=1e-12)
    assert forms.binary_symmetric(e, beta, "dualib").rate == pytest.approx(LN2 - stats.entropy([a, 1 - a]), rel=1e-10)


def test_binary_symmetric_onsets():
    assert forms.binary_symmetric_onset(0.1, "ib") == pytest.approx(1 / 0.64, rel=1e-14)
    assert forms.binary_symmetric_onset(0.1, "dualib") == pytest.approx(0.828535449690223, rel=1e-14)
    for kind in KINDS:
        assert forms.binary_symmetric_onset(0.5, kind) == np.inf
        assert forms.binary_symmetric(0.5, 7.0, kind) == (0.0, 0.0, 0.0)
        for e in (0.01, 0.3, 0.45):
            onset = forms.binary_symmetric_onset(e, kind)
            assert onset == pytest.approx(forms.binary_symmetric_onset(1 - e, kind), rel=1e-12)
            assert forms.binary_symmetric(e, onset * (1 - 1e-9), kind).rate == 0.0
            just_above = forms.binary_symmetric(e, onset * (1 + 1e-6), kind)
            assert 1e-8 < just_above.rate < 1e-4  # a split: rises continuously, and at once


# -------------------------------------------------------------------------------------------------- every encoder of a small size


def least_objective(kind, px, py_x, beta, n_t, seed=0):
    """The least objective over all encoders (n_x, n_t): Nelder-Mead from random starts, and every hard clustering."""
    n_x = len(px)

    def objective(z):
        z = np.clip(z.reshape(n_x, n_t), -40.0, 40.0)
        encoder = np.exp(z - z.max(axis=1, keepdims=True))
        return naive.objective_of_encoder(kind, px, py_x, encoder / encoder.sum(axis=1, keepdims=True), beta)

    hard = [np.eye(n_t)[list(labels)] for labels in itertools.product(range(n_t), repeat=n_x)]
    values = []
    for encoder in hard:
        with np.errstate(invalid="ignore"):  # clusters without a common support have no centroid in the naive twin
            value = naive.objective_of_encoder(kind, px, py_x, encoder, beta)
        values.append(value if np.isfinite(value) else np.inf)
    rng = np.random.default_rng(seed)
    starts = rng.normal(0.0, 2.0, (3, n_x * n_t))
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 1500}
    values += [optimize.minimize(objective, start, method="Nelder-Mead", options=options).fun for start in starts]
    return min(values)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("e", "ratio"), [(0.3, 0.5), (0.3, 0.99), (0.3, 1.01), (0.7, 4.0)])
def test_erasure_over_all_encoders(kind, e, ratio):
    beta = ratio * forms.erasure_onset(e, kind)
    rows = np.array([[1 - e, 0, e], [0, 1 - e, e]])
    point = forms.erasure(e, beta, kind)
    assert point.objective == pytest.approx(least_objective(kind, np.array([0.5, 0.5]), rows, beta, 2), abs=1e-8)
    identity = ratio > 1
    assert point.rate == (pytest.approx(LN2) if identity else 0.0)
    assert point.relevance == (pytest.approx((1 - e) * LN2) if identity else 0.0)


def test_erasure_onsets():
    assert forms.erasure_onset(0.3) == pytest.approx(1 / 0.7, rel=1e-14)
    assert forms.erasure_onset(0.3, "dualib") == pytest.approx(LN2 / np.log(1 / 0.3), rel=1e-14)
    for beta in (0.2, 0.57, 0.58, 9.0):
        assert forms.erasure(0.3, beta, "dualib").objective == pytest.approx(min(LN2, -beta * np.log(0.3)), rel=1e-14)


@pytest.mark.parametrize("beta", [0.4, 0.99, 1.01, 3.0])
def test_deterministic_over_all_encoders(beta):
    px, rows = np.array([0.3, 0.2, 0.5]), np.eye(2)[[0, 0, 1]]
    point = forms.deterministic(stats.entropy([0.5, 0.5]), beta)
    assert point.objective == pytest.approx(least_objective("ib", px, rows, beta, 2), abs=1e-8)
    assert point.rate == point.relevance == (pytest.approx(LN2) if beta > 1 else 0.0)


@pytest.mark.parametrize("beta", [0.1, 1.0, 30.0])
def test_deterministic_dual_keeps_all(beta):
    """Different y never share a cluster, so the partition by y, at distortion 0, cannot be improved."""
    px, rows = np.array([0.3, 0.2, 0.5]), np.eye(2)[[0, 0, 1]]
    partition = naive.objective_of_encoder("dualib", px, rows, rows, beta)
    assert forms.deterministic(LN2, beta, "dualib") == pytest.approx((partition,) * 3, rel=1e-14)


# ---------------------------------------------------------------------------------------------------------------------- Gaussian


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rho", [0.3, 0.8])
@pytest.mark.parametrize("ratio", [0.7, 1.2, 5.0, 100.0])
def test_gaussian_is_the_least_over_the_noise(kind, rho, ratio):
    """T = X + noise, v the variance of X given T: rate -ln(v)/2; E d from the two normal densities of variance 1 - rho^2."""
    onset = 1 / rho**2 if kind == "ib" else (1 - rho**2) / rho**2
    beta, noise = ratio * onset, 1 - rho**2

    def relevance(v):
        return -0.5 * np.log(1 - rho**2 * (1 - v))

    def objective(log_v):
        v = np.exp(log_v)
        distortion = relevance(0.0) - relevance(v) if kind == "ib" else rho**2 * v / (2 * noise)
        return -0.5 * log_v + beta * distortion

    found = optimize.minimize_scalar(objective, bounds=(-15.0, 0.0), method="bounded", options={"xatol": 1e-13})
    log_v = found.x if found.fun < objective(0.0) else 0.0
    point = forms.gaussian_ib(rho, beta, kind)
    assert point.objective == pytest.approx(objective(log_v), abs=1e-9)
    assert point.rate == pytest.approx(-0.5 * log_v, abs=1e-5)
    assert point.relevance == pytest.approx(relevance(np.exp(log_v)), abs=1e-5)


def test_gaussian_dual_at_beta_is_the_ib_at_beta_plus_one():
    for rho, beta in ((0.5, 4.0), (0.9, 1.0)):
        dual, ib = forms.gaussian_ib(rho, beta, "dualib"), forms.gaussian_ib(rho, beta + 1, "ib")
        assert dual[1:] == ib[1:]
        assert dual.objective == pytest.approx(dual.rate + 0.5, rel=1e-14)  # E d = 1 / (2 beta)


@pytest.mark.parametrize("kind", KINDS)
def test_grids_tend_to_the_gaussian(kind):
    """Finer and wider: the solver's numbers on grids approach the formulas, and so do the onsets."""
    exact = forms.gaussian_ib(0.8, 3.0, kind)
    errors = []
    for n, width in ((9, 2.0), (15, 3.0), (24, 4.0)):
        joint = dualib.datasets.gaussian(n, 0.8, width)
        solution = dualib.solve(joint, 3.0, kind, tol=1e-6)
        onset = 1 / 0.64 if kind == "ib" else 0.36 / 0.64
        found = (solution.objective, solution.rate, solution.relevance, dualib.local_critical_beta(joint, kind))
        errors.append(np.abs(np.subtract(found, (*exact, onset))).max())
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 1e-3


# -------------------------------------------------------------------------------------------------------- symmetric n-ary channel


def log_c(kind, rows, beta, points):
    """log c(s) at the one-cluster solution, by its definition."""
    n = len(rows)
    center = naive.centroid(kind, np.full(n, 1 / n), rows)
    d0 = naive.distortion_matrix(kind, rows, [center])
    return np.log(np.mean(np.exp(-beta * (naive.distortion_matrix(kind, rows, points) - d0)), axis=0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("a", [0.25, 0.6, 0.9])
def test_symmetric_onset_by_the_definition(kind, a):
    """c <= 1 on a grid over the simplex just below it; above it somewhere c > 1, and where, is on the axis of one source."""
    rows, onset = symmetric_rows(3, a), forms.symmetric_onset(3, a, kind)
    grid = [(i, j, 30 - i - j) for i in range(31) for j in range(31 - i)]
    points = (np.array(grid) + 1e-9) / (30 + 3e-9)
    assert log_c(kind, rows, onset * (1 - 1e-7), points).max() <= 1e-13
    tilts = np.linspace(1e-3, 1 - 1e-6, 2000)
    axis = (1 - tilts[:, None]) / 3 + tilts[:, None] * np.eye(3)[0]
    assert log_c(kind, rows, onset * (1 - 1e-7), axis).max() <= 1e-13
    assert log_c(kind, rows, onset * (1 + 1e-3), axis).max() > 1e-6


@pytest.mark.parametrize(("kind", "local", "onset"), [("ib", 2.7777777778, 2.7249340568), ("dualib", 3.0968636, 2.6679793)])
def test_symmetric_onsets_checked_elsewhere(kind, local, onset):
    assert forms.symmetric_local(3, 0.6, kind) == pytest.approx(local, rel=1e-7)
    assert forms.symmetric_onset(3, 0.6, kind) == pytest.approx(onset, rel=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 3, 6])
def test_symmetric_local_is_where_the_second_derivative_of_c_vanishes(kind, n):
    """c(s) around the one cluster, by finite differences: its curvature changes sign at the local critical beta."""
    rows = symmetric_rows(n, 0.5)
    step = 1e-4 * (np.eye(n)[0] - np.eye(n)[1])
    points = [np.full(n, 1 / n) + step]
    local = forms.symmetric_local(n, 0.5, kind)
    assert log_c(kind, rows, local * (1 - 1e-4), points)[0] < 0.0 < log_c(kind, rows, local * (1 + 1e-4), points)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_symmetric_of_two_is_the_binary_channel(kind):
    for a in (0.2, 0.8):
        expected = forms.binary_symmetric_onset((1 - a) / 2, kind)
        assert forms.symmetric_local(2, a, kind) == pytest.approx(expected, rel=1e-12)
        assert forms.symmetric_onset(2, a, kind) == pytest.approx(expected, rel=1e-12)  # a split: local = true


# ---------------------------------------------------------------------------------------------------------- rate-distortion


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("beta", [0.5, 2.0, 6.0])
def test_bernoulli_hamming_by_blahut(p, beta):
    """Blahut's iteration on the output distribution, from the uniform one."""
    px, kernel, out = np.array([1 - p, p]), np.exp(-beta * np.array([[0, 1], [1, 0]])), np.array([0.5, 0.5])
    for _ in range(20_000):
        out = out * ((px / (kernel @ out)) @ kernel)
    encoder = kernel * out / (kernel @ out)[:, None]
    live = encoder > 1e-100
    rate = np.sum((px[:, None] * encoder)[live] * np.log((encoder / out)[live]))
    distortion = px[0] * encoder[0, 1] + px[1] * encoder[1, 0]
    point = forms.bernoulli_hamming(p, beta)
    assert point.objective == pytest.approx(-px @ np.log(kernel @ out), abs=1e-10)
    assert point.rate == pytest.approx(rate, abs=1e-7)
    assert (point.objective - point.rate) / beta == pytest.approx(distortion, abs=1e-7)


def test_bernoulli_hamming_onset():
    for p in (0.1, 0.3):
        onset = forms.bernoulli_hamming_onset(p)
        assert onset == pytest.approx(np.log((1 - p) / p))
        assert forms.bernoulli_hamming(p, onset * (1 - 1e-12)).rate == 0.0
        assert forms.bernoulli_hamming(p, onset * (1 + 1e-6)).rate > 0.0


# --------------------------------------------------------------------------------------------------------- laws of all curves

CURVES = {
    **{f"binary symmetric {kind}": (lambda beta, kind=kind: forms.binary_symmetric(0.2, beta, kind)) for kind in KINDS},
    **{f"erasure {kind}": (lambda beta, kind=kind: forms.erasure(0.4, beta, kind)) for kind in KINDS},
    **{f"deterministic {kind}": (lambda beta, kind=kind: forms.deterministic(1.2, beta, kind)) for kind in KINDS},
    **{f"gaussian {kind}": (lambda beta, kind=kind: forms.gaussian_ib(0.7, beta, kind)) for kind in KINDS},
    "bernoulli": lambda beta: forms.bernoulli_hamming(0.3, beta),
}


@pytest.mark.parametrize("name", CURVES)
def test_the_slope_of_the_objective_is_the_expected_distortion(name):
    """Envelope theorem: dF/dbeta = E d = (F - rate) / beta, by central differences; rate and relevance never fall."""
    curve = CURVES[name]
    betas = np.geomspace(0.31, 40.0, 23)
    for beta in betas:
        point, step = curve(beta), 1e-5 * beta
        slope = (curve(beta + step).objective - curve(beta - step).objective) / (2 * step)
        assert slope == pytest.approx((point.objective - point.rate) / beta, abs=1e-7)
    points = np.array([curve(beta) for beta in betas])
    assert (np.diff(points, axis=0) >= -1e-14).all()
    assert all(type(value) is float for value in curve(2.0))


@pytest.mark.parametrize("name", [name for name in CURVES if not name.startswith("bernoulli")])
def test_relevance_is_at_most_the_rate(name):
    for beta in np.geomspace(0.31, 40.0, 23):
        point = CURVES[name](beta)
        assert 0.0 <= point.relevance <= point.rate * (1 + 1e-12) + 1e-15


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_the_onset_by_products_is_that_by_matrices(kind, monkeypatch):
    """Of many features no matrix is made for each point; of forty it can still be."""
    joint = dualib.datasets.gaussian(40, 0.8)
    found = dualib.onset(joint, kind)
    monkeypatch.setattr("dualib.engine.onset._FEW_FEATURES", 40)
    assert dualib.onset(joint, kind) == pytest.approx(found, rel=1e-9)
