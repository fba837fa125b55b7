"""How commands end: signals, closed pipes, full disks, paths of any spelling, two at once."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_load import write_babypose

from data_pipeline import check, prepare
from data_pipeline.errors import DataError
from jaxpose.commands import Terminated, print_result, run_command

GRID = (12, 16)


@pytest.fixture
def folder(tmp_path):
    write_babypose(tmp_path / "in", {"2": 4, "10": 6})
    return tmp_path / "in"


def options(folder, out):
    return ["--dataset=babypose", f"--data_dir={folder}", f"--out={out}", "--grid=16x12"]


def python(code, *arguments, **kwargs):
    """Runs a program; its stderr holds no traceback whatever happens."""
    command = [sys.executable, "-c", code, *map(os.fspath, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", **kwargs)
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done


# ---------------------------------------------------------------- exit codes


def end_with(error):
    def body():
        raise error

    return body


@pytest.mark.parametrize(
    "error, code, message",
    [
        (DataError("a.csv, row 3: wrong"), 2, "error: a.csv, row 3: wrong\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (Terminated(), 143, "stopped\n"),
        (BrokenPipeError(), 141, ""),
        (OSError(errno.EACCES, "Permission denied", "/a/b"), 1, "error: /a/b: Permission denied\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/a/b"),
            1,
            "error: /a/b: No space left on device; make room, or name another place for the "
            "output\n",
        ),
        (
            OSError(errno.EFBIG, "File too large", "/a/b"),
            1,
            "error: /a/b: File too large; make room, or name another place for the output\n",
        ),
        (
            ModuleNotFoundError("No module named 'openpyxl'"),
            1,
            "error: No module named 'openpyxl'; to read data sets: pip install -e '.[data]'\n",
        ),
    ],
)
def test_every_end_has_its_code_and_one_line(error, code, message, capsys):
    assert run_command(end_with(error)) == code
    assert capsys.readouterr() == ("", message)


def test_how_to_go_on_is_added_to_a_stop_and_an_error_of_the_system(capsys):
    def run(error):
        return run_command(end_with(error), resume="the same command goes on")

    assert run(KeyboardInterrupt()) == 130
    assert run(OSError(errno.EIO, "Input/output error", "x")) == 1
    assert capsys.readouterr().err.splitlines() == [
        "stopped; the same command goes on",
        "error: x: Input/output error; the same command goes on",
    ]


def test_a_fault_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_command(end_with(ZeroDivisionError()))


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_runs_what_cleans_up_and_restores_the_handler(number, code, capsys):
    cleaned = []
    before = signal.getsignal(number)

    def body():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            cleaned.append(True)

    assert run_command(body) == code
    assert cleaned == [True]
    assert signal.getsignal(number) == before
    assert capsys.readouterr() == ("", "stopped\n")


# ---------------------------------------------------------------- signals and pipes, from outside

COMMANDS = [
    ["-m", "experiments.run", "--data_dir=/nowhere", "--runs_dir=/nowhere"],
    ["-m", "data_pipeline.check", "/nowhere"],
    [str(Path(sys.executable).with_name("jaxpose")), "predict", "/nowhere", "--out=/nowhere"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=["run", "check", "jaxpose"])
def test_an_interrupt_while_modules_are_imported_ends_a_command_quietly(command, tmp_path):
    slow = tmp_path / "tyro.py"  # a module that every command imports, and that never ends
    slow.write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (-signal.SIGINT, "")


def test_a_program_that_imports_jaxpose_keeps_its_own_way_to_be_interrupted():
    code = "import signal, jaxpose, experiments, data_pipeline; "
    code += "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert python(code).stdout == "True\n"


STOPPED = """
import os, signal, sys
from data_pipeline import check, load, prepare
seen = []
def stop(*arguments, **options):
    seen.append(1)
    if len(seen) == 3:
        os.kill(os.getpid(), int(sys.argv[1]))
    return original(*arguments, **options)
"""
STOP_READING = STOPPED + "original, load.depth_to_grid = load.depth_to_grid, stop\n"
STOP_WRITING = (
    STOPPED
    + """
import numpy
def half(file, **arrays):
    file.write(bytes(1000))
    os.kill(os.getpid(), int(sys.argv[1]))
numpy.savez_compressed = half
"""
)
STOP_CHECK = STOPPED + "import numpy\noriginal, check.np.bincount = check.np.bincount, stop\n"


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("stop", [STOP_READING, STOP_WRITING], ids=["reading", "writing"])
def test_prepare_stopped_by_a_signal_is_quiet_and_leaves_nothing(
    folder, tmp_path, number, code, stop
):
    for name in ("tmp", "out"):
        (tmp_path / name).mkdir()
    done = python(
        stop + "sys.exit(prepare.main(sys.argv[2:]))",
        str(int(number)),
        *options(folder, tmp_path / "out" / "a.npz"),
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert "error" not in done.stderr
    assert list((tmp_path / "tmp").iterdir()) == list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_check_stopped_by_a_signal_is_quiet(folder, number, code):
    done = python(STOP_CHECK + "sys.exit(check.main(sys.argv[2:]))", str(int(number)), folder)
    assert (done.returncode, done.stdout) == (code, "")
    assert "error" not in done.stderr


@pytest.mark.parametrize(
    "module, arguments",
    [
        ("data_pipeline.check", lambda folder: [str(folder / "in")]),
        ("data_pipeline.prepare", lambda folder: options(folder / "in", folder / "a.npz")),
        ("data_pipeline.prepare", lambda folder: ["--help"]),
        ("jaxpose.cli", lambda folder: ["info"]),
        ("jaxpose.cli", lambda folder: ["predict", "--help"]),
    ],
)
def test_a_finished_command_whose_output_nobody_reads_has_not_failed(
    folder, tmp_path, module, arguments
):
    command = [sys.executable, "-m", module, *arguments(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()  # as `| true` does
    text = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), "Error" in text, "Exception" in text) == (0, False, False), text


def test_output_on_a_full_disk_is_an_error_in_one_line(folder):
    command = [sys.executable, "-m", "data_pipeline.check", str(folder)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: stdout: No space left on device")


@pytest.mark.parametrize("closed", ["2>&-", "1>&-", "0<&-", "1>&- 2>&- 0<&-"])
def test_a_closed_stream_changes_neither_the_code_nor_the_files(folder, tmp_path, closed):
    def shell(module, arguments):
        command = shlex.join([sys.executable, "-m", module, *map(str, arguments)])
        return subprocess.run(f"{command} {closed}", shell=True, capture_output=True, text=True)

    checked = shell("data_pipeline.check", [folder])
    assert checked.returncode == 0
    assert ("1>&-" in closed) or list(json.loads(checked.stdout)) == [
        "infants", "problems", "remarks",
    ]  # fmt: skip
    out = tmp_path / "a.npz"
    prepared = shell("data_pipeline.prepare", options(folder, out))
    assert prepared.returncode == 0
    assert ("1>&-" in closed) or len(prepared.stdout.splitlines()) == 1
    assert len(np.load(out)["subject"]) == 10


def test_check_tells_an_error_of_the_system_from_problems_of_the_data(folder, monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise OSError(errno.EIO, "Input/output error", "x")

    monkeypatch.setattr(check, "check", fail)
    assert check.main([str(folder)]) == 2
    assert "Input/output error" in capsys.readouterr().err


def test_the_result_is_one_line_of_json(capsys):
    print_result({"a": 1, "b": "\udce9"})
    assert json.loads(capsys.readouterr().out) == {"a": 1, "b": "\udce9"}


# ---------------------------------------------------------------- space and places


def test_a_disk_that_fills_up_ends_with_the_name_of_the_file(folder, tmp_path, monkeypatch, capsys):
    def full(file, **arrays):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    out = tmp_path / "a.npz"
    assert prepare.main(options(folder, out)) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {out}: No space left on device; make room, or name another place for the output"
    )


def below_a_file(root):
    (root / "file").write_text("")
    return root / "file" / "a.npz"


@pytest.mark.parametrize(
    "out",
    [below_a_file, lambda root: Path("/proc/a.npz"), lambda root: root / f"{'a' * 300}.npz"],
    ids=["below a file", "in /proc", "name too long"],
)
def test_an_out_that_cannot_be_written_is_refused_before_any_image_is_read(
    folder, tmp_path, monkeypatch, capsys, out
):
    monkeypatch.setattr(prepare, "read", None)
    assert prepare.main(options(folder, out(tmp_path))) == 2
    assert check.main([str(out(tmp_path))]) == 2  # nor does it pass as a folder
    line, _ = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {out(tmp_path)}: cannot be written (")


NAMES = {
    "brackets": b"study [pilot] *?",
    "backslash": b"back\\slash",
    "Latin-1": b"caf\xe9",
    "percent": b"100% {x} $HOME",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_folders_of_any_spelling_work(tmp_path, name):
    root = tmp_path / os.fsdecode(name)
    write_babypose(tmp_path / "plain" / "in", {"2": 4})
    (tmp_path / "plain").rename(root)  # cv2.imwrite crashes at names that are not UTF-8
    done = python(
        """
import sys
from pathlib import Path
from data_pipeline import check, load, prepare
root = Path(sys.argv[1])
assert check.main([str(root / "in")]) == 0
assert prepare.main([f"--data_dir={root / 'in'}", f"--out={root / 'a.npz'}", *sys.argv[2:]]) == 0
frames = [load.load_frames("babypose", root / "in", (12, 16), root / "cache") for _ in range(2)]
assert len(frames[0]) == len(load.load(root / "a.npz")) == 4
""",
        root,
        "--dataset=babypose",
    )
    assert done.returncode == 0, done.stderr
    infants, prepared = (json.loads(line) for line in done.stdout.splitlines())
    assert infants["problems"] == []
    assert prepared["out"] == str(root / "a.npz")


# ---------------------------------------------------------------- two processes at once

LOAD = """
import sys
from pathlib import Path
from data_pipeline.load import load_frames
frames = load_frames("babypose", Path(sys.argv[1]), (int(sys.argv[3]), 16), Path(sys.argv[2]))
print(frames.digest())
"""


@pytest.mark.parametrize("rows", [("12", "24"), ("12", "12")], ids=["other grids", "one grid"])
def test_two_first_loads_of_one_data_set_at_once_both_succeed(tmp_path, rows):
    write_babypose(tmp_path / "in", {"2": 40, "10": 40}, size=(120, 160))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LOAD, str(tmp_path / "in"), str(tmp_path / "cache"), row],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for row in rows
    ]
    results = [process.communicate() for process in processes]
    assert [p.returncode for p in processes] == [0, 0], results
    digests = [out.strip() for out, _ in results]
    assert (digests[0] == digests[1]) == (rows[0] == rows[1])
    reads = sum("reading babypose from" in err for _, err in results)
    assert reads == len(set(rows))  # who waited takes what the other one has read
    assert len(list((tmp_path / "cache").glob("*.npz"))) == len(set(rows))


def test_what_a_killed_process_has_left_is_removed_by_the_next_one(folder, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", STOP_WRITING.replace("int(sys.argv[1])", "9") + LOAD]
        + [str(folder), str(tmp_path / "cache"), "12"],
        capture_output=True,
    )
    assert done.returncode == -9
    assert len([p for p in (tmp_path / "cache").iterdir() if p.suffix == ".part"]) == 1
    python(LOAD, folder, tmp_path / "cache", "12")
    assert [p for p in (tmp_path / "cache").iterdir() if p.suffix == ".part"] == []
