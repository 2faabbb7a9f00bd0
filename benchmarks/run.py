"""Speed of certified curves beside that of others, every contender judged by the same certificate, in one run.

    OPENBLAS_NUM_THREADS=1 python benchmarks/run.py                       # dualib and a textbook annealer
    OPENBLAS_NUM_THREADS=1 python benchmarks/run.py --peers ~/peers       # and embo, dit, information-bottleneck, each in its own
                                                                          # environment there (made with venv and pip where absent)
    OPENBLAS_NUM_THREADS=1 python benchmarks/run.py --quick               # under 2 minutes: has a ratio fallen since it was stored?
    python benchmarks/run.py --show -o pictures                           # the stored tables again

Prints a table for each problem: CPU seconds; their ratio to those of the textbook annealer and of dualib; worst and median gap.
A gap is ``I(X;T) + beta E d`` of the contender's encoder (of the point it reports, where it gives no encoder) less the lower
bound that `dualib.certify` proves or finds for that beta, nats. Stores the ratios in `results.json`, and draws a bar chart and
the gap against the seconds with `-o`. A contender that is out of time is judged on the betas it finished; its ratio is then
only a bound.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from contenders import PEERS, Outcome, anneal, by_turns, repeated, run_peer, textbook_anneal
from speed_cases import PROBLEMS, QUICK, Case, cases
from speed_plots import draw
from speed_tables import OURS, TEXTBOOK, WITH_EVENTS, markdown, show, summary

import dualib
from dualib.distortions.named import as_distortion
from dualib.engine.initial import of_encoder
from dualib.engine.problem import Problem
from dualib.solving.certificate import encoder_objective

RESULTS = Path(__file__).with_name("results.json")
FALL = 0.30
EVENTS_UP_TO = 0.1  # of the budget that the curve alone may take, for its events to be located as well


def with_events(case: Case, budget: float) -> Outcome:
    return anneal(case, budget, events=True)


def lower_bounds(case: Case, outcome: Outcome) -> dict[float, float]:
    """A lower bound of the optimal objective at each beta that dualib finished, by `dualib.certify`."""
    pairs = zip(outcome.betas, outcome.encoders, strict=True)
    return {beta: dualib.certify(case.joint, encoder, beta, case.kind, random_state=1).lower_bound for beta, encoder in pairs}


def gaps(case: Case, outcome: Outcome, bounds: dict[float, float]) -> np.ndarray:
    """Objective less lower bound at each finished beta; inf for an encoder with an infinite distortion or not a number."""
    problem = Problem(case.joint, as_distortion(case.kind))
    found = []
    for i, beta in enumerate(outcome.betas):
        if beta not in bounds:
            continue
        if outcome.points:
            rate, relevance = outcome.points[i]
            objective = rate + beta * (case.joint.mutual_information - relevance)
        else:
            objective = _objective(problem, outcome.encoders[i], beta)
        found.append(objective - bounds[beta] if np.isfinite(objective) else np.inf)
    return np.array(found)


def _objective(problem: Problem, encoder: np.ndarray, beta: float) -> float:
    try:
        return encoder_objective(problem, encoder, of_encoder(problem, [beta], encoder, "encoder"))
    except ValueError:  # not an encoder, or of infinite distortion
        return np.inf


def cell(contender: str, case: Case, outcome: Outcome, bounds: dict[float, float]) -> dict[str, Any]:
    """One line of the table, without its ratios."""
    found = gaps(case, outcome, bounds)
    return {
        "problem": case.name,
        "kind": case.kind,
        "contender": contender,
        "seconds": outcome.seconds,
        "finished": len(outcome.betas),
        "betas": len(case.betas),
        "worst gap": float(found.max()) if len(found) else None,
        "median gap": float(np.median(found)) if len(found) else None,
        "least gap": float(found.min()) if len(found) else None,
        "note": outcome.note,
    }


def add_ratios(cells: list[dict[str, Any]]) -> None:
    """Ratios of seconds to the textbook annealer's and to dualib's; None where nothing was run."""
    seconds = {entry["contender"]: entry["seconds"] for entry in cells}
    for entry in cells:
        for name, unit in (("to textbook", TEXTBOOK), ("to dualib", OURS)):
            known = entry["seconds"] > 0.0 and seconds.get(unit, 0.0) > 0.0
            entry[name] = entry["seconds"] / seconds[unit] if known else None


def measure(case: Case, peers: Path | None, budget: float, peer_budget: float) -> list[dict[str, Any]]:
    """All contenders on one case, one after the other."""
    outcomes = {OURS: repeated(anneal, case, budget)}
    outcomes[TEXTBOOK] = repeated(textbook_anneal, case, budget)
    if outcomes[OURS].seconds < EVENTS_UP_TO * budget:
        outcomes[WITH_EVENTS] = repeated(with_events, case, budget)
    if peers is not None:
        outcomes |= {name: run_peer(name, peers, case, peer_budget) for name in PEERS}
    bounds = lower_bounds(case, outcomes[OURS])
    cells = [cell(name, case, outcome, bounds) for name, outcome in outcomes.items()]
    add_ratios(cells)
    return cells


def versions() -> dict[str, str]:
    """Of what was measured."""
    own = {name: metadata.version(name) for name in ("numpy", "scipy", "numba")}
    return {"dualib": dualib.__version__, **own, **{package: version for package, version, *_ in PEERS.values()}}


def load() -> dict[str, Any]:
    """The stored results."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"cells": [], "quick": {}}


def store(results: dict[str, Any]) -> None:
    results["versions"] = versions()
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def full(options: argparse.Namespace) -> int:
    """Measure the problems asked for, store and draw."""
    measured = []
    for case in cases(options.problems, tuple(options.kinds)):
        new = measure(case, options.peers, options.budget, options.peer_budget)
        show(new)
        measured += new
        results = load()
        kept = [entry for entry in results["cells"] if (entry["problem"], entry["kind"]) != (case.name, case.kind)]
        results["cells"] = sorted(
            kept + new, key=lambda entry: (list(PROBLEMS).index(entry["problem"]), entry["kind"] != "ib")
        )
        store(results)
    summary(measured)
    if options.output is not None:
        draw(measured, options.output)
    return 0


def stored(options: argparse.Namespace) -> int:
    """The stored tables again, and their pictures."""
    cells = load()["cells"]
    for problem, kind in dict.fromkeys((entry["problem"], entry["kind"]) for entry in cells):
        show([entry for entry in cells if (entry["problem"], entry["kind"]) == (problem, kind)])
    summary(cells)
    print()
    markdown(cells)
    if options.output is not None:
        draw(cells, options.output)
    return 0


def quick(options: argparse.Namespace) -> int:
    """Ratios of the textbook annealer's seconds to dualib's on the small problems, against the stored ones."""
    results, fallen = load(), []
    print(f"{'textbook over dualib':26}{'now':>9}{'stored':>9}{'worst gap':>12}")
    for case in cases(list(QUICK)):
        cells = quick_cells(case, options.budget)
        now, before = cells[TEXTBOOK]["to dualib"], results["quick"].get(str(case))
        if before is not None and not options.store and now < (1.0 - FALL) * before:
            again = quick_cells(case, options.budget)  # a busy moment must not look like a fall
            now = max(now, again[TEXTBOOK]["to dualib"])
        bad = before is not None and now < (1.0 - FALL) * before
        if bad or cells[OURS]["worst gap"] > 1e-9:
            fallen.append(str(case))
        stored = "-" if before is None else f"{before:.1f}"
        print(f"{case!s:26}{now:9.1f}{stored:>9}{cells[OURS]['worst gap']:12.1e}{'  FELL' if bad else ''}", flush=True)
        if options.store:
            results["quick"][str(case)] = now
    if options.store:
        store({**load(), "quick": results["quick"]})
        return 0
    if not results["quick"]:
        print("nothing is stored to compare with: run with --quick --store first", file=sys.stderr)
        return 2
    print(f"fell by more than {FALL:.0%} or lost its certificate: {'; '.join(fallen) or 'none'}")
    return 1 if fallen else 0


def quick_cells(case: Case, budget: float) -> dict[str, dict[str, Any]]:
    """Dualib and the textbook annealer alone."""
    outcomes = by_turns({OURS: anneal, TEXTBOOK: textbook_anneal}, case, budget)
    bounds = lower_bounds(case, outcomes[OURS])
    cells = [cell(name, case, outcome, bounds) for name, outcome in outcomes.items()]
    add_ratios(cells)
    return {entry["contender"]: entry for entry in cells}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS), metavar="NAME", help="a selection"
    )
    parser.add_argument("--kinds", nargs="+", choices=["ib", "dualib"], default=["ib", "dualib"])
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments; without it no peer is run")
    parser.add_argument(
        "--budget", type=float, default=600.0, help="seconds for dualib and textbook on each case (default 600)"
    )
    parser.add_argument("--peer-budget", type=float, default=60.0, help="seconds for each peer on each case (default 60)")
    parser.add_argument("-o", "--output", type=Path, help="folder for the pictures")
    parser.add_argument("--show", action="store_true", help="only print (and draw) what is stored")
    parser.add_argument("--quick", action="store_true", help="compare with the stored ratios; exit code 1 if one fell")
    parser.add_argument("--store", action="store_true", help="with --quick: store the ratios in place of comparing")
    return parser.parse_args(arguments)


def main() -> int:
    """The command line."""
    options = parse()
    if options.show:
        return stored(options)
    dualib.compile_kernels()
    return quick(options) if options.quick else full(options)


if __name__ == "__main__":
    sys.exit(main())
