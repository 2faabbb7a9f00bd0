"""The contenders of the speed benchmark, each run as a user would call it; what they return is judged in `run.py`.

All seconds are CPU seconds of one thread, which other programs on the machine disturb less.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from peer_worker import CONTENDERS as PEERS
from speed_cases import Case

import dualib

_GRACE = 20.0  # wall seconds beyond twice its budget of CPU seconds that a peer has: for imports and for the beta it is at
_REPEAT = 3.0  # runs shorter than this in all are repeated, and the shortest counts
_TURNS = 5.0  # ... of the quick comparison, by turns
EXTRA = {"information-bottleneck": ("seaborn",)}
TEXTBOOK_SWEEPS = 10_000
TEXTBOOK_CHANGE = 1e-9


@dataclass
class Outcome:
    """What a contender did in its time: one entry per beta that it finished.

    Attributes
    ----------
    seconds : float
        In all, CPU, over the betas finished (and the one it was at when its time was up, where that is known).
    betas : list of float
    encoders : list of ndarray (n_x, n_t)
    points : list of (rate, relevance) in nats
        In place of encoders, where a package gives none.
    note : str
        Why not all is there.
    """

    seconds: float = 0.0
    betas: list[float] = field(default_factory=list)
    encoders: list[np.ndarray] = field(default_factory=list)
    points: list[tuple[float, float]] = field(default_factory=list)
    note: str = ""


class OverBudget(Exception):
    """A run took longer than its budget."""


def textbook_anneal(case: Case, budget: float) -> Outcome:
    """Blahut-Arimoto in vectorised NumPy, downward in beta from the identity, each beta from the one before.

    Log domain; at each beta until no p(t|x) changes by 1e-9 or more, or 10,000 sweeps. All p(y|x) must be positive; clusters
    whose weight underflows are dropped.
    """
    began = time.process_time()
    px, p = case.joint.px, case.joint.py_x
    outcome = Outcome()
    features = p if case.kind == "ib" else np.log(p)
    own = np.sum(p * np.log(p), axis=1, keepdims=True)
    weights, decoder = px, p
    for beta in case.betas[::-1]:
        encoder = np.zeros((len(px), len(weights)))
        for _ in range(TEXTBOOK_SWEEPS):
            if case.kind == "ib":
                distortion = own - features @ np.log(decoder).T
            else:
                distortion = np.sum(decoder * np.log(decoder), axis=1) - features @ decoder.T
            exponent = np.log(weights) - beta * distortion
            previous, encoder = encoder, np.exp(exponent - exponent.max(axis=1, keepdims=True))
            encoder /= encoder.sum(axis=1, keepdims=True)
            weights = px @ encoder
            if weights.min() == 0.0:
                live = weights > 0.0
                weights, encoder, previous = weights[live], encoder[:, live], previous[:, live]
            means = (px[:, None] * encoder / weights).T @ features
            if case.kind == "ib":
                decoder = means
            else:
                decoder = np.exp(means - means.max(axis=1, keepdims=True))
                decoder /= decoder.sum(axis=1, keepdims=True)
            if np.abs(encoder - previous).max() < TEXTBOOK_CHANGE:
                break
            if time.process_time() - began > budget:
                outcome.seconds = time.process_time() - began
                outcome.note = "budget"
                return outcome
        outcome.betas.append(float(beta))
        outcome.encoders.append(encoder)
    outcome.seconds = time.process_time() - began
    return outcome


def anneal(case: Case, budget: float, *, events: bool = False) -> Outcome:
    """`dualib.anneal` on the betas wanted."""
    began = time.process_time()

    def check(done: int, total: int) -> None:
        if time.process_time() - began > budget:
            raise OverBudget

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)  # the table has the gap
        try:
            curve = dualib.anneal(case.joint, case.kind, case.betas, events=events, progress=check)
        except OverBudget:
            return Outcome(time.process_time() - began, note="budget")
    seconds = time.process_time() - began
    return Outcome(seconds, list(map(float, curve.beta)), [solution.encoder for solution in curve])


def repeated(run: Callable[[Case, float], Outcome], case: Case, budget: float) -> Outcome:
    """The shortest of several runs, where one is short."""
    best = run(case, budget)
    spent = best.seconds
    while spent < _REPEAT:
        again = run(case, budget)
        spent += again.seconds
        best = min(best, again, key=lambda outcome: outcome.seconds)
    return best


def by_turns(runs: dict[str, Callable[[Case, float], Outcome]], case: Case, budget: float) -> dict[str, Outcome]:
    """The shortest of several runs of each, one after the other in each round: what disturbs one disturbs all."""
    best = {name: run(case, budget) for name, run in runs.items()}
    spent = sum(outcome.seconds for outcome in best.values())
    while spent < _TURNS:
        for name, run in runs.items():
            again = run(case, budget)
            spent += again.seconds
            best[name] = min(best[name], again, key=lambda outcome: outcome.seconds)
    return best


def environment(folder: Path, package: str, version: str) -> Path:
    """The Python of a peer's own environment, made with venv and pip where it is absent.

    information-bottleneck imports seaborn without declaring it.
    """
    python = folder / package / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / package], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", f"{package}=={version}", *EXTRA.get(package, ())], check=True
        )
    return python


def run_peer(contender: str, peers: Path, case: Case, budget: float) -> Outcome:
    """A peer in its own environment: what it finished within its time. None is warm-started, so the order of betas is free."""
    package, version, _, _, kinds = PEERS[contender]
    if case.kind not in kinds:
        return Outcome(note=f"has no {case.kind}")
    python = environment(peers, package, version)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        betas = np.random.default_rng(0).permutation(case.betas)  # what fits into the time is then a fair sample of them
        np.savez(folder / "input.npz", pxy=case.joint.pxy, betas=betas, kind=case.kind)
        command = [str(python), str(Path(__file__).with_name("peer_worker.py")), contender, name, str(budget)]
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        note = ""
        try:
            subprocess.run(command, check=True, timeout=2.0 * budget + _GRACE, capture_output=True, text=True, env=clean)
        except subprocess.TimeoutExpired:
            note = "budget"
        except subprocess.CalledProcessError as error:
            note = "fails: " + (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1][:80]
        outcome = _collected(folder, betas)
    if note == "budget":
        outcome.seconds = max(outcome.seconds, budget)
    outcome.note = note or ("budget" if len(outcome.betas) < len(case.betas) else "")
    return outcome


def _collected(folder: Path, betas: np.ndarray) -> Outcome:
    """The points that a worker wrote."""
    outcome, seconds = Outcome(), []
    for path in sorted(folder.glob("point-*.npz")):
        with np.load(path) as arrays:
            outcome.betas.append(float(betas[int(path.stem.split("-")[1])]))
            seconds.append(float(arrays["seconds"]))
            if "encoder" in arrays:
                outcome.encoders.append(arrays["encoder"])
            else:
                outcome.points.append((float(arrays["point"][0]), float(arrays["point"][1])))
    passes = folder / "passes.npy"
    outcome.seconds = float(np.load(passes).min()) if passes.exists() else sum(seconds)
    return outcome
