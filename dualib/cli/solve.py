"""``dualib solve``: one optimum of a table in a file, for a person or as JSON."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualib.data.labelled import CountTable
    from dualib.results.solution import Solution
from dualib.cli.input import TABLE_HELP, add_alpha, add_problem, check_folder, checked_seed, describe, listed, read_input

SUMMARY = "the optimal clusters of x at one beta, with their distance to the global optimum"
EPILOG = f"""\
{TABLE_HELP}
examples:
  dualib solve counts.csv --beta 5                            or: dualib solve counts.csv 5
  dualib solve counts.csv --beta 5 --distortion dualib --smoothing 0.5
  dualib solve counts.mtx --beta 20 --n-clusters 4 --unit bits
  dualib solve counts.mtx --beta 20 --alpha 0                hard clusters, as many as pay for their entropy
  dualib solve counts.npy --beta 5 --json > solution.json
  dualib solve counts.csv --beta 5 --save solution.npz      then: dualib.load("solution.npz")

The gap is a bound on how far the objective is from the global optimum, "rigorous" where it is proved, "multistart" where
a search found nothing better, and "heuristic" where zeros leave the dual IB more sets of y than that search could look at.
"""
_FEW_CELLS = 20_000  # of a table whose onset takes about a second


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_problem(command)
    command.add_argument("--beta", metavar="B", type=float, help="trade-off, > 0; may also stand right after FILE")
    cap = "use at most N clusters (default: as many as are optimal)"
    command.add_argument("--n-clusters", metavar="N", type=int, help=cap)
    add_alpha(command)
    command.add_argument("--save", metavar="PATH", help="write the solution as .npz, for dualib.load")
    command.add_argument("--json", action="store_true", help="print everything as JSON instead, encoder and decoder too")


def run(arguments: argparse.Namespace) -> None:
    """Solve at one beta, and print or save the solution."""
    from dualib.solving.solver import solve

    table, joint = read_input(arguments)
    if arguments.save is not None:
        check_folder("--save", arguments.save)
    solution = solve(
        joint,
        arguments.beta,
        arguments.distortion,
        alpha=arguments.alpha,
        tol=arguments.tol,
        n_clusters=arguments.n_clusters,
        random_state=checked_seed(arguments.seed),
    )
    if arguments.save is not None:
        solution.save(arguments.save)
    if arguments.json:
        print(_as_json(solution, table, arguments))
        return
    print(describe(arguments, table, joint))
    print(_solution_text(solution, arguments.unit, arguments.n_clusters))
    if arguments.save is not None:
        print(f'\nsaved in {arguments.save}: dualib.load("{arguments.save}")')


def _solution_text(solution: Solution, unit: str, n_clusters: int | None) -> str:
    """Show the numbers and the clusters, each with the x that are mostly in it, the likeliest first."""
    import numpy as np

    from dualib.results.common import counted
    from dualib.results.solution import status_text

    summary = solution.summary(unit)  # type: ignore[arg-type]
    certified = f", {solution.certificate}" if solution.certificate else ""
    rows = [
        ("objective", f"{summary['objective']:.8g}   gap {summary['gap']:.1e}{certified}"),
        ("rate I(X;T)", f"{summary['rate']:.8g}"),
        ("relevance I(T;Y)", f"{summary['relevance']:.8g}{_at_most(summary, n_clusters)}"),
        ("distortion E d", f"{summary['expected_distortion']:.8g}"),
        ("status", f"{status_text(solution)}, {solution.n_iter} sweeps"),
        *_remarks(solution, summary, n_clusters),
    ]
    name = {"ib": "IB", "dualib": "dual IB"}[solution.distortion.name]
    alpha = "" if solution.alpha == 1.0 else f", alpha = {solution.alpha:g}"
    lines = ["", f"{name} at beta = {solution.beta:g}{alpha}, in {unit}:", *(f"  {key:<18}{value}" for key, value in rows)]
    lines += ["", f"{counted(solution.n_clusters, 'cluster')}, with p(t) and members:"]
    home = np.argmax(solution.encoder, axis=1)
    for t in np.argsort(-solution.weights, kind="stable"):
        members = np.flatnonzero((home == t) & (solution.joint.px > 0.0))
        members = members[np.argsort(-solution.joint.px[members], kind="stable")]
        names = listed([solution.joint.x_labels[x] for x in members]) if len(members) else "(likeliest of none)"
        lines.append(f"  {solution.weights[t]:.4f}  {names}")
    return "\n".join(lines)


def _at_most(summary: dict[str, Any], n_clusters: int | None) -> str:
    """The most that so many clusters can keep, where there is a cap."""
    return "" if n_clusters is None else f"   {n_clusters} clusters: at most {summary['relevance_bound']:.8g}"


def _remarks(solution: Solution, summary: dict[str, Any], n_clusters: int | None) -> Iterator[tuple[str, str]]:
    """What the numbers alone would not tell: that beta is below the onset, or that the cap on the clusters is none."""
    from dualib.results.solution import is_below_onset

    if is_below_onset(solution):
        yield "one cluster", _onset_text(solution)
    if solution.cap_cost is not None and solution.cap_cost > 0.0:
        yield "above the optimum", f"by {summary['cap_cost']:.3g}, the price of the cap or of alpha"
    if n_clusters is not None and n_clusters > solution.n_x:
        yield "--n-clusters", f"{n_clusters} is more than the {solution.n_x} x, so it caps nothing"


def _onset_text(solution: Solution) -> str:
    """Where the onset of learning is, or a bound on it where it would take long to find."""
    from dualib.path.onset import cheap_onset_bound, onset

    joint, most = solution.joint, ""
    if joint.n_x * joint.n_y <= _FEW_CELLS:
        beta = onset(joint, solution.distortion)
        if math.isinf(beta):
            return "nothing can be learned: y does not depend on x"
    else:
        beta, most = cheap_onset_bound(joint, solution.distortion), "at most "
    where = f", {most}{beta:.6g}" if math.isfinite(beta) else ""
    return f"beta is below the onset of learning{where}: give a larger one"


def _as_json(solution: Solution, table: CountTable, arguments: argparse.Namespace) -> str:
    """All of a solution as JSON; a number that is infinite (not known) is null."""
    import json

    from dualib.results.units import unit_factor

    def finite(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    result: dict[str, Any] = {"file": arguments.file, "table": table.kind, "guess": table.guess}
    result["smoothing"] = arguments.smoothing
    result.update({key: finite(value) for key, value in solution.summary(arguments.unit).items()})
    result.update(x_labels=list(solution.joint.x_labels), y_labels=list(solution.joint.y_labels))
    result["restarts"] = [value * unit_factor(arguments.unit) for value in solution.restarts]
    result.update({name: getattr(solution, name).tolist() for name in ("weights", "encoder", "decoder")})
    return json.dumps(result, indent=1, allow_nan=False)
