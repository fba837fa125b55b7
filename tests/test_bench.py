"""The benchmark: what it times, that everybody computes the same, and what it refuses."""

import dataclasses
import json
import sys

import numpy as np
import psutil
import pytest
from lowerings import NEEDS_ONEDNN

from experiments.bench import __main__ as bench
from experiments.bench import machine, report, written
from experiments.bench.cases import IMPLEMENTATIONS, SIZES, Case, Choice, cases
from experiments.bench.expected import PREDICTIONS
from experiments.bench.ours import Ours
from experiments.bench.prepared import Reference, WrongResult
from experiments.bench.processes import PROTOCOLS, Measured, WorkerDied, _without_slow, measure
from experiments.bench.weights import deviation, inputs
from jaxpose.cost.timing import Visit
from jaxpose.lowering import LOWERINGS
from jaxpose.nets.factorise import VARIANTS

TINY = SIZES["tiny"]
FORWARD = Case("regression", "asy", "forward", 1, "jaxpose", "folded", "float32")
STEP = dataclasses.replace(FORWARD, what="train_step", batch=2)
DETECTION = dataclasses.replace(FORWARD, net="detection", variant="")


def of(case: Case, implementation: str) -> Case:
    return dataclasses.replace(case, implementation=implementation, lowering="")


def test_every_lowering_and_every_variant_is_timed():
    actual = cases(SIZES["paper"], Choice(implementations=IMPLEMENTATIONS))
    lowerings = {c.lowering for c in actual if (c.net, c.what) == ("regression", "train_step")}
    assert lowerings == {*LOWERINGS, ""}
    assert {c.variant for c in actual if c.what == "forward"} == {*VARIANTS, ""}
    assert len({c.name for c in actual}) == len(actual)
    # JAX's own 3-D convolution counts as somebody else's
    assert all((c.lowering == "conv3d") == (c.implementation == "jax_conv3d") for c in actual)


def test_a_larger_batch_begins_with_the_smaller():
    one, three = (inputs(("depth", "maps"), n, (1, 2, 2), 2) for n in (1, 3))
    for a, b in zip(one, three, strict=True):
        np.testing.assert_array_equal(a["depth"], b["depth"][:1])
        np.testing.assert_array_equal(a["maps"], b["maps"][:1])
    assert (one[0]["depth"] != one[1]["depth"]).all()


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    reference = Reference(tmp_path_factory.mktemp("reference"))
    worker = Ours(TINY, 2, reference, "auto")
    for case in (FORWARD, STEP, DETECTION):
        worker.write_reference(case)
    return worker


def test_ours_deviates_from_jax_by_rounding_and_says_what_was_compiled(ours):
    prepared = ours.prepare(FORWARD)
    assert prepared.facts["deviation"] < 1e-5
    assert prepared.facts["compile_s"] > 0 and prepared.facts["temporary_mb"] > 0
    assert np.shape(prepared.call(3)) == (1, *TINY.clip, 20)


def test_a_clip_of_one_frame_is_a_clip(tmp_path):
    size = dataclasses.replace(TINY, clip=(1, 16, 16))
    worker = Ours(size, 1, Reference(tmp_path), "auto")
    assert np.shape(worker.prepare(FORWARD).call(0)) == (1, 1, 16, 16, 20)


def test_what_computes_something_else_is_not_timed(ours):
    expected_value = np.load(ours.reference.path(FORWARD))
    assert deviation(expected_value, expected_value) == 0
    with pytest.raises(WrongResult, match="deviates from JAX's own 3-D convolution by 1.0e-03"):
        ours.reference.check(FORWARD, expected_value + 1e-3 * np.abs(expected_value).max())


@pytest.mark.parametrize("case", [FORWARD, DETECTION, STEP])
def test_pytorch_computes_the_same(ours, case):
    nn = pytest.importorskip("torch").nn
    from experiments.bench.torch_peer import Net, OneDnnConv, Torch, by_onednn

    kinds = ["torch_eager"] + ["torch_onednn"] * (case != STEP)
    for kind in kinds:
        prepared = Torch(TINY, 1, ours.reference).prepare(of(case, kind))
        assert prepared.facts["deviation"] < 1e-5
        prepared.call(1)
    if case == STEP:
        return
    net = Net(case.net, case.variant, TINY.width, TINY.config, folded=True)
    before = sum(isinstance(m, nn.Conv3d) for m in net.modules())
    by_onednn(net)
    stored = [m for m in net.modules() if isinstance(m, nn.Conv3d)]
    assert not stored and before == sum(isinstance(m, OneDnnConv) for m in net.modules()) > 5


@pytest.mark.slow
@pytest.mark.parametrize("case", [FORWARD, DETECTION, STEP])
def test_pytorch_compiled_computes_the_same_with_frozen_weights_where_it_does_not_train(ours, case):
    torch = pytest.importorskip("torch")
    from torch._inductor import freezing

    from experiments.bench.torch_peer import Torch

    frozen, freeze = [], freezing.freeze
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(freezing, "freeze", lambda *a, **k: frozen.append(1) or freeze(*a, **k))
        torch._dynamo.reset()
        prepared = Torch(TINY, 1, ours.reference).prepare(of(case, "torch_compile"))
    assert prepared.facts["deviation"] < 1e-5
    forward = case.what == "forward"
    assert bool(frozen) == ("freezing" in prepared.facts["settings"]) == forward


@pytest.mark.parametrize("case", [FORWARD, DETECTION])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_runtimes_compute_the_same(ours, case, runtime):
    pytest.importorskip("onnx")
    pytest.importorskip(runtime)
    from experiments.bench import runtimes

    side = {"onnxruntime": runtimes.OnnxRuntime, "openvino": runtimes.OpenVino}[runtime]
    prepared = side(TINY, 1, ours.reference).prepare(of(case, runtime))
    assert prepared.facts["deviation"] < 1e-5


def test_two_steps_of_pytorch_and_of_ours_end_with_the_same_loss(ours):
    pytest.importorskip("torch")
    from experiments.bench.torch_peer import Torch

    # the first step was made by `prepare`; the third sees what two updates did
    mine, theirs = (
        ours.prepare(STEP),
        Torch(TINY, 1, ours.reference).prepare(of(STEP, "torch_eager")),
    )
    for k in (1, 2):
        assert float(mine.call(k)) == pytest.approx(float(theirs.call(k)), rel=1e-2)


# ---- the report ----


def measured(**seconds: float) -> tuple[list[Case], Measured]:
    """One process, two blocks; seconds by implementation."""
    actual = Measured(ceilings={"float32": 1e11, "bytes": 1e10}, processes=1)
    actual.device = {"device": "cpu", "platform": "cpu"}
    chosen = []
    for variant in ("asy", "full"):
        for name, s in seconds.items():
            lowering = {"jaxpose": "folded", "jax_conv3d": "conv3d"}.get(name, "")
            case = Case("regression", variant, "forward", 1, name, lowering, "float32")
            s *= 2 if variant == "full" else 1
            actual.visits += [Visit(case.name, 0, b, 0, False, (s,)) for b in range(2)]
            actual.facts[case.name] = {"compile_s": 1.0, "call_s": s}
            chosen.append(case)
    return chosen, actual


def reported(loads=0.0, **seconds: float) -> dict:
    chosen, actual = measured(**seconds)
    facts = {"size": "paper", "protocol": "default", "seed": 0, "processes": 1, "seconds": 1.0}
    facts["load_before"] = {"busy_cores": loads, "stolen_cores": 0.0, "load_1min": loads}
    return report.result(chosen, actual, SIZES["paper"], facts, {})


def test_bars_take_our_best_over_the_better_pytorch():
    result = reported(jaxpose=0.4, jax_conv3d=1.0, torch_eager=0.5, torch_compile=0.6)
    first, second = result["bars"]
    assert first["over"] == "regression asy forward 1 torch_eager float32"
    assert (first["speedup"], first["met"]) == (1.25, "must")
    assert reported(jaxpose=0.6, torch_eager=0.5)["bars"][0]["met"] == "missed"


def test_what_was_timed_in_one_process_has_no_interval_and_says_so():
    result = reported(jaxpose=0.4, torch_eager=0.5)
    for compared in (*result["ratios"], *result["bars"]):
        assert compared["interval"] is compared["reduction_interval"] is None
        assert compared["processes"] == 1
    result["versions"]["torch"] = "2.13.0+cpu"  # rows of it are here, installed it need not be
    lines = written.as_markdown(result).splitlines()
    assert sum("| one process |" in line for line in lines) == len(
        [*result["ratios"], *result["bars"]]
    )


def test_variants_are_compared_within_a_lowering_and_best_against_best():
    result = reported(jaxpose=0.4, jax_conv3d=1.0, torch_eager=0.5)
    named = {(r["of"], r["over"]) for r in result["ratios"]}
    short = "regression {} forward 1 {} float32".format
    assert (short("asy", "jaxpose folded"), short("full", "jaxpose folded")) in named
    assert (short("asy", "jax_conv3d conv3d"), short("full", "jax_conv3d conv3d")) in named
    assert (short("asy", "jaxpose folded"), short("full", "jax_conv3d conv3d")) not in named


def test_predictions_stand_beside_what_was_measured_and_misses_are_marked():
    result = reported(jaxpose=0.522, torch_eager=0.9)
    by_name = {p["what"]: p for p in result["predictions"]}
    assert not by_name["asy forward, folded, ms"]["missed"]
    missed = by_name["asy forward, PyTorch eager, ms"]
    assert missed["missed"] and missed["error"] == pytest.approx(0.982, abs=1e-3)
    assert by_name["asy over full, forward, useful MACs alone"]["measured"] == 2
    assert len({p.what for p in PREDICTIONS}) == len(PREDICTIONS)


def test_rows_say_their_share_of_the_roofline_and_everything_prints():
    result = reported(jaxpose=0.5)
    asy = result["rows"][0]
    # 44.16 useful GMAC at 100 GFLOP/s take 0.883 s
    assert asy["roofline_share"] == pytest.approx(0.883 / 0.5, rel=0.05)
    assert asy["macs_nominal"] == 3 * 96 * 128 * 1_303_488
    assert "regression asy forward 1 jaxpose folded float32" in written.as_markdown(result)
    assert written.as_csv(result["rows"]).startswith("net,variant,what,batch,implementation")
    assert written.stem(result).startswith("bench-paper-cpu-float32-jax")


def test_a_busy_machine_is_warned_of_and_marks_the_result(capsys):
    busy = {"busy_cores": 1.5, "stolen_cores": 0.0, "load_1min": 2.0}
    bench.warn(busy)
    assert "the machine is busy: 1.5 cores in use by others" in capsys.readouterr().err
    bench.warn(busy | {"busy_cores": 0.01})
    assert not capsys.readouterr().err
    assert reported(1.5, jaxpose=0.5)["loaded"] and not reported(0.01, jaxpose=0.5)["loaded"]
    assert "not to be relied on" in written.as_markdown(reported(1.5, jaxpose=0.5))


def test_the_load_counts_cores():
    actual = machine.load(0.05)
    assert 0 <= actual["busy_cores"] <= 1.05 * (machine.os.cpu_count() or 1)


def test_slow_lowerings_are_timed_once():
    chosen, actual = measured(jaxpose=2.0, jax_conv3d=4.0, torch_eager=9.0)
    left = {c.implementation for c in _without_slow(chosen, actual, PROTOCOLS["default"])}
    assert left == {"jaxpose", "torch_eager"}
    assert _without_slow(chosen, actual, PROTOCOLS["full"]) == chosen


# ---- refusals, and a whole run ----


@pytest.mark.parametrize(
    "option, output",
    [
        ("--lowerings=conv3", "unknown lowering 'conv3'; one of: conv3d, folded"),
        ("--implementations=tensorrt", "unknown implementation 'tensorrt'; one of: jaxpose"),
        ("--size=huge", "unknown size 'huge'; one of: tiny, default, paper"),
        ("--protocol=quick", "unknown protocol 'quick'; one of: default, full"),
        ("--variants=asym", "unknown variant 'asym'; one of: full, asy"),
        ("--batches=one", "--batches=one: expected numbers, such as 1,16"),
        ("--batches=0", "--batches=0: expected 1 or more"),
        ("--minutes=-1", "--minutes=-1: expected more than 0"),
        (
            "--clip=3,90,128",
            "--clip=3,90,128: expected at least one frame, and rows and",
        ),
        ("--clip=96,128", "--clip=96,128: expected FRAMES,ROWS,COLUMNS"),
        ("--nets=,", "--nets: names nothing; some of: detection"),
    ],
)
def test_what_cannot_be_timed_is_refused_with_what_can(option, output, capsys):
    assert bench.main([option]) == 2
    assert f"error: {output}" in capsys.readouterr().err


def test_options_that_leave_nothing_are_refused(capsys):
    assert bench.main(["--nets=input", "--whats=forward"]) == 2
    assert "leave nothing to time" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_named():
    import jax

    if jax.default_backend() != "cpu":
        pytest.skip("there is one")
    with pytest.raises(RuntimeError, match="--device=gpu: not there; JAX sees: cpu"):
        Ours(TINY, 1, None, "gpu")


def test_a_peer_that_is_not_installed_is_skipped_with_a_note(monkeypatch):
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    choice, missing = bench.selection(bench.Options(peers=True))
    assert choice.implementations == ("jaxpose", "jax_conv3d")
    assert missing["torch_eager"] == "torch is not installed: pip install -e '.[peers]'"


@NEEDS_ONEDNN
def test_a_whole_run_leaves_its_files_and_one_line(tmp_path, capsys, monkeypatch):
    options = ["--size=tiny", "--protocol=smoke", f"--out={tmp_path}", "--precisions=float32"]
    options += ["--nets=decoding,regression", "--variants=asy", "--whats=forward,chain"]
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=7")
    assert bench.main([*options, "--lowerings=onednn", "--batches=1"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(r["net"], r["what"]) for r in printed["rows"]] == [
        ("regression", "forward"), ("decoding", "chain"),
    ]  # fmt: skip
    assert all(r["processes"] == 2 and r["blocks"] == 4 for r in printed["rows"])
    assert {"rows", "ratios", "load", "ceilings"} <= printed.keys()
    # as the worker saw it; oneDNN's own setting lasts only while the library loads
    seen = printed["settings"]["jax"]
    assert seen["environment"]["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=7"
    assert "OMP_WAIT_POLICY" not in seen["environment"]
    if sys.platform == "linux":
        assert seen["malloc"]["arena_max"] == 1
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".json", ".md", ".png"]
    stored = json.loads(next(tmp_path.glob("*.json")).read_text())
    *_, seconds, after_pause = zip(*stored["visits"], strict=True)
    assert sum(map(len, seconds)) == sum(r["n"] for r in stored["rows"])
    assert min(after_pause) > 0


# ---- a worker that is killed ----


def killed(choice: Choice, at: str, kind: str, **options) -> tuple[list[Case], Measured]:
    """A whole run, in which this kind of worker is killed where the run says so."""
    left = [at]

    def say(text: str) -> None:
        if left and left[0] in text:
            left.pop()
            (worker,) = [
                child
                for child in psutil.Process().children()
                if child.cmdline()[-2:] == ["experiments.bench.worker", kind]
            ]
            worker.kill()

    chosen = cases(TINY, choice)
    actual = measure(
        *(chosen, dataclasses.replace(PROTOCOLS["smoke"], processes=2)),
        **{
            "size": TINY,
            "device": "auto",
            "seed": 0,
            "say": say,
            "on_process": lambda actual: None,
        },
        **options,
    )
    assert not left
    return chosen, actual


OURS_TINY = Choice(("decoding", "input"), implementations=("jaxpose",))


@pytest.mark.parametrize("at", ["process 1/2: block 2, 1/", "process 1/2: preparing 3/4"])
def test_a_killed_worker_costs_its_cases_of_one_process_and_nothing_that_was_measured(at):
    chosen, actual = killed(OURS_TINY, at, "jax")
    (death,) = actual.deaths
    names = {case.name for case in chosen}
    assert (death.kind, death.process) == ("jax", 0) and death.at in names
    assert death.how == "was killed by SIGKILL, as the system does where memory runs out"
    assert {death.at, *death.lost} == names and actual.processes == 2
    blocks = {name: [v[1:3] for v in actual.visits if v.subject == name] for name in names}
    second = [(1, 0), (1, 1)]
    for name, seen in blocks.items():
        expected_value = set() if name == death.at else set(second)
        if "block" in at:  # one block and one visit more were made before
            expected_value |= {(0, 0)}
        assert set(seen) - {(0, 1)} == expected_value
    if "preparing" in at:
        assert death.at == chosen[2].name
    (settings,) = actual.settings.values()
    assert settings["malloc"].get("arena_max", 1) == 1
    facts = {"size": "tiny", "protocol": "smoke", "seed": 0, "processes": 2, "seconds": 1.0}
    result = report.result(chosen, actual, TINY, facts | {"load_before": actual.loads[0]}, {})
    assert result["deaths"][0]["at"] == death.at and death.at in result["skipped"]
    output = "the jax worker of process 1 was killed by SIGKILL, as the system does where memory "
    assert f"**A worker ended:** {output}" in written.as_markdown(result)


def test_the_others_go_on_without_a_peer_that_is_killed_while_it_prepares_its_only_case():
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    chosen = Choice(
        *(("regression",), ("asy",), ("forward",), ("folded",)),
        batches=(1,),
        implementations=("jaxpose", "onnxruntime"),
    )
    chosen, actual = killed(chosen, "process 1/2: preparing 2/2", "onnxruntime")
    mine, theirs = (case.name for case in chosen)
    assert [(d.at, d.lost) for d in actual.deaths] == [(theirs, ())]
    assert {v[1:3] for v in actual.visits} == {(p, b) for p in (0, 1) for b in (0, 1)}
    assert {v.subject for v in actual.visits} == {mine}


def test_without_its_first_jax_worker_a_run_ends_with_how_it_died():
    with pytest.raises(WorkerDied, match="the jax worker was killed by SIGKILL"):
        killed(OURS_TINY, "process 1/2: ceilings", "jax")
