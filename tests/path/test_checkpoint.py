"""Interrupted traces go on to the same bits; what does not belong together is refused; no fault costs more than one point."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dualib
from dualib import JointDistribution
from dualib.data import archives
from dualib.distortions.bottlenecks import IB
from dualib.path import checkpoint

FIELDS = (
    "beta",
    "objective",
    "rate",
    "relevance",
    "expected_distortion",
    "gap",
    "certificate",
    "status",
    "n_iter",
    "residual",
)
ARRAYS = ("encoder", "weights", "means", "decoder", "stability")
EVENT = ("kind", "beta", "interval", "before", "after", "multiplicity", "located", "precision")
WITH_ZEROS = JointDistribution.from_counts([[4, 1, 0, 0], [1, 4, 1, 0], [0, 1, 4, 1], [0, 0, 2, 4]])
MANY = JointDistribution(np.random.default_rng(2).dirichlet(np.ones(240)).reshape(40, 6))  # of whose pairs some are drawn
CASES = {
    "ib": (dualib.datasets.toy(), {"betas": [2.0, 5.0, 9.0]}),
    "dualib": (dualib.datasets.toy(), {"betas": [0.5, 5.0, 20.0], "direction": "up"}),
    "dualib, zeros": (WITH_ZEROS, {"betas": [0.5, 2.0, 6.0], "random_state": 3}),
    "ib, zeros": (WITH_ZEROS, {"betas": [0.5, 2.0, 3.0, 6.0], "events": False}),
    "ib, in one walk": (MANY, {"betas": np.geomspace(3.0, 12.0, 6), "events": False}),
}


@pytest.fixture(autouse=True)
def a_point_at_a_time(monkeypatch):
    """Chunks of one beta, so that there is something between two writes."""
    monkeypatch.setattr("dualib.path.points.CHUNK", 1)


def bits(curve):
    """Everything in a curve, as bytes."""
    solutions = [*curve, *(side for event in curve.events for side in (event.below, event.above) if side is not None)]
    parts = [repr([getattr(s, name) for name in FIELDS]).encode() for s in solutions]
    parts += [getattr(s, name).tobytes() for s in solutions for name in ARRAYS]
    parts += [repr([getattr(event, name) for name in EVENT]).encode() for event in curve.events]
    return b"".join(parts) + repr(curve.onset).encode()


def traced(case, path=None, **changes):
    joint, options = CASES[case]
    return dualib.anneal(joint, case.split(",")[0], checkpoint=path, **{**options, **changes})


def writes(case, folder):
    """How many times a whole trace writes its checkpoint; and its bits."""
    count = []
    real = checkpoint.write_npz

    def counted(*args, **options):
        count.append(1)
        real(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "write_npz", counted)
        curve = traced(case, folder / "whole.npz")
    return len(count), bits(curve)


@pytest.mark.parametrize("case", CASES)
def test_recording_and_replaying_change_no_bit(case, tmp_path):
    n_writes, recorded = writes(case, tmp_path)
    assert n_writes > 2
    assert recorded == bits(traced(case))
    before = (tmp_path / "whole.npz").read_bytes()
    assert bits(traced(case, tmp_path / "whole.npz")) == recorded
    assert (tmp_path / "whole.npz").read_bytes() == before  # nothing was computed again
    assert os.listdir(tmp_path) == ["whole.npz"]


class Stop(BaseException):
    """Not an Exception, as a signal is none."""


@pytest.mark.parametrize(("case", "when"), list(zip(CASES, ["after", "before", "before", "after", "before"], strict=True)))
def test_interrupted_at_every_write_and_resumed(case, when, tmp_path, monkeypatch):
    n_writes, whole = writes(case, tmp_path)
    real = archives.os.replace
    path = tmp_path / "c.npz"
    for k in range(n_writes):
        left = [k]

        def stopping(source, target, left=left):
            left[0] -= 1
            if left[0] < 0 and when == "before":
                raise Stop
            real(source, target)
            if left[0] < 0:
                raise Stop

        with monkeypatch.context() as patch:
            patch.setattr(archives.os, "replace", stopping)
            with pytest.raises(Stop):
                traced(case, path)
        assert bits(traced(case, path)) == whole, k
        assert sorted(os.listdir(tmp_path)) == ["c.npz", "whole.npz"]
        path.unlink()


@pytest.mark.parametrize("fault", ["write", "fsync", "replace"])
def test_when_the_kth_write_fails_the_one_before_still_loads(fault, tmp_path, monkeypatch):
    n_writes, whole = writes("ib", tmp_path)
    path = tmp_path / "c.npz"
    for k in range(1, n_writes):
        left = [k]
        name, module = {"write": ("_write_entries", archives), "fsync": ("fsync", os), "replace": ("replace", os)}[fault]
        real = getattr(module, name)

        def failing(*args, left=left, real=real, **options):
            left[0] -= fault != "fsync" or not os.path.isdir(f"/proc/self/fd/{args[0]}")
            if left[0] < 0:
                if fault == "write":
                    args[0].write(b"PK\x03\x04 half a file")
                raise OSError(28, "No space left on device")
            return real(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, failing)
            with pytest.raises(OSError, match="No space left"):
                traced("ib", path)
        assert os.listdir(tmp_path / ".") and not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
        header = json.loads(np.load(path)["header"].tobytes())
        assert len(header["entries"]) == k - 1
        assert bits(traced("ib", path)) == whole
        path.unlink()


def test_ctrl_c_during_a_write_loses_nothing(tmp_path, monkeypatch):
    path, real, count = tmp_path / "c.npz", os.fsync, [0]

    def interrupted(descriptor):
        count[0] += 1
        if count[0] == 7:
            raise KeyboardInterrupt
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            traced("ib", path)
    header = json.loads(np.load(path)["header"].tobytes())
    assert len(header["entries"]) == 3  # two syncs a write, one write to begin with: the seventh is in the third point's
    assert bits(traced("ib", path)) == bits(traced("ib"))


def test_ctrl_c_from_the_keyboard_returns_control(tmp_path, monkeypatch):
    """A real signal to a real process, sent when the third point is done."""
    monkeypatch.setattr("dualib.path.points.CHUNK", 64)  # as in that process
    code = (
        "import os, signal, sys, dualib\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a parent in the background ignores it
        "def progress(done, total):\n"
        "    if done == 3: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.exit(0 if dualib.anneal(dualib.datasets.toy(), 'ib', [2.0, 5.0, 9.0],"
        " checkpoint=sys.argv[1], progress=progress) else 1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(dualib.__file__).parent.parent)}
    command = [sys.executable, "-c", code, str(tmp_path / "c.npz")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert done.stderr.endswith("KeyboardInterrupt\n")
    entries = json.loads(np.load(tmp_path / "c.npz")["header"].tobytes())["entries"]
    assert {2.0, 5.0, 9.0} <= {beta for entry in entries for beta in entry["betas"]}
    assert bits(traced("ib", tmp_path / "c.npz")) == bits(traced("ib"))


def test_temporary_files_of_killed_runs_are_removed(tmp_path):
    stale = [tmp_path / f".c.npz.{digits * 16}.tmp" for digits in "3a"]
    others = [tmp_path / name for name in (".d.npz.3333333333333333.tmp", ".c.npz.33.tmp", "c.npz.bak")]
    for file in (*stale, *others):
        file.write_bytes(b"half")
    traced("ib", tmp_path / "c.npz")
    assert sorted(os.listdir(tmp_path)) == sorted(["c.npz", *(file.name for file in others)])


@pytest.fixture
def written(tmp_path):
    traced("ib", tmp_path / "c.npz")
    return tmp_path / "c.npz"


OTHER = JointDistribution(dualib.datasets.toy().pxy[::-1].copy())


@pytest.mark.parametrize(
    ("joint", "kind", "changes", "what"),
    [
        (OTHER, "ib", {}, "problem"),
        (None, "dualib", {}, "distortion"),
        (None, dualib.Alpha(0.5), {}, "distortion"),
        (None, "ib", {"betas": [1.0, 2.0]}, "betas"),
        (None, "ib", {"betas": None}, "betas"),
        (None, "ib", {"betas": None, "beta_min": 0.5}, "beta_min|betas"),
        (None, "ib", {"tol": 1e-8}, "tol"),
        (None, "ib", {"tol_curve": 1e-3}, "tol_curve"),
        (None, "ib", {"events": False}, "events"),
        (None, "ib", {"direction": "up"}, "direction"),
        (None, "ib", {"max_iter": 100}, "max_iter"),
        (None, "ib", {"random_state": 1}, "random_state"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(joint, kind, changes, what, written):
    before = written.read_bytes()
    toy, options = CASES["ib"]
    with pytest.raises(ValueError, match=rf"^checkpoint: '.*c\.npz' was written for another ({what}): .*delete the file"):
        dualib.anneal(joint or toy, kind, checkpoint=written, **{**options, **changes})
    assert written.read_bytes() == before


def test_another_version_is_refused(written, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(dualib, "__version__", "99.0")
        with pytest.raises(ValueError, match=r"another version of dualib: .*not '99.0'"):
            traced("ib", written)
    monkeypatch.setattr(checkpoint, "VERSION", 3)
    with pytest.raises(ValueError, match="has format version 2, and this dualib reads version 3"):
        traced("ib", written)


def test_equal_arguments_in_other_types_are_the_same(written):
    before = written.read_bytes()
    traced("ib", written, betas=np.array([9, 2, 5, 2]), tol=np.float64(1e-9), random_state=None)
    assert written.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"beta,rate\n1,2\n", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_no_checkpoint_is_refused_and_kept(content, tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        traced("ib", path)
    assert path.read_bytes() == content


def test_a_saved_curve_and_a_checkpoint_are_told_apart(written):
    with pytest.raises(ValueError, match="it is a checkpoint: give it to anneal"):
        dualib.load(written)
    curve = written.with_name("curve.npz")
    traced("ib").save(curve)
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        traced("ib", curve)


def changed(path, **changes):
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(arrays["header"].tobytes())
    for name, change in changes.items():
        header[name] = change(header[name])
    header["sha256"] = checkpoint.checksum(header["entries"], arrays["data"].tobytes())
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda entries: entries[:-1],
        lambda entries: [{**entries[0], "sizes": [8] * 12}, *entries[1:]],
        lambda entries: [{**entries[0], "sizes": [-8, *entries[0]["sizes"][1:]]}, *entries[1:]],
        lambda entries: [{**entries[0], "shapes": [["|O", [1], "C"], *entries[0]["shapes"][1:]]}, *entries[1:]],
        lambda entries: [{**entries[0], "betas": ["one"]}, *entries[1:]],
        lambda entries: [1],
        lambda entries: {},
    ],
)
def test_damage_is_named(change, written):
    changed(written, entries=change)
    with pytest.raises(ValueError, match=r"checkpoint: '.*c\.npz' is damaged"):
        traced("ib", written)


@pytest.mark.parametrize("identity", [None, [], "mine"])
def test_a_checkpoint_of_nothing_is_damaged(identity, written):
    changed(written, identity=lambda _: identity)
    with pytest.raises(ValueError, match=r"c\.npz' is damaged: it does not say what it belongs to"):
        traced("ib", written)


def test_one_changed_bit_is_noticed(written):
    """Also where the archive's own sums were made to fit."""
    with np.load(written) as archive:
        arrays = dict(archive)
    arrays["data"] = arrays["data"].copy()
    arrays["data"][100] ^= 1
    np.savez(written, **arrays)
    with pytest.raises(ValueError, match=r"c\.npz' is damaged: its checksum does not fit"):
        traced("ib", written)


def test_a_record_that_took_another_course_is_dropped_with_a_warning(written):
    """As of another machine, whose rounding led elsewhere: here the third request is another one."""
    changed(written, entries=lambda entries: [*entries[:2], {**entries[2], "betas": [3.0]}, *entries[3:]])
    with pytest.warns(dualib.DualibWarning, match="from part 3 of .* computed again"):
        assert bits(traced("ib", written)) == bits(traced("ib"))
    assert bits(traced("ib", written)) == bits(traced("ib"))


@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_every_generator_can_be_resumed(generator, tmp_path):
    def run(path):
        rng = np.random.Generator(generator(5))
        curve = dualib.anneal(WITH_ZEROS, Slow(), [1.0, 2.0, 6.0], checkpoint=path, random_state=rng, events=False)
        return bits(curve), rng.random()

    class Slow(IB):  # a distortion of one's own: the gap is searched for with random starts, never proved
        def to_config(self):
            return {"name": "slow"}

    whole = run(tmp_path / "a.npz")
    changed(tmp_path / "a.npz", entries=lambda entries: entries)
    assert run(tmp_path / "a.npz") == whole


def test_what_cannot_be_told_apart_or_written_is_refused_first(tmp_path):
    class Mine(IB):
        def to_config(self):
            raise TypeError("no config here")

    with pytest.raises(TypeError, match=r"checkpoint: distortion .* cannot be told from others: no config here"):
        dualib.anneal(dualib.datasets.toy(), Mine(), [1.0], checkpoint=tmp_path / "c.npz")
    with pytest.raises(OSError, match="none"):
        traced("ib", tmp_path / "none" / "c.npz")
    with pytest.raises(OSError, match="directory"):
        traced("ib", tmp_path)
    with pytest.raises(TypeError, match="checkpoint"):
        traced("ib", b"c.npz")
    with pytest.raises(ValueError, match="betas fixes the grid"):
        traced("ib", tmp_path / "d.npz", beta_min=1.0)


def test_the_command_line_goes_on_from_a_checkpoint(tmp_path, monkeypatch, capsys):
    from dualib.cli.main import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("5,3,1\n2,8,2\n1,1,6\n")
    command = ["anneal", "t.csv", "-q", "--no-plots", "--betas", "1,4,9", "--checkpoint", "c.npz"]
    with monkeypatch.context() as patch:
        calls = []
        real = checkpoint.Checkpoint.append

        def interrupted(self, *chunk):
            real(self, *chunk)
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt

        patch.setattr(checkpoint.Checkpoint, "append", interrupted)
        assert main([*command, "-o", "out"]) == 130
    assert main([*command, "-o", "out"]) == 0
    assert main(["anneal", "t.csv", "-q", "--no-plots", "--betas", "1,4,9", "-o", "whole"]) == 0
    assert (tmp_path / "out" / "ib-curve.csv").read_bytes() == (tmp_path / "whole" / "ib-curve.csv").read_bytes()
    capsys.readouterr()
    assert main([*command, "--tol", "1e-7"]) == 2
    assert "error: checkpoint: 'c.npz' was written for another tol" in capsys.readouterr().err
