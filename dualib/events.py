"""Every change of the support between two certified points of a path: located from the side that loses optimality.

Below an event (for rising beta) the branch of the smaller support stops being optimal exactly where c touches 1 off its atoms, or
where an atom's stability number reaches 1. Both are smooth functions along that branch, which passes through the event
without any singularity, while the other side may be singular there. So each event is a simple root, found to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from dualib.branch import Branch, BrokenBranch, Loss, find_loss
from dualib.old_path import TOUCHES, Path
from dualib.optimise import Outcome
from dualib.problem import Atoms, Problem, Sweep, distance_matrix, join
from dualib.results import Event, EventKind
from dualib.vanishing import Vanishing

_BEYOND = 1e-5  # how far past an event, in log beta, the path is solved again
_NEAREST = 2e-7  # ... or if need be almost this near
_CLOSEST = 1e-8  # brackets below this, in log beta, are not divided further
_LEAST_STEP = 0.005  # of a branch across an interval, in its width: a branch that needs less breaks off there
_CROWDED = 1e-3  # in log beta
_ONE_PIECE = 1e-4  # squared natural distance within which the two ends of a piece agree


@dataclass
class _Patience:
    """How many more crowded events, and divisions of narrow intervals, are worth it between two points of the path.

    On nearly continuous problems the optimum is flat within rounding, and a branch "loses" optimality again and again.
    """

    left: int = 8
    beside: dict[float, float] = field(default_factory=dict)  # solved betas, and how far off in log beta an event is

    def spend(self, width: float) -> None:
        if width < _CROWDED:
            self.left -= 1

    def steps(self, beta: float, smallest: float) -> dict[str, float]:
        """The first and the smallest step of a branch from `beta`: small beside an event, where the branch may be steep."""
        step = self.beside.get(beta, 0.5)
        return {"first": step, "smallest": min(0.1 * step, smallest)}


def events_between(path: Path, low: float, high: float, patience: _Patience | None = None) -> list[Event]:
    """The events between two solved betas, ascending; further points are solved on the way where several lie there."""
    patience = patience or _Patience()
    below, above = path.outcomes[low], path.outcomes[high]
    if math.log(high / low) < _CLOSEST or patience.left <= 0:
        event = bracketed(path, low, high)
        return [event] if event.before != event.after or event.kind == "jump" else []
    found = _downward(path, low, high, patience)
    if found is not None:
        return found
    smallest = _LEAST_STEP * math.log(high / low)
    rising = Branch(path.problem, below.state)
    reached = rising.at(high, **patience.steps(low, smallest))
    if reached is not None and _same(path.problem, reached, above.state):
        return []
    loss = _loss(rising, low, high, above, below) if reached is not None else None
    if loss is not None:
        return _beyond(path, loss, low, high, patience, rising=True)
    falling = Branch(path.problem, above.state)
    reached = falling.at(low, **patience.steps(high, smallest))
    if reached is not None and _same(path.problem, below.state, reached):
        return []
    loss = _loss(falling, high, low, below, above) if reached is not None else None
    if loss is not None:
        return _beyond(path, loss, low, high, patience, rising=False)
    middle = math.sqrt(low * high)
    path.solve(middle, high)
    patience.spend(math.log(high / low))
    upper = events_between(path, middle, high, patience)  # first: it may solve its lower end anew
    return events_between(path, low, middle, patience) + upper


def _downward(path: Path, low: float, high: float, patience: _Patience) -> list[Event] | None:
    """The events on the way down, as far as clusters vanish one by one, or are born; the rest is searched by all means.

    None where not even the first event is of these kinds.
    """
    birth = max((beta for beta, loss in path.births.items() if low < beta and loss.beta < high), default=low)
    floor = low if birth == low else path.births[birth].beta
    found, outcome, violated = _vanishing(path, floor, high)
    beta = found[0].beta if found else high
    if violated is None and birth == low:
        end, far = path.arrival(low, high), path.outcomes[low]
        if end is not None and (_same(path.problem, end, far.state) or _better(path, end, high, low)):
            return found
        if end is None and not found:
            return None
        violated = None if end is None else (low, far)
    if found:
        path.add(beta, outcome)
    rest: list[Event] | None = None
    if violated is not None:
        rest = _birth(path, outcome, violated[1], violated[0], (low, beta), patience)
    elif birth > low:
        rest = _known_birth(path, low, birth, patience)
    if rest is None and found:
        rest = events_between(path, low, beta, patience)
    if found:
        path.discard(beta)
    return None if rest is None else [*rest, *found]


def _vanishing(path: Path, low: float, high: float) -> tuple[list[Event], Outcome, tuple[float, Outcome] | None]:
    """The clusters that vanish one by one from above, ascending, as far as each side is optimal, and the outcome below the last.

    Where one is not: a beta to which the branch goes, below the birth of a cluster, and what violates there.
    """
    outcome, found = path.outcomes[high], list[Event]()
    for vanishing in path.vanishings(low, high):
        left = path.certified_beside(vanishing.rest, outcome)
        if left.gap > path.tol or left.violation > TOUCHES:
            return found[::-1], outcome, (vanishing.state.beta, left)
        found.append(_appearance(path, vanishing, left, path.certified_at_once(vanishing.state, left)))
        outcome = left
    return found[::-1], outcome, None


def _better(path: Path, end: Sweep, high: float, low: float) -> bool:
    """Whether the branch from above is optimal at the point `low`, whose own state is past an event within its tolerance.

    The point then takes that branch, and the event lies below it.
    """
    far = path.outcomes[low]
    arrived = path.certified_beside(end, far)
    if arrived.gap > path.tol or end.objective > far.state.objective + 1e-13:
        return False
    path.join_branch(low, arrived, high)
    return True


def _known_birth(path: Path, low: float, beta: float, patience: _Patience) -> list[Event] | None:
    """The event of a birth that the path was led through, right above `beta`, and those below; None where there is more to it."""
    loss, below = path.births[beta], path.outcomes[beta]
    event = _event(path, loss, below, rising=False)
    if event.kind == "jump" or not _explained(event, loss):
        path.discard(beta)
        return None
    return [*events_between(path, low, beta, patience), event]


def _birth(
    path: Path, above: Outcome, hints: Outcome, end: float, interval: tuple[float, float], patience: _Patience
) -> list[Event] | None:
    """The events of an interval at whose upper end a branch begins that has lost optimality before `end`; None if not found."""
    low, high = interval
    falling = Branch(path.problem, above.state)
    if falling.at(end, **patience.steps(high, _LEAST_STEP * math.log(high / end))) is None:
        return None
    loss = _loss(falling, high, end, hints, above)
    if loss is None or loss.is_jump(path.problem):  # whose clusters are counted from below
        return None
    return _beyond(path, loss, low, high, patience, rising=False)


def _appearance(path: Path, vanishing: Vanishing, below: Outcome, above: Outcome) -> Event:
    return Event(
        kind="appearance",
        beta=vanishing.beta,
        interval=(vanishing.beta * (1.0 - vanishing.precision), vanishing.beta * (1.0 + vanishing.precision)),
        before=len(below.state.atoms),
        after=len(above.state.atoms),
        located=True,
        precision=2.0 * vanishing.precision,
        below=path.side_of(below.state, below.state.atoms, below),
        above=path.side_of(above.state, below.state.atoms, above),
    )


def _loss(branch: Branch, start: float, end: float, other: Outcome, own: Outcome) -> Loss | None:
    hints = join(join(_points(other.state.atoms), _points(other.maxima.points)), _points(own.maxima.points))
    try:
        return find_loss(branch, start, end, hints)
    except BrokenBranch:
        return None


def _points(atoms: Atoms) -> Atoms:
    return Atoms(np.zeros(len(atoms)), atoms.means, atoms.face)


def _beyond(path: Path, loss: Loss, low: float, high: float, patience: _Patience, *, rising: bool) -> list[Event]:
    """The event at `loss`, and those on its far side."""
    sign = 1.0 if rising else -1.0
    near_end, far_end = (low, high) if rising else (high, low)
    beta, event = _step_beyond(path, loss, near_end, far_end, rising=rising)
    if (loss.beta - near_end) * sign < 0.0:  # the near end had passed the loss, within its tolerance
        path.solve_beyond(near_end, loss)
    if beta == far_end:
        return [event]
    patience.spend(abs(math.log(beta / near_end)))
    patience.beside[beta] = abs(math.log(beta / loss.beta))
    rest = events_between(path, beta, high, patience) if rising else events_between(path, low, beta, patience)
    path.discard(beta)
    return [event, *rest] if rising else [*rest, event]


def _step_beyond(path: Path, loss: Loss, near_end: float, far_end: float, *, rising: bool) -> tuple[float, Event]:
    """A solved beta so little past the loss that only this event lies between; and the event.

    Nearer where more has changed than the loss accounts for, farther where within the tolerance nothing has changed yet.
    """
    sign = 1.0 if rising else -1.0
    origin = max(loss.beta, near_end) if rising else min(loss.beta, near_end)
    step, grows = _BEYOND, True
    best: tuple[float, Event] | None = None
    while True:
        beta = origin * math.exp(sign * step)
        if (far_end - beta) * sign <= 0.0:
            beta, far = far_end, path.outcomes[far_end]
        else:
            grown = path.grown_beyond(beta, loss)
            if grown is None and grows and best is None:  # beside another event much may change over a small step
                grows = step > _NEAREST
                step = 0.1 * step if grows else _BEYOND
                continue
            far = grown or path.solve_beyond(beta, loss)
        event = _event(path, loss, far, rising=rising)
        if not _same(path.problem, far.state, loss.state):
            _forget(path, best, far_end)
            best = beta, event
            if step > _BEYOND or step < _NEAREST or event.kind == "jump" or _explained(event, loss):
                return best
            step *= 0.1
            continue
        if best is not None or beta == far_end:
            if best is not None:
                _forget(path, (beta, event), far_end)
            return best or (beta, event)
        path.discard(beta)
        step, grows = 10.0 * step, False


def _forget(path: Path, attempt: tuple[float, Event] | None, far_end: float) -> None:
    """Forget a point solved on trial, unless it is the end of the interval."""
    if attempt is not None and attempt[0] != far_end:
        path.discard(attempt[0])


def _explained(event: Event, loss: Loss) -> bool:
    """Whether the change of the number of clusters is what the touching points and splitting atoms account for."""
    return abs(event.after - event.before) == loss.multiplicity


def _event(path: Path, loss: Loss, far: Outcome, *, rising: bool) -> Event:
    problem = path.problem
    jump = loss.is_jump(problem) and not _continuous(problem, loss, far)
    end = (Branch(problem, far.state).at(loss.beta) if jump else None) or far.state
    sides = (path.side_of(loss.state, far.state.atoms), path.side_of(end, loss.state.atoms, far))
    below, above = sides if rising else sides[::-1]
    before, after = (len(state.atoms) for state in ((loss.state, end) if rising else (end, loss.state)))
    kind: EventKind = "jump" if jump else ("split" if loss.splitting.any() else "appearance")
    born = _new_atoms(problem, loss.state, end) if jump else loss.multiplicity
    return Event(
        kind=kind,
        beta=loss.beta,
        interval=(loss.beta * (1.0 - loss.precision), loss.beta * (1.0 + loss.precision)),
        before=before,
        after=after,
        multiplicity=max(1, born),
        located=True,
        precision=2.0 * loss.precision,
        below=below,
        above=above,
    )


def _continuous(problem: Problem, loss: Loss, far: Outcome) -> bool:
    """Whether what lies beyond grows out of the loss: its total weight away from the old atoms is as small as the step."""
    distance = distance_matrix(problem, loss.beta, far.state.atoms, loss.state.atoms).min(axis=1)
    step = abs(math.log(far.state.beta / loss.beta))
    moved = float(far.state.atoms.weights @ np.minimum(distance, 1.0))
    return moved < 1e3 * step


def _new_atoms(problem: Problem, near: Sweep, far: Sweep) -> int:
    distance = distance_matrix(problem, near.beta, far.atoms, near.atoms)
    return int(np.sum(distance.min(axis=1) > 1e-6))


def bracketed(path: Path, low: float, high: float) -> Event:
    """A change of the support of which only the two points around it are known."""
    below, above = path.outcomes[low].state, path.outcomes[high].state
    apart = distance_matrix(path.problem, low, above.atoms, below.atoms)
    close = math.log(high / low) < 10.0 * _CLOSEST
    jump = close and float(above.atoms.weights @ np.minimum(apart.min(axis=1), 1.0)) > 1e-3
    splits = not jump and _some_split(path.problem, below, high, np.bincount(apart.argmin(axis=1), minlength=len(below.atoms)))
    return Event(
        kind="jump" if jump else ("split" if splits else "appearance"),
        beta=math.sqrt(low * high),
        interval=(low, high),
        before=len(below.atoms),
        after=len(above.atoms),
        located=close,
        precision=math.log(high / low),
        below=path.solution(low),
        above=path.solution(high),
    )


def _some_split(problem: Problem, below: Sweep, high: float, heirs: np.ndarray) -> bool:
    """Whether a cluster that several of those at `high` are nearest to is unstable there."""
    several = np.flatnonzero(heirs > 1)
    if problem.distortion.fixed_atoms or not len(several):
        return False
    members = below.posterior[several] * problem.px
    members /= members.sum(axis=1, keepdims=True)
    return bool(problem.exceeds(below.atoms.pick(several), members, 1.0 / high).any())


def _same(problem: Problem, first: Sweep, second: Sweep) -> bool:
    """Whether two states are one: as many atoms, each with a partner."""
    if first is second:
        return True
    if len(first.atoms) != len(second.atoms):
        return False
    distance = distance_matrix(problem, second.beta, first.atoms, second.atoms)
    partner = distance.argmin(axis=1)
    return len(set(partner.tolist())) == len(partner) and bool(distance.min(axis=1).max() < _ONE_PIECE)
