"""What a call is doing and for how long: logged under "dualib", and said on stderr to a person who waits.

A door is a public call that may take long. It has a task, in which the steps inside it (a descent, the search, a proof) count their
time. When it ends that is logged as information; nothing is shown unless logging is set up. Where a person waits at a terminal or in
a notebook, and asked for no other progress, a line on stderr tells after two seconds what goes on.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from dualib.threads import blas_threads_for

PATIENCE = 2.0  # seconds after which whoever waits is told
_AGAIN = 1.0  # seconds until the line is written anew
_LONGEST = 200  # characters of what is logged of a result

logger = logging.getLogger("dualib")
speaks: bool | None = None  # whether to tell, wherever stderr goes: the command line does, unless it is to be quiet
_current: contextvars.ContextVar[Task | None] = contextvars.ContextVar("task", default=None)

Call = TypeVar("Call", bound=Callable[..., Any])


class Task:
    """One call of a door, and where its time goes.

    Attributes
    ----------
    name : str
    spent : dict of str to float
        Seconds in each kind of step; "" is what is in none.
    done, total : int
        Steps that a `dualib.progress.Reporter` counts.
    """

    def __init__(self, name: str) -> None:
        self.name, self.done, self.total = name, 0, 0
        self.spent: dict[str, float] = {}
        self._steps = [""]
        self._start = self._since = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._start

    def _count(self) -> None:
        now, step = time.perf_counter(), self._steps[-1]
        self.spent[step] = self.spent.get(step, 0.0) + now - self._since
        self._since = now

    def enter(self, step: str) -> None:
        """A step begins; the one that it is in waits."""
        self._count()
        self._steps.append(step)

    def leave(self) -> None:
        """The last step that began has ended."""
        self._count()
        self._steps.pop()

    def now(self) -> str:
        """What it is doing, in words."""
        steps = [f"{self.done} of {self.total}"] if self.total else []
        return ", ".join([*steps, *self._steps[-1:]]).strip(", ") or "at work"

    def summary(self) -> str:
        """How long it took, and what took long."""
        self._count()
        steps = [f"{step} {seconds:.2f} s" for step, seconds in self.spent.items() if step]
        return f"{self.name}: {self.seconds:.2f} s" + f" ({', '.join(steps)})" * bool(steps)


def current() -> Task | None:
    """The task of the door that is open in this thread."""
    return _current.get()


def step(name: str) -> Callable[[Call], Call]:
    """Count the time in a function as such a step of the task, if there is one."""

    def decorated(call: Call) -> Call:
        @functools.wraps(call)
        def counted(*args: Any, **options: Any) -> Any:
            task = _current.get()
            if task is None:
                return call(*args, **options)
            task.enter(name)
            try:
                return call(*args, **options)
            finally:
                task.leave()

        return counted  # type: ignore[return-value]

    return decorated


def door(call: Call) -> Call:
    """A public call that may take long: with a task, unless another door is open, and one BLAS thread where that is better."""
    name = call.__qualname__.rpartition("<locals>.")[2]

    @functools.wraps(call)
    def opened(*args: Any, **options: Any) -> Any:
        with blas_threads_for(args, options), _task_of(name, bool(options.get("progress", False))) as ended:
            result = call(*args, **options)
            ended(result)
            return result

    return opened  # type: ignore[return-value]


@contextlib.contextmanager
def _task_of(name: str, shown: bool) -> Iterator[Callable[[object], None]]:
    """The task of a door; what it yields takes the result. `shown`: its progress is shown otherwise."""
    if _current.get() is not None:
        yield lambda result: None
        return
    task = Task(name)
    token = _current.set(task)
    notice = None if shown or not _is_attended() else _Notice(task)
    results: list[object] = []
    try:
        yield results.append
    finally:
        _current.reset(token)
        if notice is not None:
            notice.end()
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s%s", task.summary(), f": {_in_short(results[0])}" if results else ", and ended by an error")


def _in_short(result: object) -> str:
    """The first line of what it is; of a sequence, whose words may be dear, its length."""
    if isinstance(result, float):
        return f"{result:.6g}"
    size = getattr(result, "__len__", None)
    text = repr(result).split("\n", 1)[0] if size is None else f"{type(result).__name__} of {size()}"
    return text[:_LONGEST]


def is_watched() -> bool:
    """Whether someone is there to read what is written to stderr."""
    if speaks is not None:
        return speaks
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


def _is_attended() -> bool:
    """The same, in the thread and the process that this person started."""
    from multiprocessing import parent_process

    main = threading.current_thread() is threading.main_thread() and parent_process() is None
    return main and is_watched() and sys.stderr is not None


class _Notice:
    """The line on stderr, written by a thread: again and again on a terminal, elsewhere once."""

    def __init__(self, task: Task) -> None:
        self._task, self._ended, self._drawn = task, threading.Event(), False
        self._stream: Any = sys.stderr
        self._live = self._stream.isatty()
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._thread.start()

    def _tell(self) -> None:
        wait = PATIENCE
        while not self._ended.wait(wait):
            text = f"dualib: {self._task.name}: {self._task.now()}, {self._task.seconds:.0f} s so far"
            self._write(f"\r{text}\x1b[K\r" if self._live else f"{text}\n")
            self._drawn, wait = True, _AGAIN
            if not self._live:
                return

    def end(self) -> None:
        """Take the line away."""
        self._ended.set()
        self._thread.join()
        if self._live and self._drawn:
            self._write("\x1b[K")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed in the meantime: the work goes on
            self._stream.write(text)
            self._stream.flush()
