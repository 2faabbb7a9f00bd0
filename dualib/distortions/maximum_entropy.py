"""Fitting of `ExponentialFamily`: penalised multinomial logistic regression of labels on features, from counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dualib._validation import random_generator, validate_integer
from dualib.distortions.interface import Array
from dualib.warnings import warn_of_convergence

L2_GRID = np.geomspace(1e3, 1e-3, 13)  # descending, so that each fit starts from the more strongly penalised one
_MAX_ITER = 10_000
_GRADIENT = 1e-7  # wanted largest slope, per sample and in the scaled parameters

Design = tuple[Any, bool]  # features (n_x, d), dense or CSR; whether a constant feature is added to them


def sample_indices(
    x: npt.ArrayLike, y: npt.ArrayLike, n_x: int, n_y: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """The samples as checked index arrays, and the number of labels.

    Raises
    ------
    ValueError, TypeError
        Empty, not one-dimensional, not whole numbers, out of range, lengths that differ.
    """
    rows, labels = _indices("x", x), _indices("y", y)
    if len(rows) != len(labels):
        raise ValueError(f"x and y must have the same length, got {len(rows)} and {len(labels)}")
    if rows.max() >= n_x:
        raise ValueError(f"x must index the {n_x} rows of features, got {int(rows.max())}")
    n_labels = int(labels.max()) + 1 if n_y is None else validate_integer("n_y", n_y, 2)
    if labels.max() >= n_labels:
        raise ValueError(f"y must be below n_y = {n_labels}, got {int(labels.max())}")
    if n_labels < 2:
        raise ValueError("y holds the label 0 alone: a family needs at least 2 labels (n_y)")
    return rows, labels, n_labels


def fit_parameters(
    design: Design, counts: Array, l2: float, start: Array | None = None, largest_slope: float = _GRADIENT
) -> tuple[Array, Array]:
    """The lambda (d, n_y) and nu (n_y,) that minimise ``- sum counts log p(y|x) + l2/2 (|lambda|^2 + |nu|^2)``.

    Parameters
    ----------
    design : (features (n_x, d), bool)
    counts : (n_x, n_y)
    l2 : float, >= 0
    start : (d + 1, n_y), optional
        Where to begin, nu last.
    largest_slope : float
        Where to stop: the largest slope left, per sample and in the scaled parameters.

    Raises
    ------
    ValueError
        l2 = 0 and a label without a count: its parameters would be infinite.

    Warns
    -----
    ConvergenceWarning
        The optimiser stopped before the gradient was small.
    """
    from scipy.optimize import minimize

    unseen = np.flatnonzero(counts.sum(axis=0) == 0.0)
    if l2 == 0.0 and len(unseen):
        raise ValueError(
            f"l2 must be > 0 here: the label y = {int(unseen[0])} is never seen and would get infinite parameters"
        )
    scale = _scales(design, counts, l2)
    shape = (len(scale), counts.shape[1])

    def scaled(flat: Array) -> tuple[float, Array]:
        value, gradient = penalised_loss(design, counts, l2, flat.reshape(shape) / scale)
        return value, (gradient / scale).ravel()

    begin = np.zeros(shape) if start is None else start * scale
    # twice: where the line search has met the limit of rounding, a fresh start of its memory goes further
    for _ in range(2):
        found = minimize(
            scaled,
            begin.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_ITER, "maxfun": 2 * _MAX_ITER, "ftol": 0.0, "gtol": 0.1 * largest_slope, "maxcor": 20},
        )
        begin = found.x
        slope = float(np.max(np.abs(found.jac)))
        if slope <= largest_slope:
            break
    else:
        warn_of_convergence(
            f"ExponentialFamily.fit: l2={l2:g}, slope {slope:.1e} per sample left after {found.nit} iterations; raise l2, or scale "
            "the features",
            stacklevel=4,
        )
    parameters = found.x.reshape(shape) / scale
    parameters -= parameters.mean(axis=1, keepdims=True)  # the gauge that the penalty prefers, exactly
    return parameters[:-1], parameters[-1]


def penalised_loss(design: Design, counts: Array, l2: float, parameters: Array) -> tuple[float, Array]:
    """The objective of `fit_parameters`, per sample, and its gradient, at parameters (d + 1, n_y), nu last (0 if there is none)."""
    features, intercept = design
    total, per_row = counts.sum(), counts.sum(axis=1, keepdims=True)
    log_p = log_conditionals(features, parameters)
    excess = counts - per_row * np.exp(log_p)
    gradient = np.concatenate([np.asarray(features.T @ excess), excess.sum(axis=0, keepdims=True)])
    gradient += l2 * parameters
    if not intercept:
        gradient[-1] = 0.0
    value = -np.sum(counts * log_p) + 0.5 * l2 * np.sum(parameters**2)
    return float(value / total), gradient / total


def log_conditionals(features: Any, parameters: Array) -> Array:
    """Logarithms of p(y|x) (n_x, n_y) at parameters (d + 1, n_y), nu last."""
    logits = -np.asarray(features @ parameters[:-1]) - parameters[-1]
    logits -= logits.max(axis=1, keepdims=True)
    return np.asarray(logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True)))


def choose_l2(
    design: Design,
    x: npt.NDArray[np.int64],
    y: npt.NDArray[np.int64],
    n_y: int,
    n_folds: int,
    random_state: int | np.random.Generator | None,
) -> float:
    """The penalty of `L2_GRID` with the least held-out log loss over shuffled folds of the samples (x, y).

    Raises
    ------
    ValueError
        Fewer than 2 folds, or fewer samples than folds.
    """
    if validate_integer("n_folds", n_folds, 2) > len(x):
        raise ValueError(f"n_folds must be at most the number of samples, {len(x)}, got {n_folds}")
    rng = random_generator(random_state)
    folds = np.array_split(rng.permutation(len(x)), n_folds)
    held_out = np.zeros((n_folds, design[0].shape[0], n_y))
    for counts, fold in zip(held_out, folds, strict=True):
        np.add.at(counts, (x[fold], y[fold]), 1.0)
    everything = held_out.sum(axis=0)
    losses = np.zeros(len(L2_GRID))
    for counts in held_out:
        theta: Array | None = None
        for i, l2 in enumerate(L2_GRID):
            theta = np.vstack(fit_parameters(design, everything - counts, float(l2), theta))
            losses[i] -= np.sum(counts * log_conditionals(design[0], theta))
    return float(L2_GRID[np.argmin(losses)])


def _scales(design: Design, counts: Array, l2: float) -> Array:
    """Root curvature of the loss per feature (d + 1, 1): dividing by it evens out features of different size."""
    features, _ = design
    weight = counts.sum(axis=1)
    squares = np.append(np.asarray((features * features).T @ weight).ravel(), weight.sum())
    curvature = (squares / counts.shape[1] + l2) / counts.sum()
    return np.sqrt(np.where(curvature > 0.0, curvature, 1.0))[:, None]


def _indices(name: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty one-dimensional array of indices, got shape {array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold whole numbers from 0, got dtype {array.dtype}")
    if array.min() < 0:
        raise ValueError(f"{name} must be >= 0, got {int(array.min())}")
    return array.astype(np.int64)
