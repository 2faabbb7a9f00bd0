"""Progress of long work: a line on stderr, without any dependency, or calls of a function of the user's."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from dualib._validation import shown
from dualib.doors import current

Progress = bool | Callable[[int, int], Any]


class Reporter:
    """Told of every step; this one says nothing itself, but the task of the door that is open knows of them."""

    def __init__(self) -> None:
        self._task = current()

    def expect(self, count: int) -> None:
        """Announce further steps."""
        if self._task is not None:
            self._task.total += count

    def step(self) -> None:
        """One step is done."""
        if self._task is not None:
            self._task.done += 1

    def close(self) -> None:
        """All are done."""

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Calls(Reporter):
    """Report to a callable, as ``progress(done, total)``."""

    def __init__(self, call: Callable[[int, int], Any]) -> None:
        self._call, self._done, self._total = call, 0, 0

    def expect(self, count: int) -> None:
        self._total += count

    def step(self) -> None:
        self._done += 1
        self._call(self._done, self._total)


class ProgressBar(Reporter):
    """One line on stderr that redraws itself on a terminal; elsewhere (a log, a pipe) a single line at the end.

    Parameters
    ----------
    label : str
        What is being done.
    """

    def __init__(self, label: str) -> None:
        self.label, self.done, self.total = label, 0, 0
        self._stream = sys.stderr  # None where there is no console at all
        self._live = self._stream is not None and self._stream.isatty()
        self._start = time.monotonic()
        self._drawn = -1.0
        self._closed = False

    def expect(self, count: int) -> None:
        """Announce further steps, as an adaptive grid grows."""
        self.total += count

    def step(self) -> None:
        """One step is done."""
        self.show(self.done + 1, self.total)

    def show(self, done: int, total: int) -> None:
        """So many steps are done; redraws at most ten times a second."""
        self.done, self.total = done, total
        elapsed = time.monotonic() - self._start
        if self._live and not self._closed and elapsed - self._drawn >= 0.1:
            self._drawn = elapsed
            self._write(f"\r{self._text(elapsed)}\x1b[K")

    def close(self) -> None:
        """Draw the last state and end the line; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        text = self._text(time.monotonic() - self._start)
        self._write(f"\r{text}\x1b[K\n" if self._live else f"{text}\n")

    def _text(self, elapsed: float) -> str:
        filled = round(20 * min(1.0, self.done / self.total)) if self.total > 0 else 0
        bar = f"[{'#' * filled}{'.' * (20 - filled)}] " if self._live else ""
        return f"{self.label:<10} {bar}{self.done} of {self.total}, {elapsed:.1f} s"

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()


def reporter(progress: Progress, label: str) -> Reporter:
    """What the argument `progress` asks for: nothing, a line called `label`, or calls.

    Raises
    ------
    TypeError
        Neither a bool nor a callable.
    """
    if callable(progress):
        return _Calls(progress)
    if not isinstance(progress, (bool, np.bool_)):
        raise TypeError(f"progress must be a bool or a callable, got {shown(progress)}")
    return ProgressBar(label) if progress else Reporter()
