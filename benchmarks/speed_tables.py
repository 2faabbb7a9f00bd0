"""The tables of the speed benchmark: one per case for the terminal, one in all for the docs."""

from __future__ import annotations

from typing import Any

import numpy as np

TEXTBOOK, OURS, WITH_EVENTS = "textbook NumPy", "dualib", "dualib, events"


def show(cells: list[dict[str, Any]]) -> None:
    """The table of one case."""
    first = cells[0]
    late = {entry["contender"]: entry["note"] == "budget" for entry in cells}
    print(f"\n{first['problem']}, {first['kind']}, {first['betas']} betas")
    print(f"{'':26}{'seconds':>10}{'to textbook':>13}{'to dualib':>12}{'worst gap':>12}{'median gap':>12}  note")
    for entry in cells:
        own = late[entry["contender"]]
        columns = [_number(entry["seconds"] or None, 10, ".3g", ">" * own)]
        for name, unit, width in (("to textbook", TEXTBOOK, 13), ("to dualib", OURS, 12)):
            same, other = entry["contender"] == unit, late[unit]
            known = None if own and other and not same else entry[name]
            columns.append(_number(known, width, ".3g", "" if same else ">" * own + "<" * other))
        columns += [_number(entry[name], 12, ".1e") for name in ("worst gap", "median gap")]
        note = f"out of time after {entry['finished']} betas" if own else entry["note"]
        print(f"{entry['contender']:26}{''.join(columns)}  {note}".rstrip(), flush=True)


def _number(value: float | None, width: int, form: str, bound: str = "") -> str:
    return f"{'-' if value is None else bound + format(value, form):>{width}}"


def summary(cells: list[dict[str, Any]]) -> None:
    """What must hold, over all cells."""
    for name in (TEXTBOOK, "embo", "embo, tight"):
        finished = [entry for entry in cells if entry["contender"] == name and not entry["note"] and entry["to dualib"]]
        if finished:
            least = min(finished, key=lambda entry: entry["to dualib"])
            middle = np.median([entry["to dualib"] for entry in finished])
            print(f"{name} over dualib, where it finishes ({len(finished)}): median {middle:.3g}, ", end="")
            print(f"least {least['to dualib']:.3g} ({least['problem']}, {least['kind']})")


def markdown(cells: list[dict[str, Any]]) -> None:
    """One line per case: seconds over dualib's and, in brackets, the worst gap of each contender."""
    contenders = list(dict.fromkeys(entry["contender"] for entry in cells))
    print("| problem | " + " | ".join(contenders) + " |")
    print("|" + " --- |" * (len(contenders) + 1))
    for problem, kind in dict.fromkeys((entry["problem"], entry["kind"]) for entry in cells):
        own = {entry["contender"]: entry for entry in cells if (entry["problem"], entry["kind"]) == (problem, kind)}
        line = [_cell(own.get(name), own[OURS]) for name in contenders]
        print(f"| {problem}, {'IB' if kind == 'ib' else 'dual IB'} | " + " | ".join(line) + " |")


def _cell(entry: dict[str, Any] | None, ours: dict[str, Any]) -> str:
    if entry is None or not entry["seconds"]:
        return "" if entry is None else "-"
    late, ours_late = entry["note"] == "budget", ours["note"] == "budget"
    if late and (ours_late or entry["to dualib"] < 1.0):
        return "out of time"
    ratio = ">" * late + "<" * ours_late + format(entry["to dualib"], ".3g" if entry["to dualib"] < 1000 else ".0f")
    gap = "no beta done" if entry["worst gap"] is None else f"{entry['worst gap']:.0e}"
    return f"{ratio} ({gap})"
