"""Infinite ensembles: kernels by quadrature, dynamics by explicit matrices, linear models, finite nets by simulation."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.special import erf

import dualib
from dualib import networks
from dualib.networks.kernels import ACTIVATIONS

PATH = Path(__file__).parents[2] / "benchmarks" / "ensembles.py"
COLUMNS = (
    *("time", "train_loss", "test_loss", "gibbs_loss", "bayes_loss", "mi_xz_lower", "mi_xz_upper"),
    *("mi_zd_given_x", "fisher", "parameter_distance", "mi_theta_d"),
)


@pytest.fixture(scope="module")
def simulation():
    """The module benchmarks/ensembles.py, which is no package."""
    spec = importlib.util.spec_from_file_location("ensembles_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x, x_test = rng.standard_normal((7, 4)), rng.standard_normal((5, 4))
    return x, np.sin(x[:, :2]), x_test, np.sin(x_test[:, :2])


@pytest.mark.parametrize(
    ("activation", "nngp", "ntk"),
    [
        ("relu", (2.61868854, 0.81695282), (7.74226562, 1.47034784)),
        ("erf", (0.88068128, 0.30538843), (3.70793546, 0.82342292)),
    ],
)
def test_kernels_at_known_entries(activation, nngp, ntk):
    """Those of ReLU are published figures; those of Erf were confirmed by the quadrature below."""
    x = np.random.RandomState(0).randn(5, 7)
    ensemble = networks.InfiniteEnsemble(depth=2, activation=activation, sigma_w=1.3, sigma_b=0.2)
    np.testing.assert_allclose(ensemble.nngp(x)[0, :2], nngp, atol=1e-7)
    np.testing.assert_allclose(ensemble.ntk(x)[0, :2], ntk, atol=1e-7)
    for kernel in (ensemble.nngp, ensemble.ntk):
        np.testing.assert_allclose(kernel(x), kernel(x, x), atol=1e-7)
        np.testing.assert_allclose(kernel(x), kernel(x).T, atol=1e-14)
        np.testing.assert_allclose(kernel(x[:2], x[2:]), kernel(x)[:2, 2:], atol=1e-14)


def gaussian_pair(k11, k12, k22, n=400):
    """Nodes and weights of a quadrature over a Gaussian pair in polar coordinates, exact on the kinks that lie on rays."""
    radius, r_weights = np.polynomial.legendre.leggauss(n)
    radius, r_weights = 6.0 * (radius + 1.0), 6.0 * r_weights
    factor = np.linalg.cholesky([[k11, k12], [k12, k22]])
    kinks = np.sort([np.pi / 2, -np.pi / 2, *(np.arctan2(-factor[1, 0], factor[1, 1]) + s for s in (0.0, np.pi))])
    edges = np.append(kinks, kinks[0] + 2 * np.pi)
    node, weight = np.polynomial.legendre.leggauss(60)
    angles = np.concatenate([0.5 * (b - a) * node + 0.5 * (a + b) for a, b in itertools.pairwise(edges)])
    a_weights = np.concatenate([0.5 * (b - a) * weight for a, b in itertools.pairwise(edges)])
    z = np.stack([np.multiply.outer(radius, np.cos(angles)), np.multiply.outer(radius, np.sin(angles))])
    weights = (r_weights * radius * np.exp(-0.5 * radius**2))[:, None] * a_weights / (2 * np.pi)
    u, v = np.tensordot(factor, z, 1)
    return u, v, weights


@pytest.mark.parametrize("k", [(1.0, 0.3, 2.0), (0.4, -0.35, 0.9), (1.5, 1.1, 1.0)])
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_moments_by_quadrature(activation, k):
    """All four: with g = a u + b v the radial ones need no derivative of phi'."""
    u, v, weights = gaussian_pair(*k)
    if activation == "relu":
        phi, slope = (lambda z: np.maximum(z, 0.0)), (lambda z: (z > 0.0).astype(float))
    else:
        phi, slope = erf, (lambda z: 2.0 / np.sqrt(np.pi) * np.exp(-(z**2)))
    a, b = 0.7, -0.4
    c1, c2 = a * k[0] + b * k[1], a * k[1] + b * k[2]
    moments = ACTIVATIONS[activation](*(np.array([value]) for value in (*k, c1, c2)))
    assert moments.values[0] == pytest.approx(np.sum(weights * phi(u) * phi(v)), abs=1e-9)
    assert moments.slopes[0] == pytest.approx(np.sum(weights * slope(u) * slope(v)), abs=1e-9)
    assert moments.radial_values[0] == pytest.approx(np.sum(weights * (a * u + b * v) * slope(u) * phi(v)), abs=1e-9)
    # d/ds of E[phi'(u + s g) phi'(v)] at 0, with phi'(u + s g) over the pair (u + s g, v)
    h = 1e-4
    shifted = []
    for s in (-h, h):
        moved = (k[0] + 2 * s * c1 + s**2 * (a * c1 + b * c2), k[1] + s * c2, k[2])
        p, q, moved_weights = gaussian_pair(*moved)
        shifted.append(np.sum(moved_weights * slope(p) * slope(q)))
    assert moments.radial_slopes[0] == pytest.approx((shifted[1] - shifted[0]) / (2 * h), abs=1e-5)


def test_equal_inputs_have_the_diagonal_of_relu_exactly():
    moments = ACTIVATIONS["relu"](*(np.array([0.7]) for _ in range(3)), np.array([2.1]), np.array([2.1]))
    assert (moments.values[0], moments.slopes[0]) == (0.35, 0.5)
    assert moments.radial_values[0] == pytest.approx(1.05)
    assert moments.radial_slopes[0] == 0.0


@pytest.mark.parametrize("kernel", ["ntk", "nngp"])
@pytest.mark.parametrize("time", [0.0, 0.3, 20.0])
def test_dynamics_by_explicit_matrices(data, kernel, time):
    x, y, x_test, y_test = data
    ensemble = networks.InfiniteEnsemble(2, "erf", 1.3, 0.2, kernel)
    theta = getattr(ensemble, kernel)
    decay = expm(-theta(x) * time / y.size)
    q = np.linalg.solve(theta(x), np.eye(7) - decay)
    cross = theta(x_test, x) @ q
    mean, covariance = ensemble.predict(x, y, x_test, time)
    expected = ensemble.nngp(x_test) + cross @ ensemble.nngp(x) @ cross.T
    expected -= cross @ ensemble.nngp(x, x_test) + ensemble.nngp(x_test, x) @ cross.T
    np.testing.assert_allclose(mean, cross @ y, atol=1e-9)
    np.testing.assert_allclose(covariance, expected, atol=1e-9)
    table = ensemble.information(x, y, x_test, y_test, [time])
    assert table.train_loss[0] == pytest.approx(0.5 * np.mean((decay @ y) ** 2), abs=1e-12)
    assert table.test_loss[0] == pytest.approx(0.5 * np.mean((cross @ y - y_test) ** 2), abs=1e-10)
    squares = np.sum((cross @ y - y_test) ** 2, axis=1)
    gibbs = 0.5 * np.mean(squares) + np.mean(np.diag(expected)) + np.log(2 * np.pi)
    assert table.gibbs_loss[0] == pytest.approx(gibbs, abs=1e-9)
    from scipy.stats import multivariate_normal

    joint = sum(multivariate_normal.logpdf(y_test[:, k], (cross @ y)[:, k], expected + np.eye(5)) for k in range(2))
    assert table.bayes_loss[0] == pytest.approx(-joint / 5, abs=1e-9)
    assert table.bayes_loss[0] <= table.gibbs_loss[0] + 1e-12
    variance, start = np.diag(expected), np.diag(ensemble.nngp(x_test))
    kl = 0.5 * (2 * (variance / start - 1 - np.log(variance / start)) + np.sum((cross @ y) ** 2, axis=1) / start)
    assert table.mi_zd_given_x[0] == pytest.approx(np.mean(kl), abs=1e-8)
    assert table.fisher[0] == pytest.approx(2 * np.trace(theta(x)))
    distance = np.trace((2 * ensemble.nngp(x) + y @ y.T) @ q @ (np.eye(7) - decay))
    assert table.parameter_distance[0] == pytest.approx(distance, abs=1e-9)


def test_the_last_layer_alone_ends_in_gaussian_process_regression(data):
    x, y, x_test, _ = data
    ensemble = networks.InfiniteEnsemble(1, "relu", kernel="nngp")
    mean, covariance = ensemble.predict(x, y, x_test)
    gain = np.linalg.solve(ensemble.nngp(x), ensemble.nngp(x, x_test)).T
    np.testing.assert_allclose(mean, gain @ y, atol=1e-8)
    np.testing.assert_allclose(covariance, ensemble.nngp(x_test) - gain @ ensemble.nngp(x, x_test), atol=1e-8)


@pytest.mark.parametrize("time", [1e-7, 0.4, 60.0])
def test_parameters_of_a_linear_model_in_closed_form(data, time):
    """Depth 0: theta_tau is linear in theta_0, so that all its moments, and its divergence from the start, are known."""
    x, y, x_test, y_test = data
    ensemble = networks.InfiniteEnsemble(depth=0, sigma_w=1.3, sigma_b=0.2)
    table = ensemble.information(x, y, x_test, y_test, [time])
    features = np.column_stack([1.3 * x / 2.0, np.full(7, 0.2)])  # sqrt(4) inputs
    curvature = features.T @ features / y.size
    kept = expm(-curvature * time)
    values, vectors = np.linalg.eigh(curvature)
    integral = vectors @ np.diag(-np.expm1(-values * time) / values) @ vectors.T
    moved = integral @ features.T @ y / y.size
    distance = 2 * np.sum((np.eye(5) - kept) ** 2) + np.sum(moved**2)
    assert table.parameter_distance[0] == pytest.approx(distance, rel=1e-8)
    covariance = kept @ kept.T
    log_det = -2.0 * time * np.trace(curvature)  # of exp(-curvature t)^2, whose own determinant is rounding where it is small
    divergence = np.trace(covariance) - 5 - log_det + 0.5 * np.sum(moved**2)
    assert table.mi_theta_d[0] == pytest.approx(divergence, rel=1e-6, abs=1e-11)


def test_outputs_are_independent(data):
    """Two outputs are two ensembles, each with its own time: the loss is a mean over both."""
    x, y, x_test, y_test = data
    ensemble = networks.InfiniteEnsemble()
    both = ensemble.information(x, y, x_test, y_test, [3.0])
    single = [ensemble.information(x, y[:, k], x_test, y_test[:, k], [1.5]) for k in range(2)]
    for name in ("gibbs_loss", "bayes_loss", "mi_zd_given_x", "parameter_distance", "mi_theta_d", "fisher"):
        assert getattr(both, name)[0] == pytest.approx(sum(getattr(table, name)[0] for table in single)), name


def test_early_and_late_in_time(data):
    x, y, x_test, y_test = data
    table = networks.InfiniteEnsemble(2, "erf").information(x, y, x_test, y_test, [0, 1e-6, 1e-3, 1.0, 1e3, 1e9, np.inf])
    assert all(np.isfinite(getattr(table, name)[:-1]).all() for name in COLUMNS)
    assert table.train_loss[0] == pytest.approx(0.5 * np.mean(y**2))
    assert table.parameter_distance[0] == table.mi_theta_d[0] == 0.0
    assert table.mi_zd_given_x[0] == pytest.approx(0.0, abs=1e-14)
    assert table.mi_theta_d[1] == pytest.approx(1e-3 * table.mi_theta_d[2], rel=0.01)
    assert (np.diff(table.mi_theta_d[:-1]) > 0).all() and table.train_loss[-1] < 1e-20
    assert (table.mi_xz_lower <= np.log(5) + 1e-12).all() and (table.mi_xz_lower <= table.mi_xz_upper).all()
    assert table.mi_theta_d[-1] == np.inf  # a posterior without width
    assert table.early_stopping() in table.time
    np.testing.assert_allclose(table.test_loss[-2], table.test_loss[-1], rtol=1e-6)


def test_duplicate_points_are_learnt_as_one(data):
    """A singular kernel: the mean of contradictory targets is learnt, their difference never."""
    x, y, x_test, _ = data
    ensemble = networks.InfiniteEnsemble(2, "relu")
    twice, targets = np.vstack([x, x]), np.vstack([y + 0.5, y - 0.5])
    mean, covariance = ensemble.predict(twice, targets, x_test)
    once, expected = ensemble.predict(x, y, x_test)
    np.testing.assert_allclose(mean, once, atol=1e-6)
    np.testing.assert_allclose(covariance, expected, atol=1e-6)


def test_the_table_and_its_pictures(data):
    pandas = pytest.importorskip("pandas")
    x, y, x_test, y_test = data
    calls = []
    table = networks.InfiniteEnsemble().information(
        x, y, x_test, y_test, np.geomspace(0.1, 100, 9), progress=lambda done, total: calls.append((done, total))
    )
    frame = table.to_dataframe()
    assert isinstance(frame, pandas.DataFrame) and tuple(frame.columns) == COLUMNS and len(frame) == len(table) == 9
    assert calls[-1] == (9, 9)
    losses, information = table.plot_losses(), table.plot_information()
    assert len(losses.lines) >= 7 and losses.get_xscale() == information.get_xscale() == "log"
    assert "I(X;Z|D), between its bounds" in [text.get_text() for text in information.get_legend().get_texts()]
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_finite_networks_are_within_their_standard_errors(simulation, activation):
    """A slice of ``python benchmarks/ensembles.py``: of nine means one may be two errors away, none three."""
    ensemble = networks.InfiniteEnsemble(depth=2, activation=activation, sigma_w=1.3, sigma_b=0.2)
    rows = simulation.comparison(ensemble, width=128, n_networks=200, time=2.0, n_steps=40)
    away = np.array([(mean - value) / error for _, value, mean, error in rows])
    assert len(away) == 9 and np.abs(away).max() < 3.0 and np.sum(np.abs(away) > 2.0) <= 1


def test_gradients_of_the_simulation_by_differences(simulation):
    ensemble = networks.InfiniteEnsemble(depth=2, activation="erf", sigma_w=1.3, sigma_b=0.2)
    rng = np.random.default_rng(0)
    parameters = [(rng.standard_normal((a, b)), rng.standard_normal(b)) for a, b in ((3, 4), (4, 5), (5, 1))]
    x, error = rng.standard_normal((6, 3)), rng.standard_normal((6, 1))
    _, before, inputs = simulation.forward(parameters, x, ensemble)
    found = simulation.gradients(parameters, before, inputs, error, ensemble)
    for layer in range(3):
        for part in range(2):
            array, h = parameters[layer][part], 1e-6
            index = tuple(rng.integers(size) for size in array.shape)
            values = []
            for sign in (1, -1):
                array[index] += sign * h
                values.append(np.sum(error * simulation.forward(parameters, x, ensemble)[0]))
                array[index] -= sign * h
            assert found[layer][part][index] == pytest.approx((values[0] - values[1]) / (2 * h), abs=1e-7)


def test_what_ensembles_refuse(data):
    x, y, x_test, y_test = data
    ensemble = networks.InfiniteEnsemble()
    assert repr(ensemble) == "InfiniteEnsemble(depth=2, activation='relu', sigma_w=1.3, sigma_b=0.2, kernel='ntk')"
    for call, message in (
        (lambda: networks.InfiniteEnsemble(depth=-1), "depth must be an integer of at least 0, got -1"),
        (lambda: networks.InfiniteEnsemble(activation="tanh"), "activation must be one of \\['erf', 'relu'\\], got 'tanh'"),
        (lambda: networks.InfiniteEnsemble(sigma_w=0.0), "sigma_w must be finite and > 0"),
        (lambda: networks.InfiniteEnsemble(sigma_b=-1.0), "sigma_b must be finite and > 0"),
        (lambda: networks.InfiniteEnsemble(kernel="both"), "kernel must be 'ntk'"),
        (lambda: ensemble.nngp(x, x[:, :2]), "x2 must have 4 columns as x1 has"),
        (lambda: ensemble.information(x, y[:3], x_test, y_test, [1.0]), "y must have one row for each of X, 7"),
        (lambda: ensemble.information(x, y, x_test, y_test[:, :1], [1.0]), "y_test must have shape \\(5, 2\\)"),
        (lambda: ensemble.information(x, y, x_test[:1], y_test[:1], [1.0]), "X_test must hold at least two inputs"),
        (lambda: ensemble.information(x, y, x_test, y_test, [-1.0]), "times must be numbers >= 0"),
        (lambda: ensemble.information(x, y, x_test, y_test, [np.nan]), "times must be numbers >= 0"),
        (lambda: ensemble.information(x, y, x_test, y_test, [1.0]).early_stopping("loss"), "loss must be 'test_loss'"),
        (lambda: ensemble.predict(x, y, x_test[:, :1]), "X_test must have 4 columns"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert dualib.networks is networks
