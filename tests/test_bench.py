"""The benchmark: the cases, equal results of all implementations, workers, and its command."""

import dataclasses
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import psutil
import pytest
from lowerings import NEEDS_ONEDNN

from experiments.bench import __main__ as bench
from experiments.bench import ceilings, machine, options, render, report, worker
from experiments.bench.cases import (
    IMPLEMENTATIONS,
    SHIPPED_FORM,
    SIZES,
    WORKERS,
    Case,
    Choice,
    cases,
)
from experiments.bench.client import WorkerDied
from experiments.bench.measured import Measured
from experiments.bench.ours import Ours
from experiments.bench.prepared import Reference, WrongResult
from experiments.bench.processes import measure
from experiments.bench.programs import Programs
from experiments.bench.protocol import PROTOCOLS, Plan
from experiments.bench.weights import NEEDS, deviation, inputs
from experiments.config import ConfigError
from experiments.models import layer_weights
from jaxpose.body import geometry
from jaxpose.demo import sample
from jaxpose.estimator import shipped_model
from jaxpose.lowering import LOWERINGS
from jaxpose.model import Model
from jaxpose.nets.factorise import VARIANTS

TINY = SIZES["tiny"]
FORWARD = Case("regression", "asy", "forward", 1, "jaxpose", "folded", "float32")
STEP = dataclasses.replace(FORWARD, what="train_step", batch=2)
DETECTION = dataclasses.replace(FORWARD, net="detection", variant="")


def of(case: Case, implementation: str) -> Case:
    return dataclasses.replace(case, implementation=implementation, lowering="")


def test_every_lowering_and_every_variant_is_timed():
    every = cases(SIZES["paper"], Choice(implementations=IMPLEMENTATIONS))
    lowerings = {c.lowering for c in every if (c.net, c.what) == ("regression", "train_step")}
    assert lowerings == {*LOWERINGS, ""}
    assert {c.variant for c in every if c.what == "forward"} == {*VARIANTS, ""}
    assert len({c.name for c in every}) == len(every)
    # JAX's own 3-D convolution has an implementation's name of its own
    assert all((c.lowering == "conv3d") == (c.implementation == "jax_conv3d") for c in every)


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


def test_ours_deviates_from_jax_by_rounding_and_reports_what_was_compiled(ours):
    prepared = ours.prepare(FORWARD)
    assert prepared.facts["deviation"] < 1e-5
    assert prepared.facts["compile_s"] > 0 and prepared.facts["xla_temporary_mb"] > 0
    assert np.shape(prepared.call(3)) == (1, *TINY.clip, 20)


def test_a_clip_of_one_frame_is_a_clip(tmp_path):
    size = dataclasses.replace(TINY, clip=(1, 16, 16))
    worker = Ours(size, 1, Reference(tmp_path), "auto")
    assert np.shape(worker.prepare(FORWARD).call(0)) == (1, 1, 16, 16, 20)


def test_what_computes_something_else_is_not_timed(ours):
    expected = np.load(ours.reference.path(FORWARD))
    assert deviation(expected, expected) == 0
    with pytest.raises(WrongResult, match="deviates from JAX's own 3-D convolution by 1.0e-03"):
        ours.reference.check(FORWARD, expected + 1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("case", [FORWARD, DETECTION, STEP])
def test_pytorch_computes_the_same(ours, case):
    torch = pytest.importorskip("torch")
    from torch import nn

    from experiments.bench.torch_peer import Net, OneDnnConv, Torch, by_onednn, channels_second

    kinds = ["torch_eager"] + ["torch_onednn"] * (case != STEP)
    for kind in kinds:
        prepared = Torch(TINY, 1, ours.reference, "cpu").prepare(of(case, kind))
        assert prepared.facts["deviation"] < 1e-5
        prepared.call(1)
    if case == STEP:
        return
    net = Net(case.net, case.variant, TINY.width, TINY.config, folded=True)
    kinds = (nn.Conv3d, nn.ConvTranspose3d)
    before = sum(isinstance(m, kinds) for m in net.modules())
    by_onednn(net)
    replaced = [m for m in net.modules() if isinstance(m, OneDnnConv)]
    assert not any(isinstance(m, kinds) for m in net.modules()) and before == len(replaced) > 5
    assert {m.weight.layout for m in replaced} == {torch.strided}
    fed = [
        channels_second(a) for a in inputs(NEEDS[case.net, "forward"], 1, TINY.clip, 1)[0].values()
    ]
    with torch.inference_mode():
        first = net(*fed)
        reordered = [m.weight for m in replaced]
        assert {weight.layout for weight in reordered} == {torch._mkldnn}
        torch.testing.assert_close(net(*fed), first, rtol=0, atol=0)
    assert all(m.weight is weight for m, weight in zip(replaced, reordered, strict=True))


@pytest.mark.parametrize("case", [FORWARD, DETECTION, STEP])
def test_pytorch_computes_in_bfloat16_if_asked_to(ours, case):
    pytest.importorskip("torch")
    from experiments.bench.torch_peer import Torch

    for kind in ["torch_eager"] + ["torch_onednn"] * (case != STEP):
        half = dataclasses.replace(of(case, kind), dtype="bfloat16")
        prepared = Torch(TINY, 1, ours.reference, "cpu").prepare(half)
        assert 1e-5 < prepared.facts["deviation"] < 1e-1
        prepared.call(1)


def test_openvino_is_asked_for_bfloat16_and_says_what_it_computes_in(ours, monkeypatch):
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    from experiments.bench.runtimes import OpenVino

    used, compile_model = [], openvino.Core.compile_model

    def compiled(*arguments):
        model = compile_model(*arguments)
        used.append(model.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        return model

    monkeypatch.setattr(openvino.Core, "compile_model", compiled)
    for dtype in ("float32", "bfloat16"):
        case = dataclasses.replace(of(FORWARD, "openvino"), dtype=dtype)
        OpenVino(TINY, 1, ours.reference).prepare(case)
    assert used[0] == "f32"
    if LOWERINGS["onednn"].unavailable("bfloat16") is None:
        assert used[1] == "bf16"


def test_every_precision_is_timed_in_the_peers_that_have_it_and_up_to_the_pose():
    choice = Choice(precisions=("float32", "bfloat16"), implementations=IMPLEMENTATIONS)
    every = cases(SIZES["default"], choice)
    half = {(c.net, c.what, c.implementation) for c in every if c.dtype == "bfloat16"}
    assert ("regression", "forward", "openvino") in half
    assert ("detection", "train_step", "torch_compile") in half
    assert "onnxruntime" not in {implementation for _, _, implementation in half}
    poses = [c for c in every if c.what == "camera_to_pose"]
    assert {c.dtype for c in poses} == {"float32", "bfloat16"} and len(poses) == 2
    assert "camera_to_pose" not in {c.what for c in cases(SIZES["paper"], choice)}


@NEEDS_ONEDNN
def test_a_pose_is_timed_from_images_of_a_camera_by_the_model_that_is_shipped():
    case = Case("pipeline", "asy", "camera_to_pose", 1, "jaxpose_program", "onednn", "float32")
    poses = Programs(SIZES["default"], 1, None).prepare(case).call(0)
    model = Model.load(shipped_model())
    with np.load(sample()) as stored:
        frames = stored["depth"][[0, 5, 10]]
    np.testing.assert_allclose(poses.xy[0], in_grid(model, frames), atol=1e-3)


def in_grid(model: Model, frames: np.ndarray) -> np.ndarray:
    """Joints of the middle one of three images, in px of the grid."""
    crop = np.array((0, 0, frames.shape[2], frames.shape[1]))
    return geometry.joints_to_grid(model.poses(frames).xy[1], crop, model.specification.grid)


@NEEDS_ONEDNN
def test_both_nets_as_one_program_are_timed(ours):
    case = Case("pipeline", "thin", "forward", 1, "jaxpose_program", "onednn", "float32")
    maps, confidence = Programs(TINY, 1, None).prepare(case).call(0)
    assert maps.shape == confidence.shape == (1, *TINY.clip, 20)
    jitted = ours.prepare(dataclasses.replace(case, implementation="jaxpose")).call(0)
    np.testing.assert_allclose(confidence, jitted, atol=1e-4 * np.abs(jitted).max())


@pytest.mark.parametrize("name", ["jaxpose_program", "torch_onednn", "onnxruntime", "openvino"])
def test_what_runs_on_a_cpu_alone_is_not_timed_beside_a_gpu(name):
    _, missing = options.selection(options.Options(implementations=name, device="gpu"))
    assert name in missing
    process = worker._Worker("torch", {})
    process.device = "gpu"  # chosen by JAX
    case = dataclasses.asdict(dataclasses.replace(of(FORWARD, name)))
    with pytest.raises(ValueError, match=f"{name} is timed on a CPU alone"):
        process.prepare(case, 0.0)


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
        prepared = Torch(TINY, 1, ours.reference, "cpu").prepare(of(case, "torch_compile"))
    assert prepared.facts["deviation"] < 1e-5
    forward = case.what == "forward"
    assert bool(frozen) == ("freezing" in prepared.facts["settings"]) == forward


@pytest.mark.parametrize("case", [FORWARD, DETECTION])
@pytest.mark.parametrize("name", [*WORKERS["onnxruntime"], *WORKERS["openvino"]])
def test_the_runtimes_compute_the_same(ours, case, name):
    assert (
        runtime_of(name)(TINY, 1, ours.reference).prepare(of(case, name)).facts["deviation"] < 1e-5
    )


def runtime_of(name: str):
    """The worker that runs a runtime, whose packages must be there."""
    for package in ("onnx", name.split("_")[0]):
        pytest.importorskip(package)
    from experiments.bench import runtimes

    return runtimes.OpenVino if name.startswith("openvino") else runtimes.OnnxRuntime


@pytest.mark.parametrize("name", SHIPPED_FORM)
def test_the_runtimes_compute_both_nets_from_the_file_that_jaxpose_writes(ours, name):
    case = Case("pipeline", "thin", "forward", 1, name, "", "float32")
    maps, confidence = runtime_of(name)(TINY, 1, None).prepare(case).call(3)
    assert maps.shape == confidence.shape == (1, *TINY.clip, 20)
    mine = dataclasses.replace(case, implementation="jaxpose", lowering="folded")
    jitted = np.asarray(ours.prepare(mine).call(3))
    np.testing.assert_allclose(confidence, jitted, atol=1e-4 * np.abs(jitted).max())


def test_two_steps_of_pytorch_and_of_ours_end_with_the_same_loss(ours):
    pytest.importorskip("torch")
    from experiments.bench.torch_peer import Torch

    # the first step was made by `prepare`; the third sees what two updates did
    mine, theirs = (
        ours.prepare(STEP),
        Torch(TINY, 1, ours.reference, "cpu").prepare(of(STEP, "torch_eager")),
    )
    for k in (1, 2):
        assert float(mine.call(k)) == pytest.approx(float(theirs.call(k)), rel=1e-2)


@pytest.mark.parametrize("case", [STEP, dataclasses.replace(STEP, net="detection", variant="")])
def test_gradients_of_pytorch_and_of_ours_are_equal_in_every_layer(ours, case):
    torch = pytest.importorskip("torch")
    from experiments.bench.torch_peer import Net, channels_second

    names = NEEDS[case.net, case.what]
    arrays = inputs(names, case.batch, TINY.clip, 1)[0]
    graph, weights = ours.net(case.net, case.variant, ours.computation(case))
    loss = ours.loss(case, graph)
    batch = jax.device_put(arrays)
    gradients = jax.grad(lambda p: loss(weights._replace(params=p), None, batch)[0])(weights.params)
    mine = layer_weights(graph, weights._replace(params=gradients))

    net = Net(case.net, case.variant, TINY.width, TINY.config, folded=False).train()
    *fed, masks = (channels_second(arrays[name]) for name in names)
    function = torch.nn.functional
    entropy, square = function.binary_cross_entropy_with_logits, function.mse_loss
    (entropy if case.net == "detection" else square)(net(*fed), masks).backward()

    for layer in net.net.layers:
        conv, *rest = net.convs[layer.name]
        # PyTorch's transposed kernels have the input channels first, the others the output's
        pairs = [(mine[layer.name].kernel, conv.weight, (2, 3, 4, 0, 1) if layer.transposed
                  else (2, 3, 4, 1, 0))]  # fmt: skip
        if layer.norm:
            pairs += [(mine[layer.name].scale, rest[0].weight, (0,))]
            pairs += [(mine[layer.name].shift, rest[0].bias, (0,))]
        else:
            pairs += [(mine[layer.name].bias, conv.bias, (0,))]
        for our, their, axes in pairs:
            expected = their.grad.numpy().transpose(axes)
            largest = np.abs(expected).max()
            assert largest > 0
            # rounding changes the sign of some values near 0 before ReLU: up to 2.5e-3 was seen
            np.testing.assert_allclose(our, expected, atol=1e-2 * largest, err_msg=layer.name)


# ---- ceilings ----


def test_the_ceiling_is_the_fastest_product_of_all_libraries():
    measured = Measured()
    measured.add_ceilings(
        {"float32": {"jax": 2e11, "numpy": 3e11}, "bfloat16": {"jax": 1e11}}, 2e10
    )
    measured.add_ceilings({"float32": {"jax": 1e11, "onednn": 4e11}}, 1e10)
    assert measured.products["float32"] == {"jax": 2e11, "numpy": 3e11, "onednn": 4e11}
    # emulated bfloat16 products are slower, but float32 ones can be used instead
    assert measured.ceilings == {"float32": 4e11, "tf32": 4e11, "bfloat16": 4e11, "bytes": 2e10}


@NEEDS_ONEDNN
def test_ceilings_include_jax_numpy_and_onednn():
    import jax

    rates = ceilings.by_jax(jax.devices()[0], tiny=True)
    expected = {"jax", "numpy", "onednn", "onednn convolution"}
    assert set(rates["products"]["float32"]) == expected
    bfloat16 = {"jax"} if LOWERINGS["onednn"].unavailable("bfloat16") else expected - {"numpy"}
    assert set(rates["products"]["bfloat16"]) == bfloat16
    assert min(rates["products"]["float32"].values()) > 1e8 and rates["bytes_per_s"] > 1e7


@NEEDS_ONEDNN
def test_the_product_that_onednn_is_timed_with_is_one():
    call, flop = ceilings._onednn_product("float32", 48)
    a, b, _ = np.random.default_rng(0).standard_normal((3, 48, 48), np.float32)
    np.testing.assert_allclose(call(), a @ b, atol=1e-4)
    assert flop == 2 * 48**3


def test_a_product_that_would_take_too_long_is_not_tried(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(ceilings.time, "perf_counter", lambda: now[0])

    def product(seconds):
        def call():
            now[0] += seconds

        return call, 100 * seconds  # always 100 per second

    def too_slow():
        raise AssertionError("called")

    slow = (too_slow, 100 * 1.01 * ceilings.MOST_S)
    assert ceilings.fastest(iter([product(0.125), product(2.0), slow])) == 100


# ---- the code that is measured ----


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("no git")
    (tmp_path / "experiments" / "results").mkdir(parents=True)
    (tmp_path / "net.py").write_text("1\n")
    (tmp_path / "experiments" / "results" / "bench.json").write_text("{}\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    return tmp_path


def test_a_clean_tree_has_a_commit(repository):
    code = machine.code(repository)
    assert len(code.commit) == 12 and not code.dirty


@pytest.mark.parametrize(
    "name, dirty",
    [
        ("net.py", True),  # tracked, changed
        ("new.py", True),  # not in the commit, yet it can be imported
        ("notes.txt", False),
        ("experiments/results/bench.json", False),  # results of the benchmark before
    ],
)
def test_code_that_is_not_that_of_the_commit_makes_a_tree_dirty(repository, name, dirty):
    (repository / name).write_text("2\n")
    assert machine.code(repository).changed == ((name,) if dirty else ())


def test_outside_git_there_is_no_commit_and_nothing_to_compare_with(tmp_path, repository):
    inside = repository / "environment"
    inside.mkdir()  # installed inside a repository of something else
    assert machine.code(inside) == machine.Code(None)


def test_what_changes_the_waiting_of_threads_is_recorded(monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "UNRELATED"):
        monkeypatch.setenv(name, "7")
    settings = machine.settings()
    assert settings["GOMP_SPINCOUNT"] == settings["OMP_WAIT_POLICY"] == "7"
    assert "UNRELATED" not in settings


CHANGED = machine.Code("0123456789ab", ("jaxpose/nets/layers.py", "README.md"))


def test_a_dirty_tree_is_refused_before_anything_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(machine, "code", lambda: CHANGED)
    monkeypatch.setattr(bench, "measure", None)
    assert bench.main(["--size=tiny"]) == 2
    error = capsys.readouterr().err
    assert "error: 2 files differ from the commit, such as jaxpose/nets/layers.py" in error
    assert "pass --dirty" in error


# ---- refusals, and a whole run ----


@pytest.mark.parametrize(
    "option, message",
    [
        ("--lowerings=conv3", "unknown lowering 'conv3'; one of: conv3d, folded"),
        ("--implementations=tensorrt", "unknown implementation 'tensorrt'; one of: jaxpose"),
        ("--size=huge", "unknown size 'huge'; one of: tiny, default, paper"),
        ("--protocol=quick", "unknown protocol 'quick'; one of: default, full"),
        ("--variants=asym", "unknown variant 'asym'; one of: full, asy"),
        ("--batches=one", "--batches=one: expected numbers, such as 1,16"),
        ("--batches=0", "--batches=0: expected 1 or more"),
        ("--minutes=-1", "--minutes=-1: expected a number above 0"),
        ("--clip=3,90,128", "--clip=3,90,128: expected one frame or more, and rows and"),
        ("--clip=96,128", "--clip=96,128: expected FRAMES,ROWS,COLUMNS"),
        ("--nets=,", "--nets=,: expected names among: detection"),
    ],
)
def test_options_that_cannot_be_used_are_refused_with_those_that_can(option, message, capsys):
    assert bench.main([option]) == 2
    assert f"error: {message}" in capsys.readouterr().err


def test_options_that_leave_nothing_are_refused(capsys):
    assert bench.main(["--nets=input", "--whats=forward"]) == 2
    assert "leave nothing to time" in capsys.readouterr().err


def test_a_device_that_does_not_exist_is_named():
    import jax

    if jax.default_backend() != "cpu":
        pytest.skip("it exists")
    with pytest.raises(ConfigError, match="--device=gpu: JAX has no such device, only: cpu"):
        Ours(TINY, 1, None, "gpu")


def test_a_peer_that_is_not_installed_is_skipped_with_a_note(monkeypatch):
    monkeypatch.setattr(options.importlib.util, "find_spec", lambda name: None)
    choice, missing = options.selection(options.Options(peers=True))
    assert choice.implementations == ("jaxpose", "jaxpose_program", "jax_conv3d")
    assert missing["torch_eager"] == "torch is not installed: pip install -e '.[peers]'"


@NEEDS_ONEDNN
def test_a_whole_run_writes_its_files_and_prints_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(machine, "code", lambda: CHANGED)
    arguments = ["--size=tiny", "--protocol=smoke", f"--out={tmp_path}", "--precisions=float32"]
    arguments += ["--nets=decoding,regression", "--variants=asy", "--whats=forward,chain"]
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=7")
    assert bench.main([*arguments, "--lowerings=onednn", "--batches=1", "--dirty"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(r["net"], r["what"]) for r in printed["rows"]] == [
        ("regression", "forward"), ("regression", "forward"), ("decoding", "chain"),
    ]  # fmt: skip
    assert [r["implementation"] for r in printed["rows"]][:2] == ["jaxpose", "jaxpose_program"]
    assert all(r["processes"] == 2 and r["blocks"] == 4 for r in printed["rows"])
    assert len(printed["load"]["during"]) == 2
    assert {"rows", "ratios", "load", "ceilings", "isa", "date"} <= printed.keys()
    assert (printed["schema"], printed["commit"], printed["dirty"]) == (3, CHANGED.commit, True)
    assert all((r["cpu"], r["isa"]) == (printed["cpu"], printed["isa"]) for r in printed["rows"])
    # the environment as the worker saw it
    settings = printed["settings"]["jax"]
    assert settings["environment"]["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=7"
    assert "OMP_WAIT_POLICY" not in settings["environment"]  # set only while the library loads
    if sys.platform == "linux":
        assert settings["malloc"]["arena_max"] == 1
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".json", ".md", ".png"]
    (text,) = (p.read_text() for p in tmp_path.glob("*.md"))
    assert "**Measured from files that differ from the commit.**" in text
    stored = json.loads(next(tmp_path.glob("*.json")).read_text())
    *_, seconds, after_pause = zip(*stored["visits"], strict=True)
    assert sum(map(len, seconds)) == sum(r["n"] for r in stored["rows"])
    assert min(after_pause) > 0


# ---- a worker that is killed ----


def killed(choice: Choice, at: str, kind: str) -> tuple[list[Case], Measured]:
    """A whole run, in which the worker of a kind is killed at a message of the run."""
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
    plan = Plan(tuple(chosen), PROTOCOLS["smoke"], TINY)
    measured = measure(plan, say=say, on_process=lambda measured: None)
    assert not left
    return chosen, measured


OURS_TINY = Choice(("decoding", "input"), implementations=("jaxpose",))
BY_SIGKILL = "was killed by SIGKILL, as the system does where memory runs out"


@pytest.mark.parametrize("at", ["process 1/2: block 2, 1/", "process 1/2: preparing 3/4"])
def test_a_killed_worker_costs_its_cases_of_one_process_and_nothing_that_was_measured(at):
    chosen, measured = killed(OURS_TINY, at, "jax")
    (death,) = measured.deaths
    names = {case.name for case in chosen}
    assert (death.kind, death.process) == ("jax", 0) and death.at in names
    assert death.how == BY_SIGKILL
    assert {death.at, *death.lost} == names and measured.processes == 2
    blocks = {name: [v[1:3] for v in measured.visits if v.subject == name] for name in names}
    second = [(1, 0), (1, 1)]
    for name, seen in blocks.items():
        expected = set() if name == death.at else set(second)
        if "block" in at:  # one block and one visit more were measured before
            expected |= {(0, 0)}
        assert set(seen) - {(0, 1)} == expected
    if "preparing" in at:
        assert death.at == chosen[2].name
    (settings,) = measured.settings.values()
    assert settings["malloc"].get("arena_max", 1) == 1
    facts = {"size": "tiny", "protocol": "smoke", "seed": 0, "processes": 2, "seconds": 1.0}
    facts |= {"load_before": measured.loads[0], "commit": None, "dirty": False}
    result = report.result(chosen, measured, TINY, facts, {})
    assert result["deaths"][0]["at"] == death.at and death.at in result["skipped"]
    message = f"**A worker ended:** the jax worker of process 1 {BY_SIGKILL}"
    assert message in render.as_markdown(result)


def test_the_others_go_on_without_a_peer_that_is_killed_while_it_prepares_its_only_case():
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    choice = Choice(
        nets=("regression",),
        variants=("asy",),
        whats=("forward",),
        lowerings=("folded",),
        batches=(1,),
        implementations=("jaxpose", "onnxruntime"),
    )
    chosen, measured = killed(choice, "process 1/2: preparing 2/2", "onnxruntime")
    mine, theirs = (case.name for case in chosen)
    assert [(d.at, d.lost) for d in measured.deaths] == [(theirs, ())]
    assert {v[1:3] for v in measured.visits} == {(p, b) for p in (0, 1) for b in (0, 1)}
    assert {v.subject for v in measured.visits} == {mine}


def test_without_its_first_jax_worker_a_run_ends_with_how_it_died():
    with pytest.raises(WorkerDied, match="the jax worker was killed by SIGKILL"):
        killed(OURS_TINY, "process 1/2: ceilings", "jax")


def test_a_reference_that_needs_too_much_memory_costs_its_own_task_alone():
    choice = Choice(
        nets=("regression", "decoding"),
        variants=("asy",),
        whats=("forward", "train_step", "chain"),
        lowerings=("folded",),
        batches=(1,),
        implementations=("jaxpose",),
    )
    chosen, measured = killed(choice, "reference 2/2", "reference")
    forward, step, chain = (case.name for case in chosen)
    reason = f"without a reference: the process that computes it {BY_SIGKILL}"
    assert measured.notes == {step: reason} and not measured.deaths
    blocks = {(p, b) for p in (0, 1) for b in (0, 1)}
    for name in (forward, chain):
        assert {v[1:3] for v in measured.visits if v.subject == name} == blocks
