"""From the end of a solve on the reduced problem to the public `Solution`: sources put back, quantities computed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dualib.curvature import slowest_rate
from dualib.distortions import Array
from dualib.joint import JointDistribution
from dualib.kernels import informations
from dualib.optimise import Outcome
from dualib.problem import Atoms, Problem, Sweep, expected_distortions
from dualib.results import OFF, Solution, Status, fresh_solution
from dualib.sparse_assemble import assemble_sparse
from dualib.sparse_problem import SparseProblem
from dualib.threads import one_blas_thread

_AT_ONCE = 2_000_000  # numbers of the encoders put together at once


def assemble(problem: Problem, outcome: Outcome, status: Status) -> Solution:
    """The solution of the whole joint distribution: encoder of every x, its marginal and its centroids."""
    if isinstance(problem, SparseProblem):
        return assemble_sparse(problem, outcome, status)
    return assemble_all(problem, [outcome], [status])[0]


def assemble_all(problem: Problem, outcomes: Sequence[Outcome], statuses: Sequence[Status]) -> list[Solution]:
    """`assemble` of many, in few calls on large arrays; the clusters of each by falling weight."""
    joint, found = problem.joint, []
    pxy = np.require(joint.pxy.toarray() if joint.is_sparse else joint.pxy, np.float64, ["C", "W"])
    most = max(1, _AT_ONCE // max(joint.n_x * max((len(outcome.state.atoms) for outcome in outcomes), default=1), 1))
    for first in range(0, len(outcomes), most):
        some = outcomes[first : first + most]
        begins = np.cumsum([0, *(len(outcome.state.atoms) for outcome in some)])
        order = _by_weight(some, begins)
        joined = _joined(some)
        new = joined.pick(order)
        decoders = np.require(problem.decoder(new), np.float64, ["C", "W"])
        encoders = np.concatenate([_full_encoder(problem, outcome.state) for outcome in some])[order]
        weights, informed, off = informations(np.require(joint.px, np.float64, ["C", "W"]), pxy, encoders, decoders, begins)
        off = off if np.isfinite(new.means).all() else math.inf
        distortions = expected_distortions(problem, joined, [outcome.state.posterior for outcome in some], begins)
        shared = [weights, new.means, decoders]
        for array in shared:
            array.flags.writeable = False  # each solution has its part of them
        numbers = _numbers(some, informed, np.asarray(distortions))
        finite = np.isfinite(numbers[:, :-2]).all() and not np.isnan(numbers).any()  # gap and residual may be infinite
        sound = off <= OFF and bool(finite)
        ends = begins.tolist()
        for i, values in enumerate(numbers.tolist()):
            part = slice(ends[i], ends[i + 1])
            encoder = np.array(encoders[part].T, order="C")
            encoder.flags.writeable = False
            arrays = (encoder, *(array[part] for array in shared))
            status, own_order = statuses[first + i], functools.partial(_order_within, order, part)
            found.append(_solution(problem, some[i], status, own_order, arrays, values, sound=sound))
    return found


def _numbers(outcomes: Sequence[Outcome], informed: Array, distortions: Array) -> Array:
    """Of each outcome beta, rate, relevance, information that the decoder claims, distortion, objective, gap, residual: (m, 8)."""
    known = np.array([(o.state.beta, o.state.objective, o.gap, o.state.residual) for o in outcomes])
    objective = informed[:, 0] + known[:, 0] * distortions
    gap = np.maximum(0.0, known[:, 2] + objective - known[:, 1])
    return np.column_stack([known[:, 0], informed, distortions, objective, gap, known[:, 3]])


def _order_within(order: npt.NDArray[np.intp], part: slice) -> npt.NDArray[np.intp]:
    """The order of one outcome's clusters, of that of all."""
    return np.asarray(order[part] - part.start)


def _solution(
    problem: Problem,
    outcome: Outcome,
    status: Status,
    order: Callable[[], npt.NDArray[np.intp]],
    arrays: tuple[Array, ...],
    values: list[float],
    *,
    sound: bool,
) -> Solution:
    state = outcome.state
    beta, rate, relevance, claimed, distortion, objective, gap, residual = values
    encoder, weights, means, decoder = arrays
    rho = _Rho(problem.joint, problem, state)
    fields = {
        "joint": problem.joint,
        "distortion": problem.distortion,
        "beta": beta,
        "encoder": encoder,
        "weights": weights,
        "means": means,
        "decoder": decoder,
        "objective": objective,
        "rate": rate,
        "relevance": relevance,
        "expected_distortion": distortion,
        "decoder_information": claimed,
        "gap": gap,
        "certificate": outcome.certificate,
        "status": status,
        "n_iter": outcome.n_iter,
        "residual": residual,
    }
    deferred: dict[str, Callable[[], Any]] = {  # dear, and seldom asked for
        "error_bound": lambda: _error_bound(state.residual, rho()),
        "rho": rho,
        "stability": lambda: _stability(problem, state.atoms, state.beta, state.posterior)[order()],
    }
    return fresh_solution(fields, deferred, sound=sound)


def _by_weight(outcomes: Sequence[Outcome], begins: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The order of all clusters, one outcome's after the other's, those of each by falling weight."""
    weights = np.concatenate([outcome.state.atoms.weights for outcome in outcomes])
    return np.lexsort((-weights, np.repeat(np.arange(len(outcomes)), np.diff(begins))))


def _joined(outcomes: Sequence[Outcome]) -> Atoms:
    """The clusters after the sweep of all of them, one after the other."""
    parts = [outcome.state.new for outcome in outcomes]
    faces = [part.face for part in parts if part.face is not None]
    return Atoms(
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.means for part in parts]),
        np.concatenate(faces) if faces else None,
    )


def _full_encoder(problem: Problem, state: Sweep) -> Array:
    """p(t|x) (n_t, n_x), but for the normalisation, of every original source; one of probability 0 is encoded by its conditional.

    Where no cluster is at a finite distance from such a source its column is p(t), the answer that claims nothing about it.
    """
    if problem.is_whole:
        return state.posterior
    atoms, live = state.atoms, problem.row_of >= 0
    encoder = np.tile(atoms.weights[:, None], len(problem.row_of))
    encoder[:, live] = state.posterior[:, problem.row_of[live]]
    dead = np.flatnonzero(~live)
    if len(dead):
        terms = problem.log_terms_of(atoms, state.beta, problem.full_features[dead], problem.full_py_x[dead])
        terms += np.log(atoms.weights)[:, None]
        top = terms.max(axis=0)
        near = np.isfinite(top)
        encoder[:, dead[near]] = np.exp(terms[:, near] - top[near])
    return encoder


class _Rho:
    """The linear rate of sweeps at a state, computed once, when asked for."""

    def __init__(self, joint: JointDistribution, problem: Problem, state: Sweep) -> None:
        self.joint = joint
        self._of: tuple[Problem, Sweep] | None = (problem, state)
        self._found = math.nan

    @one_blas_thread
    def __call__(self) -> float:
        if self._of is not None:
            self._found, self._of = slowest_rate(*self._of), None
        return self._found


def _error_bound(residual: float, rho: float) -> float:
    """How far the fixed point is, sweeps converging at the rate rho."""
    if rho < 1.0:
        return residual / (1.0 - rho)
    return 0.0 if residual == 0.0 else math.inf


@one_blas_thread
def _stability(problem: Problem, atoms: Atoms, beta: float, posterior: Array) -> Array:
    if problem.distortion.fixed_atoms:
        return np.zeros(len(atoms))
    members = posterior * problem.px
    return beta * problem.stability(atoms, members / members.sum(axis=1, keepdims=True))
