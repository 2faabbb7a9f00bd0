"""From the end of a solve on the reduced problem to the public `Solution`: sources put back, quantities computed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dualib.curvature import slowest_rate, stability_numbers
from dualib.distortions import Array
from dualib.kernels import informations
from dualib.optimise import Outcome
from dualib.problem import Atoms, Problem, Sweep, expected_distortions
from dualib.results import OFF, Solution, Status, fresh_solution
from dualib.sparse_assemble import assemble_sparse
from dualib.sparse_problem import SparseProblem
from dualib.threads import one_blas_thread

_AT_ONCE = 2_000_000  # numbers of the encoders put together at once
_RESOLVED = 1e-13  # 1 - rho, the least eigenvalue of a matrix of norm 1, is rounding below this


def assemble(problem: Problem, outcome: Outcome, status: Status) -> Solution:
    """The solution of the whole joint distribution: encoder of every x, its marginal and its centroids."""
    if isinstance(problem, SparseProblem):
        return assemble_sparse(problem, outcome, status)
    return assemble_all(problem, [outcome], [status])[0]


def assemble_all(problem: Problem, outcomes: Sequence[Outcome], statuses: Sequence[Status]) -> list[Solution]:
    """`assemble` of many, in few calls on large arrays; the clusters of each by falling weight."""
    joint, found = problem.joint, []
    pxy = np.require(joint.pxy.toarray() if joint.is_sparse else joint.pxy, np.float64, ["C", "W"])
    sizes = [outcome.state.atoms.weights.shape[0] for outcome in outcomes]
    most = max(1, _AT_ONCE // max(joint.n_x * max(sizes, default=1), 1))
    for first in range(0, len(outcomes), most):
        some, own_sizes = outcomes[first : first + most], sizes[first : first + most]
        begins = np.cumsum([0, *own_sizes])
        joined = _joined(some)
        order = np.lexsort((-joined.weights, np.repeat(np.arange(len(some)), own_sizes)))
        new = joined.pick(order)
        decoders = np.require(problem.decoder(new), np.float64, ["C", "W"])
        encoders = np.concatenate([_full_encoder(problem, outcome.state) for outcome in some])[order]
        tables = (
            _as_wide(pxy, decoders),
            _as_wide(decoders, pxy),
        )  # as many columns: those of a matrix may be more, or fewer, than y
        px = np.require(joint.px, np.float64, ["C", "W"])
        weights, informed, off = informations(px, tables[0], encoders, tables[1], begins)
        sound, means = off <= OFF and bool(np.isfinite(new.means).all()), new.means
        distortions = expected_distortions(problem, joined, [outcome.state.posterior for outcome in some], begins)
        for array in (weights, means, decoders):
            array.setflags(write=False)  # each solution has its part of them
        ends, numbers, expected = begins.tolist(), informed.tolist(), np.asarray(distortions).tolist()
        for i, outcome in enumerate(some):
            part = slice(ends[i], ends[i + 1])
            encoder = encoders[part].T.copy()
            encoder.setflags(write=False)
            arrays = (encoder, weights[part], means[part], decoders[part])
            later, values = _Later(problem, outcome.state, order, part), (*numbers[i], expected[i])
            found.append(_solution(problem, outcome, statuses[first + i], arrays, values, later, sound=sound))
    return found


def _as_wide(table: Array, other: Array) -> Array:
    """A table with columns of zeros up to the width of another one."""
    missing = other.shape[1] - table.shape[1]
    return table if missing <= 0 else np.pad(table, ((0, 0), (0, missing)))


def _solution(
    problem: Problem,
    outcome: Outcome,
    status: Status,
    arrays: tuple[Array, ...],
    values: tuple[float, float, float, float],
    later: _Later,
    *,
    sound: bool,
) -> Solution:
    """Of its arrays, clusters by falling weight, and its rate, relevance, decoder information and expected distortion."""
    (encoder, weights, means, decoder), state = arrays, outcome.state
    rate, relevance, claimed, distortion = values
    beta, objective = state.beta, rate + state.beta * distortion
    gap = float(max(0.0, outcome.gap + objective - state.objective))  # of interpreted kernels it is NumPy's
    sound = sound and math.isfinite(rate + relevance + claimed + objective) and gap == gap and state.residual == state.residual
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
        "residual": float(state.residual),
    }
    return fresh_solution(fields, later, sound=sound)


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


class _Later(Mapping[str, Callable[[], Any]]):
    """What is dear, and seldom asked for, of a solution: its fields by name, as functions that compute them from its state."""

    __slots__ = ("known_rho", "order", "part", "problem", "state")

    def __init__(self, problem: Problem, state: Sweep, order: npt.NDArray[np.intp], part: slice) -> None:
        self.problem, self.state = problem, state
        self.order, self.part = order, part  # the order of many, and this one's part of it
        self.known_rho: float | None = None

    def __getitem__(self, name: str) -> Callable[[], Any]:
        if name not in _DEFERRED:
            raise KeyError(name)
        return functools.partial(_DEFERRED[name], self)

    def __len__(self) -> int:
        return len(_DEFERRED)

    def __iter__(self) -> Iterator[str]:
        return iter(_DEFERRED)

    @one_blas_thread
    def rho(self) -> float:
        """The linear rate of sweeps at the state."""
        if self.known_rho is None:
            self.known_rho = slowest_rate(self.problem, self.state)
        return self.known_rho

    def error_bound(self) -> float:
        """How far the fixed point is, sweeps converging at that rate; inf where the rate is 1 or above, to rounding."""
        residual, rho = self.state.residual, self.rho()
        if rho < 1.0 - _RESOLVED:
            return residual / (1.0 - rho)
        return 0.0 if residual == 0.0 else math.inf

    @one_blas_thread
    def stability(self) -> Array:
        """The stability number of each cluster, in their order."""
        found = stability_numbers(self.problem, self.state)
        return np.asarray(found[self.order[self.part] - self.part.start])


_DEFERRED = {"error_bound": _Later.error_bound, "rho": _Later.rho, "stability": _Later.stability}
