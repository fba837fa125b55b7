"""The script for a GPU machine, on the CPU at tiny size."""

import importlib.util
import json

import pytest
from test_resume import made_up

from data_pipeline.examples.frames import save
from experiments import gpu, lowering_check
from experiments.bench.expected import PREDICTIONS
from experiments.bench.options import Options, plan
from jaxpose.options import parse_options


def test_folding_passes_the_check_for_gpus():
    measured = lowering_check.check("folded")
    assert set(measured) >= {"3x3x3", "1x2x2 strided", "1x2x2 transposed", "3x3x3 depthwise"}
    assert max(measured.values()) < 1e-5


def test_it_times_and_trains_in_processes_of_their_own_and_writes_their_results(
    tmp_path, monkeypatch, capsys
):
    save(made_up(), tmp_path / "frames.npz")
    monkeypatch.setattr(lowering_check, "check", lambda lowering: {"3x3x3": 0.0})
    commands = []

    def part(name, parallel, limit_s, cache):
        commands.extend(parallel)
        return {"seconds": 1.0, "result": {}}

    monkeypatch.setattr(gpu, "part", part)
    options = ["--device=cpu", f"--data={tmp_path / 'frames.npz'}", f"--out={tmp_path / 'out'}"]
    assert gpu.main([*options, "--steps=90"]) == 0
    modules = ["experiments.bench", "experiments.bench", "experiments.run"]
    assert [c[0] for c in commands] == modules
    assert "--regression.epochs=3" in commands[2]
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert list(printed) == ["device", "jax", "check", "seconds", "compile", "bench", "train"]
    assert gpu.main([*options, "--parts=check"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["device", "jax", "check", "seconds"]
    assert len(commands) == 3
    assert gpu.main([*options, "--parts=check,fly"]) == 2
    assert (
        "unknown part 'fly'; one or more of: check, compile, bench, train"
        in capsys.readouterr().err
    )
    assert gpu.COMPILE_S + gpu.BENCH_S + gpu.TRAIN_S + 3 * gpu.STOP_S < 12 * 60


def test_what_is_compiled_beforehand_is_what_the_benchmark_times(tmp_path):
    def cases_of(command):
        return set(plan(parse_options(Options, command[1:], "experiments.bench"))[0].cases)

    options = gpu.Options()
    timed = cases_of(gpu.bench_command(options, tmp_path))
    compiled = [cases_of(command) for command in gpu.compile_commands(options, tmp_path)]
    ours = {case for case in timed if case.implementation == "jax_conv3d"}
    assert len(ours) == 36 and len(compiled) == 12
    # what is predicted for a GPU is timed there
    for prediction in (p for p in PREDICTIONS if p.platform == "gpu"):
        for side in (prediction.of, prediction.over):
            assert [case for case in ours if side.fits(case, "conv3d")], prediction.what
    assert set.union(*compiled) == ours
    if importlib.util.find_spec("torch"):
        theirs = {(c.task, c.dtype) for c in timed if c.implementation == "torch_eager"}
        assert theirs == {(c.task, c.dtype) for c in ours}


@pytest.mark.slow
def test_the_whole_script_works_at_tiny_size(tmp_path, capsys):
    save(made_up(), tmp_path / "frames.npz")
    options = ["--device=cpu", f"--data={tmp_path / 'frames.npz'}", f"--out={tmp_path / 'out'}"]
    assert gpu.main([*options, "--steps=2", "--dirty"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["bench"]["result"]["rows"] and result["train"]["result"]["rmsd_px"]


def test_a_lowering_that_deviates_ends_with_an_error(tmp_path, monkeypatch, capsys):
    save(made_up(), tmp_path / "frames.npz")
    monkeypatch.setattr(lowering_check, "check", lambda lowering: {"3x3x3": 2e-5, "1x1x1": 1e-7})
    monkeypatch.setattr(gpu, "part", lambda *a, **k: {"seconds": 1.0, "result": {}})
    options = ["--device=cpu", f"--data={tmp_path / 'frames.npz'}", f"--out={tmp_path / 'out'}"]
    assert gpu.main(options) == 1
    error = capsys.readouterr().err
    assert "folded 3x3x3 deviates by 2e-05" in error and "1x1x1" not in error


def test_a_part_that_fails_or_takes_too_long_is_noted(tmp_path):
    failing, endless = ["json.tool", "/nowhere"], ["http.server", "0"]
    failed = gpu.part("a", [failing], 20, tmp_path)
    assert failed["error"].startswith("ended with code")
    assert "took longer than" in gpu.part("b", [endless, endless], 0.5, tmp_path)["error"]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--data=nowhere.npz", "--device=cpu"], "nowhere.npz"),
        (["--device=cpu"], "the part train needs --data=FILE.npz"),
        (["--data=nowhere.npz", "--device=cpu", "--steps=0"], "--steps=0: expected 1 or more"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, message, capsys):
    assert gpu.main(options) == 2
    assert message in capsys.readouterr().err
