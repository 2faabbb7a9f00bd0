"""What the tests of proofs are held against: log c from its definition, by high precision, and its maximum by other searches."""

import itertools

import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize

from dualib.engine.proof import prove_many
from dualib.engine.root_cells import Table

KINDS = ["ib", "dualib"]


def prove(log_a, py_x, beta, kind, *, points=None, tol=1e-9, lower=0.0, max_cells=400_000):
    """The proof for one beta; a state of log a = -inf is left out."""
    py_x = np.asarray(py_x, dtype=float)
    points, live = py_x[:0] if points is None else points, np.asarray(log_a) > -np.inf
    table = Table(py_x[live] / py_x[live].sum(axis=1, keepdims=True), kind)
    return prove_many(table, np.asarray(log_a)[None, live], np.array([beta]), [points], tol, np.array([lower]), max_cells)[0]


def naive_log_c(log_a, py_x, beta, kind, s):
    """log sum_x a_x exp(-beta d(x, s)) from the definition, one state and one y at a time."""
    terms = []
    for a, p in zip(log_a, py_x, strict=True):
        first, second = (p, s) if kind == "ib" else (s, p)
        d = 0.0
        for u, v in zip(first, second, strict=True):
            if u > 0.0:
                d += u * np.log(u / v) if v > 0.0 else np.inf
        terms.append(a - beta * d)
    top = max(terms)
    return top + np.log(sum(np.exp(t - top) for t in terms)) if top > -np.inf else -np.inf


def many_log_c(log_a, py_x, beta, kind, points):
    """The same for points (m, n_y), as arrays."""
    p, s = py_x[None], points[:, None]
    first, second = (p, s) if kind == "ib" else (s, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.where(first > 0.0, first * (np.log(first) - np.log(second)), 0.0).sum(axis=2)
        return np.logaddexp.reduce(log_a - beta * d, axis=1)


def mp_log_c(log_a, py_x, beta, kind, s):
    """The same with 60 digits, s renormalised in them."""
    with mpmath.workdps(60):
        s = [mpmath.mpf(float(v)) for v in s]
        s = [v / mpmath.fsum(s) for v in s]
        total = mpmath.mpf(0)
        for a, row in zip(log_a, py_x, strict=True):
            p = [mpmath.mpf(float(v)) for v in row]
            p = [v / mpmath.fsum(p) for v in p]
            first, second = (p, s) if kind == "ib" else (s, p)
            if all(v > 0 or u == 0 for u, v in zip(first, second, strict=True)):
                d = mpmath.fsum(u * mpmath.log(u / v) for u, v in zip(first, second, strict=True) if u > 0)
                total += mpmath.exp(mpmath.mpf(float(a)) - mpmath.mpf(beta) * d)
        return mpmath.log(total) if total > 0 else mpmath.mpf("-inf")


def grid(n_y, steps):
    """All points of the simplex whose coordinates are multiples of 1/steps, the faces included."""
    points = [c for c in itertools.product(range(steps + 1), repeat=n_y - 1) if sum(c) <= steps]
    points = np.array(points, dtype=float).reshape(len(points), n_y - 1)
    return np.column_stack([points, steps - points.sum(axis=1)]) / steps


def centroid_steps(log_a, py_x, beta, kind, points, n=40):
    """The ascent ``s <- centroid``, for points with c > 0."""
    points = points[many_log_c(log_a, py_x, beta, kind, points) > -np.inf]
    with np.errstate(divide="ignore"):
        log_p = np.log(py_x)
    for _ in range(n):
        p, s = py_x[None], points[:, None]
        first, second = (p, s) if kind == "ib" else (s, p)
        with np.errstate(divide="ignore", invalid="ignore"):
            d = np.where(first > 0.0, first * (np.log(first) - np.log(second)), 0.0).sum(axis=2)
            q = np.exp(log_a - beta * d - np.max(log_a - beta * d, axis=1, keepdims=True))
            q /= q.sum(axis=1, keepdims=True)
            if kind == "ib":
                points = q @ py_x
            else:
                logs = np.where(q[:, :, None] > 0.0, q[:, :, None] * log_p[None], 0.0).sum(axis=1)
                points = np.exp(logs - logs.max(axis=1, keepdims=True))
        points /= points.sum(axis=1, keepdims=True)
    return points


def reference_maximum(log_a, py_x, beta, kind, steps=24):
    """Largest log c by a dense grid, the ascent from its best points, and Nelder-Mead from the best of all."""
    points = np.concatenate([grid(py_x.shape[1], steps), py_x])
    values = many_log_c(log_a, py_x, beta, kind, points)
    points = centroid_steps(log_a, py_x, beta, kind, points[np.argsort(-values)[:60]])
    values = many_log_c(log_a, py_x, beta, kind, points)
    best, point = values.max(), points[np.argmax(values)]
    face = point > 1e-9
    if face.sum() > 1:

        def loss(u):
            s = np.zeros_like(point)
            s[face] = np.exp(u - u.max())
            return -many_log_c(log_a, py_x, beta, kind, s[None] / s.sum())[0]

        fit = minimize(loss, np.log(point[face]), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
        best = max(best, -fit.fun)
    return best


def random_problem(rng, n_x, n_y, concentration=1.0, zeros=0.0):
    py_x = rng.dirichlet(np.full(n_y, concentration), n_x) + 1e-12
    hide = rng.random((n_x, n_y)) < zeros
    hide[np.arange(n_x), rng.integers(n_y, size=n_x)] = False
    py_x[hide] = 0.0
    return np.log(rng.dirichlet(np.ones(n_x))) + rng.normal(0.0, 0.5), py_x / py_x.sum(axis=1, keepdims=True)


def solved_problem(rng, n_x, n_y, beta, kind, steps=3000):
    """log a at the end of plain Blahut-Arimoto from the identity: near-optimal, so that atoms touch log c = 0."""
    _, py_x = random_problem(rng, n_x, n_y)
    px = rng.dirichlet(np.full(n_x, 3.0))
    weights, atoms = px.copy(), py_x.copy()
    for _ in range(steps):
        p, s = py_x[None], atoms[:, None]
        first, second = (p, s) if kind == "ib" else (s, p)
        d = (first * np.log(first / second)).sum(axis=2)
        joint = weights[:, None] * np.exp(-beta * d)
        z = joint.sum(axis=0)
        joint *= px / z
        weights = joint.sum(axis=1)
        members = joint / weights[:, None]
        atoms = members @ py_x if kind == "ib" else np.exp(members @ np.log(py_x))
        atoms /= atoms.sum(axis=1, keepdims=True)
        keep = weights > 1e-12
        weights, atoms = weights[keep] / weights[keep].sum(), atoms[keep]
    return np.log(px / z), py_x, atoms


def check(result, log_a, py_x, beta, kind, *, tol=1e-9, lower=-np.inf, steps=12):
    """What must hold of every result, from evaluations alone."""
    points = np.concatenate([grid(py_x.shape[1], steps), py_x, result.best_point[None]])
    points = np.concatenate([points, centroid_steps(log_a, py_x, beta, kind, points, n=10)])
    values = many_log_c(log_a, py_x, beta, kind, points)
    noise = 4e-14 * (1.0 + beta) * (1.0 + np.abs(log_a).max())
    assert values.max() <= result.upper + noise
    assert result.best_point.shape == py_x.shape[1:]
    assert result.best_point.sum() == pytest.approx(1.0)
    assert (result.best_point >= 0.0).all()
    assert result.best_value <= result.upper
    if result.proved:
        # upper holds an allowance for rounding, at several times what rounding does
        assert result.upper <= max(lower, result.best_value) + 1.001 * tol + 4.0 * noise


def flat_table(rng, n_x, n_y, rank, concentration=1.0):
    """Rows in a flat of dimension rank."""
    return rng.dirichlet(np.full(rank + 1, 0.7), n_x) @ rng.dirichlet(np.full(n_y, concentration), rank + 1)
