"""What solves and paths return, how it is saved, and what can be asked of it."""

from dualib.results.curve import Curve
from dualib.results.event import Event
from dualib.results.solution import Solution
from dualib.results.status import Status

__all__ = ["Curve", "Event", "Solution", "Status"]
