"""A solution as a notebook shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dualib.markup import block, more, short, table
from dualib.results.common import split_fact

if TYPE_CHECKING:
    from dualib._validation import IntArray
    from dualib.results.solution import Solution

_CLUSTERS, _NAMES, _Y = 20, 8, 3  # that are shown
_LEAST = 0.005  # p(y|t) that is shown


def solution_html(solution: Solution) -> str:
    """The lines of its `repr` and a table of its clusters."""
    title, *lines = repr(solution).split("\n")
    header = ("cluster", "p(t)", "x", "likeliest x", "likeliest y")
    labels = solution.labels
    rows = [_row(solution, t, np.flatnonzero(labels == t)) for t in range(min(solution.n_clusters, _CLUSTERS))]
    return block(title, map(split_fact, lines), table(header, rows, more(solution.n_clusters, len(rows), "clusters")))


def _row(solution: Solution, t: int, members: IntArray) -> tuple[object, ...]:
    """A cluster: its weight, how many x it is the likeliest of, those of largest p(x|t), and what it says of y."""
    joint, decoder = solution.joint, solution.decoder[t]
    surest = members[np.argsort(-solution.encoder[members, t] * joint.px[members], kind="stable")[:_NAMES]]
    names = [short(joint.x_labels[x]) for x in surest] + ["\u2026"] * (len(members) > _NAMES)
    of_y = len(decoder) == joint.n_y  # else of the columns of a rate-distortion matrix
    columns = [y for y in np.argsort(-decoder, kind="stable")[:_Y] if decoder[y] >= _LEAST]
    likeliest = [f"{short(joint.y_labels[y]) if of_y else f'column {y}'} {decoder[y]:.2f}" for y in columns]
    return t, f"{solution.weights[t]:.4f}", len(members), ", ".join(names), ", ".join(likeliest)
