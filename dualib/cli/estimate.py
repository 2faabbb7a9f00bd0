"""How long a path will take, said before it is solved: from two of its solutions, timed."""

from __future__ import annotations

import argparse
import math
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dualib.joint import JointDistribution
    from dualib.results.solution import Solution

_WORTH_TELLING = 20.0  # seconds
_PATIENCE = 2.0  # seconds after which the timing itself is told of
_FEW_STATES = 50  # of x: such paths take seconds
# What paths took, in solutions at one beta, on tables of 5 x 2 to 301 x 8 of both problems: the points of the grid 14 to 55;
# a given beta .3 to 1; the events, for each cluster at the largest beta, .1 to 3.5.
_GRID, _EACH, _EVENTS = (15.0, 50.0), (0.3, 1.0), (0.2, 3.0)


def announce_duration(joint: JointDistribution, arguments: argparse.Namespace) -> None:
    """Print on stderr about how long `dualib anneal` will take, where that may be long; nothing of paths with a cap or an alpha."""
    from dualib.distortions.named import as_distortion
    from dualib.engine.choice import solves_sparse

    betas = arguments.betas
    capped = getattr(arguments, "n_clusters", None) is not None or getattr(arguments, "alpha", 1.0) != 1.0
    if capped or joint.n_x <= _FEW_STATES or sys.stderr is None or solves_sparse(joint, as_distortion(arguments.distortion)):
        return
    if betas is not None and not (betas and all(0.0 < beta < math.inf for beta in betas)):
        return  # refused by the path
    timer = threading.Timer(_PATIENCE, _tell, ["two solutions first, to tell how long the path takes"])
    timer.daemon = True
    timer.start()
    try:
        seconds, clusters = _timed(joint, arguments.distortion, betas, arguments.tol)
    finally:
        timer.cancel()
    low, high = (seconds * part for part in (_GRID if betas is None else (len(betas) * part for part in _EACH)))
    events = not getattr(arguments, "no_events", False)
    span = (low + _EVENTS[0] * seconds * clusters, high + _EVENTS[1] * seconds * clusters) if events else (low, high)
    if span[1] < _WORTH_TELLING:
        return
    faster = f", of which the points take {_span(low, high)} and the events the rest (--no-events)" if events else ""
    _tell(f"this takes {_span(*span)}{faster}; few betas (--betas 2,4,8) take less")


def _tell(text: str) -> None:
    print(f"dualib: {text}", file=sys.stderr, flush=True)


def _timed(joint: JointDistribution, distortion: str, betas: list[float] | None, tol: float) -> tuple[float, int]:
    """Mean seconds of a solution at a small and at a large beta of the path, and the clusters at the large one."""
    from dualib.datasets import toy
    from dualib.solving.solver import solve

    ends = _ends(joint, distortion) if betas is None else [sorted(betas)[len(betas) // 4], max(betas)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the path itself gives them
        solve(toy(), 3.0, distortion)  # whatever is compiled or loaded first does not count
        began = time.perf_counter()
        solutions: list[Solution] = [solve(joint, beta, distortion, tol=tol) for beta in ends]
    return (time.perf_counter() - began) / len(ends), solutions[-1].n_clusters


def _ends(joint: JointDistribution, distortion: str) -> list[float]:
    """Two betas of the adaptive grid."""
    from dualib.path.onset import local_critical_beta

    try:
        onset = local_critical_beta(joint, distortion)
    except ValueError:  # the dual IB, where no cluster has all x
        onset = 0.0
    scale = onset if 0.0 < onset < 1e3 else 1.0
    return [2.0 * scale, 8.0 * scale]


def _span(low: float, high: float) -> str:
    """Two times in words, of one digit each."""
    unit, size = ("seconds", 1.0) if high < 100.0 else ("minutes", 60.0) if high < 6000.0 else ("hours", 3600.0)
    first, last = (f"{float(f'{value / size:.1g}'):g}" for value in (low, high))
    return f"about {first} to {last} {unit}" if first != last else f"about {last} {unit}"
