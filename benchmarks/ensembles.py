"""Networks of finite width, trained many times, against the closed forms of infinitely wide ensembles.

    OPENBLAS_NUM_THREADS=1 python benchmarks/ensembles.py

For each width: means over the networks of the output before training, the test output after it, its variance, E|theta_tau -
theta_0|^2 and E|theta_tau|^2 - |theta_0|^2, each with its standard error and its distance from the closed form in standard
errors. Training is by small steps of gradient descent on ``1/2 mean |f - y|^2`` from standard normal parameters.
"""

import itertools
import sys

import numpy as np
from scipy.special import erf

from dualib.networks import InfiniteEnsemble

PHI = {
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: (z > 0.0).astype(float)),
    "erf": (erf, lambda z: 2.0 / np.sqrt(np.pi) * np.exp(-(z**2))),
}
TIME, N_STEPS = 4.0, 100
SIZES = ((64, 400), (256, 200), (1024, 40))  # width, networks


def problem(seed=0, n=6, n_test=3, d=4):
    """Points on a sphere of radius sqrt(d), with a smooth target."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n + n_test, d))
    x *= np.sqrt(d) / np.linalg.norm(x, axis=1, keepdims=True)
    y = np.sin(x[:, :1]) + 0.5 * x[:, 1:2]
    return x[:n], y[:n], x[n:], y[n:]


def forward(parameters, x, ensemble):
    """Outputs (n, 1), and the values that each layer takes in and gives, before and after the activation."""
    phi, _ = PHI[ensemble.activation]
    value, before, inputs = x, [], []
    for w, b in parameters:
        inputs.append(value)
        before.append(ensemble.sigma_w * value @ w / np.sqrt(value.shape[1]) + ensemble.sigma_b * b)
        value = phi(before[-1])
    return before[-1], before, inputs


def gradients(parameters, before, inputs, error, ensemble):
    """Of ``sum error * f`` by every parameter."""
    _, slope = PHI[ensemble.activation]
    found = []
    for layer in reversed(range(len(parameters))):
        value, scale = inputs[layer], ensemble.sigma_w / np.sqrt(inputs[layer].shape[1])
        found.append((scale * value.T @ error, ensemble.sigma_b * error.sum(axis=0)))
        if layer:
            error = scale * (error @ parameters[layer][0].T) * slope(before[layer - 1])
    return found[::-1]


def trained(ensemble, x, y, x_test, width, seed, time=TIME, n_steps=N_STEPS):
    """One network: test outputs before and after training, |theta_tau - theta_0|^2 and |theta_tau|^2 - |theta_0|^2."""
    rng = np.random.default_rng(seed)
    sizes = [x.shape[1], *([width] * ensemble.depth), 1]
    parameters = [(rng.standard_normal((a, b)), rng.standard_normal(b)) for a, b in itertools.pairwise(sizes)]
    start = [(w.copy(), b.copy()) for w, b in parameters]
    first = forward(parameters, x_test, ensemble)[0]
    for _ in range(n_steps):
        output, before, inputs = forward(parameters, x, ensemble)
        moves = gradients(parameters, before, inputs, (output - y) / y.size, ensemble)
        for (w, b), (dw, db) in zip(parameters, moves, strict=True):
            w -= time / n_steps * dw
            b -= time / n_steps * db
    pairs = list(zip(parameters, start, strict=True))
    distance = sum(np.sum((v - v0) ** 2) for new, old in pairs for v, v0 in zip(new, old, strict=True))
    growth = sum(np.sum(v**2) - np.sum(v0**2) for new, old in pairs for v, v0 in zip(new, old, strict=True))
    return first[:, 0], forward(parameters, x_test, ensemble)[0][:, 0], distance, growth


def comparison(ensemble, width, n_networks, time=TIME, n_steps=N_STEPS):
    """Rows (name, closed form, mean over networks, standard error)."""
    x, y, x_test, y_test = problem()
    runs = [trained(ensemble, x, y, x_test, width, seed, time, n_steps) for seed in range(n_networks)]
    before, after, distance, growth = (np.array(column) for column in zip(*runs, strict=True))
    table = ensemble.information(x, y, x_test, y_test, [time])
    mean, covariance = ensemble.predict(x, y, x_test, time)
    growth_expected = 2.0 * (table.mi_theta_d[0] - time * table.fisher[0] / y.size)
    rows = [("E f(x)^2 before", ensemble.nngp(x_test)[0, 0], before[:, 0] ** 2)]
    for i in range(len(x_test)):
        rows.append((f"E f(x_{i}) after", mean[i, 0], after[:, i]))
        rows.append((f"Var f(x_{i}) after", covariance[i, i], (after[:, i] - mean[i, 0]) ** 2))
    rows.append(("E|theta - theta_0|^2", table.parameter_distance[0], distance))
    rows.append(("E|theta|^2 - |theta_0|^2", growth_expected, growth))
    return [(name, float(value), float(np.mean(s)), float(np.std(s, ddof=1) / np.sqrt(len(s)))) for name, value, s in rows]


def main():
    sizes = SIZES[: int(sys.argv[1])] if len(sys.argv) > 1 else SIZES
    for activation in ("relu", "erf"):
        ensemble = InfiniteEnsemble(depth=2, activation=activation, sigma_w=1.3, sigma_b=0.2)
        for width, n_networks in sizes:
            print(f"\n{activation}, two hidden layers of width {width}, {n_networks} networks, time {TIME:g}")
            for name, value, mean, error in comparison(ensemble, width, n_networks):
                away = (mean - value) / error
                print(
                    f"  {name:<26}closed form {value:9.4f}   simulated {mean:9.4f} +- {error:.4f}   {away:+.1f} standard errors"
                )


if __name__ == "__main__":
    main()
