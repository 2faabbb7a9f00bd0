"""What a call says of itself while it works: its log, and the line for a person who waits."""

import io
import logging
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import dualib
from dualib import doors
from dualib.progress import reporter


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, logger="dualib")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "dualib"]


def test_a_call_logs_once_how_long_it_took_with_what_and_what_came_of_it(log):
    solution = dualib.solve(dualib.datasets.toy(), 8.0)
    (line,) = [line for line in log() if line.startswith("solve: ")]
    assert line.endswith(": " + repr(solution).split("\n")[0])
    assert " s (" in line and "descent " in line and "search " in line


def test_doors_inside_doors_are_one_call(log):
    joint = dualib.datasets.toy()
    dualib.solve_many(joint, [4.0, 8.0])
    dualib.InformationBottleneck(2).fit(joint.pxy)
    lines = [line.split(":")[0] for line in log() if "compiled" not in line]
    assert lines == ["solve_many", "quantize"]


def test_an_error_is_logged_as_one_and_the_next_call_is_its_own(log):
    with pytest.raises(ValueError, match="beta"):
        dualib.solve(dualib.datasets.toy(), -1.0)
    dualib.onset(dualib.datasets.toy())
    lines = [line for line in log() if not line.startswith("dualib.")]
    assert lines[0].startswith("solve: ") and lines[0].endswith(", and ended by an error")
    assert lines[1].startswith("onset: ") and lines[1].endswith(": 4.36503")
    assert doors.current() is None


def test_loading_of_compiled_functions_is_logged_and_nothing_is_shown_unasked():
    code = (
        "import logging, sys\n"
        "if len(sys.argv) > 1: logging.basicConfig(level=logging.INFO, format='%(name)s|%(message)s')\n"
        "import dualib; dualib.compile_kernels()"
    )
    for asked in ([], ["yes"]):
        done = subprocess.run([sys.executable, "-c", code, *asked], capture_output=True, text=True, check=True)
        lines = done.stderr.splitlines()
        assert len(lines) == 3 * len(asked) and done.stdout == ""
        for line in lines:
            name, message = line.split("|")
            module, rest = message.split(": ")
            assert name == "dualib" and module.split(".")[-1].startswith("compiled")
            assert rest.split(" in ")[0] in ("loaded", "compiled", "python") and rest.endswith(" s")


def test_the_steps_share_the_time_and_the_inner_one_has_its_own(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(doors.time, "perf_counter", lambda: float(next(clock)))
    task = doors.Task("work")  # at 0; each call of the clock is a second later
    task.enter("outer")  # 1
    task.enter("inner")  # 2
    assert task.now() == "inner"
    task.leave()  # 3
    task.leave()  # 4
    assert task.spent == {"": 1.0, "outer": 2.0, "inner": 1.0}
    assert task.summary() == "work: 6.00 s (outer 2.00 s, inner 1.00 s)"


class Terminal(io.StringIO):
    def __init__(self, live):
        super().__init__()
        self.live, self.written = live, threading.Event()

    def isatty(self):
        return self.live

    def write(self, text):
        super().write(text)
        self.written.set()


@pytest.mark.parametrize("live", [True, False])
def test_whoever_waits_is_told_and_a_terminal_is_left_clean(monkeypatch, live):
    terminal = Terminal(live)
    monkeypatch.setattr(doors, "PATIENCE", 0.0)
    monkeypatch.setattr(doors, "_AGAIN", 600.0)

    @doors.step("search")
    def inner():
        monkeypatch.setattr(sys, "stderr", terminal)
        notice = doors._Notice(doors.current())
        assert terminal.written.wait(60.0)
        notice.end()

    @doors.door
    def work(joint):
        report = reporter(False, "work")
        report.expect(7)
        report.step()
        inner()

    work(None)
    told, left = terminal.getvalue().split(" s so far")
    assert told.strip("\r0123456789") == "dualib: work: 1 of 7, search, "
    assert left == ("\x1b[K\r\x1b[K" if live else "\n")


@pytest.mark.parametrize(("live", "speaks", "told"), [(True, None, True), (False, True, True), (False, None, False)])
def test_a_terminal_and_the_command_line_are_told(monkeypatch, live, speaks, told):
    monkeypatch.setattr(sys, "stderr", Terminal(live))
    monkeypatch.setattr(doors, "speaks", speaks)
    began = []
    monkeypatch.setattr(
        doors, "_Notice", lambda task: began.append(task.name) or SimpleNamespace(end=lambda: began.append("ended"))
    )
    doors.door(len)([1, 2])
    assert began == (["len", "ended"] if told else [])


@pytest.mark.parametrize("reason", ["a pipe", "quiet", "progress", "thread"])
def test_nobody_else_is_told(monkeypatch, reason):
    terminal = Terminal(reason != "a pipe")
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(doors, "PATIENCE", 0.0)
    monkeypatch.setattr(doors, "speaks", False if reason == "quiet" else None)
    began = []
    monkeypatch.setattr(doors, "_Notice", began.append)

    @doors.door
    def work(joint, progress=False):
        return np.ones(3)

    if reason == "thread":
        thread = threading.Thread(target=work, args=(None,))
        thread.start()
        thread.join()
    else:
        work(None, progress=reason == "progress")
    assert not began and terminal.getvalue() == ""
