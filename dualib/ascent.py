"""The gradient function c at points, and steps up it.

``c(s) = sum_x p(x) exp(-beta d(x, s)) / Z(x)``; an ascent step goes to the centroid under the weights of its terms, and never down.
"""

from __future__ import annotations

import numpy as np

from dualib import kernels
from dualib.distortions import Array
from dualib.problem import Atoms, Problem, natural_distance
from dualib.search_kernels import LEAP, LONGEST, log_c_known, rise_known


def log_c(problem: Problem, beta: float, log_a: Array, points: Atoms) -> tuple[Array, Array]:
    """Log c at each point (m,), and the weights over the sources of its ascent step (m, n)."""
    values = np.empty(len(points))
    if problem.known is not None:
        terms = np.empty((len(points), problem.n))
        _, *arrays = problem.for_kernels(points)
        log_c_known(problem.known, beta, problem.UT, log_a, *arrays, values, terms)
        return values, terms
    terms = problem.log_terms(points, beta)
    kernels.responsibility(terms, log_a, values)
    return values, terms


def rise(problem: Problem, beta: float, log_a: Array, points: Atoms, steps: int) -> tuple[Atoms, Array]:
    """Points moved up log c by the centroid step, or further: by Newton's step or, where that fails, by longer and longer ones.

    Returns log c there too. No step may leap into another basin.
    """
    if not len(points):
        return points, np.empty(0)
    if problem.known is not None:
        _, *arrays = problem.for_kernels(points)
        means, values = rise_known(problem.known, beta, problem.UT, log_a, *arrays, steps)
        return Atoms(points.weights, means, points.face), values
    values, q = log_c(problem, beta, log_a, points)
    factor = np.zeros(len(points))
    for _ in range(steps):
        plain = Atoms(points.weights, q @ problem.U, points.face)
        if np.max(natural_distance(problem, beta, points, plain)) < 1e-24:
            break
        longer = points.means + factor[:, None] * (plain.means - points.means)
        newton = newton_means(problem, beta, points, q, plain.means)
        ahead = Atoms(points.weights, np.where(factor[:, None] > 0.0, longer, newton), points.face)
        # one ascent step brings the points ahead, which may have left the domain, back to true means
        ahead = Atoms(points.weights, log_c(problem, beta, log_a, ahead)[1] @ problem.U, points.face)
        ahead_values, ahead_q = log_c(problem, beta, log_a, ahead)
        plain_values, plain_q = log_c(problem, beta, log_a, plain)
        better = (ahead_values >= plain_values) & (natural_distance(problem, beta, points, ahead) <= LEAP)
        factor = np.where(better, np.minimum(2.0 * factor, LONGEST), np.where(factor == 0.0, 4.0, 0.0))
        q = np.where(better[:, None], ahead_q, plain_q)
        climbed = np.where(better, ahead_values, plain_values)
        points = Atoms(points.weights, np.where(better[:, None], ahead.means, plain.means), points.face)
        if np.max(np.abs(climbed - values)) == 0.0:
            break
        values = climbed
    return points, values


def newton_means(problem: Problem, beta: float, points: Atoms, q: Array, plain: Array) -> Array:
    """Newton's step for the stationary points of log c: (I - beta Cov_q(U) J)^-1 (mean under q - M), point by point."""
    jacobian = problem.jacobian(points)
    centred = problem.U[None, :, :] - points.means[:, None, :]
    covariance = np.matmul((centred * q[:, :, None]).transpose(0, 2, 1), centred)
    system = np.eye(plain.shape[1]) - beta * np.matmul(covariance, jacobian)
    try:
        means = points.means + np.linalg.solve(system, (plain - points.means)[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:  # a singular one among them: this time all take the plain step
        return plain
    usable = np.asarray(np.isfinite(means).all(axis=1))
    return np.where(usable[:, None], means, plain)
