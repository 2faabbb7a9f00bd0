"""The pictures of the speed benchmark: seconds as bars, and gap against seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_FLOOR = 1e-16  # gaps below this are drawn here
_NAMES = {"ib": "IB", "dualib": "dual IB"}
_INFINITE = 10.0  # ... and infinite ones here


def draw(cells: list[dict[str, Any]], folder: Path) -> None:
    """Write `speed-bars.png` and `speed-gaps.png` into a folder."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    # out of time before dualib was done: a lower bound below 1 says nothing, and would look like a victory
    cells = [entry for entry in cells if not (entry["note"] == "budget" and (entry["to dualib"] or 0.0) < 1.0)]
    contenders = list(dict.fromkeys(entry["contender"] for entry in cells))
    colours = {name: f"C{i}" for i, name in enumerate(contenders)}
    _bars(cells, colours).savefig(folder / "speed-bars.png", dpi=120)
    _gaps(cells, colours).savefig(folder / "speed-gaps.png", dpi=120)


def _bars(cells: list[dict[str, Any]], colours: dict[str, str]) -> Any:
    """Seconds over dualib's, one group of bars per problem and one panel per distortion; hatched: out of time, a bound."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    kinds = list(dict.fromkeys(entry["kind"] for entry in cells))
    problems = list(dict.fromkeys(entry["problem"] for entry in cells))
    figure, axes = plt.subplots(
        len(kinds), 1, figsize=(11, 3.6 * len(kinds)), sharex=True, squeeze=False, layout="constrained"
    )
    width = 0.85 / len(colours)
    for ax, kind in zip(axes[:, 0], kinds, strict=True):
        for entry in cells:
            if entry["kind"] != kind or not entry["to dualib"]:
                continue
            index = list(colours).index(entry["contender"])
            place = problems.index(entry["problem"]) + (index - len(colours) / 2 + 0.5) * width
            hatch = "///" if entry["note"] else None
            ax.bar(
                place,
                entry["to dualib"],
                width,
                color=colours[entry["contender"]],
                hatch=hatch,
                edgecolor="white",
                linewidth=0.5,
            )
        ax.axhline(1.0, color="black", linewidth=0.8)
        ax.set(yscale="log", ylabel="seconds over dualib's", title=_NAMES[kind])
        ax.set_xticks(range(len(problems)), problems)
    handles = [Patch(color=colour, label=name) for name, colour in colours.items()]
    handles.append(Patch(facecolor="white", edgecolor="grey", hatch="///", label="out of time: a lower bound"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _gaps(cells: list[dict[str, Any]], colours: dict[str, str]) -> Any:
    """Worst gap against seconds over dualib's, a point for each contender on each case."""
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    kinds = list(dict.fromkeys(entry["kind"] for entry in cells))
    figure, ax = plt.subplots(figsize=(8.5, 6), layout="constrained")
    markers = dict(zip(kinds, "os", strict=False))
    for entry in cells:
        if entry["worst gap"] is None or not entry["to dualib"]:
            continue
        gap = float(np.clip(entry["worst gap"], _FLOOR, _INFINITE))
        face = "none" if entry["note"] else colours[entry["contender"]]
        ax.plot(entry["to dualib"], gap, markers[entry["kind"]], color=colours[entry["contender"]], markerfacecolor=face)
    ax.axhline(1e-9, color="black", linewidth=0.8)
    ax.set(
        xscale="log", yscale="log", xlabel="seconds over dualib's on the same problem", ylabel="worst gap over the betas, nats"
    )
    handles = [Line2D([], [], color=colour, marker="o", linestyle="", label=name) for name, colour in colours.items()]
    handles += [
        Line2D([], [], color="black", marker=mark, linestyle="", label=f"problem: {_NAMES[kind]}")
        for kind, mark in markers.items()
    ]
    handles.append(Line2D([], [], color="black", marker="o", markerfacecolor="none", linestyle="", label="out of time"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure
