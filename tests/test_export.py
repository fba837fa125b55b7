"""Exported nets and runtimes give the model's maps and poses."""

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from lowerings import CONV3D
from models import SPECIFICATION, make_model
from test_estimator import frames

import jaxpose
import jaxpose.export as exporting
from jaxpose import cli, runtime
from jaxpose.estimator import Estimator
from jaxpose.export import by_reference, export
from jaxpose.formats import engines
from jaxpose.formats.stablehlo import read_stablehlo, to_stablehlo
from jaxpose.lowering import LOWERINGS, convolve, upsample
from jaxpose.recordings.orientation import turn
from jaxpose.runtime import load_model, scaled_weights, to_int8, to_onnx


def installed(*names):
    """Skips a test where a package is missing."""
    for name in names:
        pytest.importorskip(name)


@pytest.fixture(scope="module")
def model():
    return make_model(dataclasses.replace(SPECIFICATION, depth_scale_mm=20.0))


@pytest.fixture
def path(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def clips(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3, *SPECIFICATION.grid, 1)).astype("f4")


def check_maps(model, predict, sizes=(1, 3)):
    """Asserts that a function gives the model's maps, which differ from 0, in every batch size."""
    inputs = clips()
    expected = model.maps(inputs)
    for size in sizes:
        for ours, theirs in zip(expected, predict(inputs[:size]), strict=True):
            assert np.abs(ours).max() > 0.1
            np.testing.assert_allclose(theirs, ours[:size], atol=1e-5)


LAYERS = {  # kernel (t, y, x), stride, input channels, output channels, groups, transposed
    "rows": ((1, 3, 1), (1, 1, 1), 4, 6, 1, False),
    "time": ((3, 1, 1), (1, 1, 1), 4, 6, 1, False),
    "full": ((3, 3, 3), (1, 1, 1), 4, 6, 1, False),
    "frames in groups": ((1, 3, 3), (1, 1, 1), 4, 6, 2, False),
    "depthwise in time": ((3, 3, 3), (1, 1, 1), 4, 8, 4, False),
    "halved": ((1, 2, 2), (1, 2, 2), 4, 6, 1, False),
    "doubled": ((1, 2, 2), (1, 2, 2), 4, 6, 1, True),
}


@pytest.mark.parametrize("frames", [1, 3, 5])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_convolution_over_frames_as_channels_equals_that_over_time(kind, frames):
    installed("onnx")
    from jaxpose.formats.graph import Graph

    extent, stride, cin, cout, groups, transposed = LAYERS[kind]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, frames, 4, 6, cin)).astype(np.float32)
    kernel = rng.normal(size=(*extent, cin // groups, cout)).astype(np.float32)
    bias = rng.normal(size=cout).astype(np.float32)
    graph = Graph()
    node = graph.input(x.shape)
    options = {"stride": stride, "groups": groups}
    node = graph.convolve(node, kernel, bias, relu=True, transposed=transposed, **options)
    graph.output(node, "y")
    arrays = jnp.asarray(x), jnp.asarray(kernel)
    if transposed:
        expected = np.asarray(upsample(*arrays, lowering=CONV3D)) + bias
    else:
        expected = np.asarray(convolve(*arrays, lowering=CONV3D, **options)) + bias
    (actual,) = by_reference(graph.content({}), ["y"])(x)
    np.testing.assert_allclose(actual, np.maximum(expected, 0), atol=1e-5)


def test_parts_are_joined_frame_by_frame():
    installed("onnx")
    from jaxpose.formats.graph import Graph

    x = np.random.default_rng(0).normal(size=(2, 3, 2, 4, 5)).astype(np.float32)
    graph = Graph()
    node = graph.input(x.shape)
    graph.output(graph.concatenate([node, graph.sigmoid(node)]), "y")
    (actual,) = by_reference(graph.content({}), ["y"])(x)
    np.testing.assert_allclose(actual, np.concatenate([x, 1 / (1 + np.exp(-x))], -1), atol=1e-6)


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_a_runtime_computes_the_models_maps_for_any_number_of_clips(model, engine):
    installed("onnx", engine)
    check_maps(model, engines.ENGINES[engine](to_onnx(model)))


def test_an_onnx_file_has_2d_convolutions_alone_and_a_free_number_of_clips(model):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_model_from_string(to_onnx(model)).graph
    kernels = [
        attribute.ints
        for node in graph.node
        for attribute in node.attribute
        if attribute.name == "kernel_shape"
    ]
    layers = sum(len(net.layers) for net in SPECIFICATION.nets().values())
    assert len(kernels) == layers and {len(kernel) for kernel in kernels} == {2}
    for value in [*graph.input, *graph.output]:
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_stablehlo_is_pure_and_for_two_platforms_and_any_number_of_clips(model):
    from jax import export

    content = to_stablehlo(model.specification.nets(), scaled_weights(model), (3, 32, 48))
    exported = export.deserialize(bytearray(content))
    assert exported.platforms == ("cpu", "cuda")
    assert [str(aval.shape) for aval in exported.in_avals] == ["(batch, 3, 32, 48, 1)"]
    calls = set(re.findall(r"custom_call @(\w+)", exported.mlir_module()))
    assert calls <= {"shape_assertion"}
    check_maps(model, read_stablehlo(content), sizes=(1, 2))


@pytest.mark.parametrize("name", ["onnx", "stablehlo"])
def test_the_command_writes_a_file_whose_maps_were_compared(path, name, capsys):
    if name == "onnx":
        installed("onnx", "onnxruntime")
    assert cli.main(["export", str(path), f"--format={name}"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    out = path.with_suffix(f".{name}")
    assert line["out"] == str(out) and line["bytes"] == out.stat().st_size > 10_000
    assert line["clips"] == 4 and line["largest_map"] > 0.1
    assert line["largest_difference"] and max(line["largest_difference"].values()) < 1e-5


def test_a_file_that_deviates_is_not_written(model, tmp_path, monkeypatch):
    installed("onnx", "onnxruntime")
    load = engines.by_onnxruntime

    def wrong(content, by=2e-4):
        predict = load(content)
        return lambda clips: tuple(maps + np.float32(by) for maps in predict(clips))

    monkeypatch.setitem(engines.ENGINES, "onnxruntime", wrong)
    with pytest.raises(jaxpose.ModelError, match="not written: .* deviate by 0.0002 .* 0.0001"):
        export(model, "onnx", tmp_path / "model.onnx")
    monkeypatch.setitem(engines.ENGINES, "onnxruntime", lambda content: wrong(content, np.nan))
    with pytest.raises(jaxpose.ModelError, match="deviate by nan"):
        export(model, "onnx", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("engine", engines.ENGINES)
@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_the_poses_of_all_runtimes_are_equal_to_a_hundredth_of_a_pixel(model, path, engine, suffix):
    installed("onnx", engine)
    expected = Estimator(model)
    if suffix == ".onnx":
        path.with_suffix(suffix).write_bytes(to_onnx(model))
    actual = jaxpose.load(path.with_suffix(suffix), runtime=engine)
    assert (actual.model.runtime, expected.model.runtime) == (engine, "jax")
    assert actual.model.digest == expected.model.digest
    depth = frames(12)
    ours, theirs = expected(depth), actual(depth)
    np.testing.assert_allclose(theirs.xy, ours.xy, atol=0.01)
    np.testing.assert_allclose(theirs.confidence, ours.confidence, atol=1e-4)
    np.testing.assert_array_equal(theirs.state, ours.state)
    assert 0 < np.isfinite(ours.xy).mean()


def test_predict_says_which_runtime_it_used_and_goes_on_with_the_same_alone(path, tmp_path, capsys):
    installed("onnx", "onnxruntime")
    np.save(tmp_path / "ward.npy", frames(6))
    command = ["predict", str(tmp_path / "ward.npy"), f"--model={path}", "--quiet", "--no-video"]
    command += [f"--out={tmp_path / 'out'}"]
    assert cli.main([*command, "--runtime=onnxruntime"]) == 0
    quality = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert (quality["runtime"], quality["precision"]) == ("onnxruntime", "float32")
    assert cli.main(command) == 2
    assert "prediction with another runtime" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("missing", "extra", "arguments"),
    [
        ("onnx", "onnx", ["export", "--format=onnx"]),
        ("onnx", "openvino", ["predict", "--runtime=openvino"]),
        ("onnxruntime", "onnxruntime", ["predict", "--runtime=onnxruntime"]),
        ("openvino", "openvino", ["predict", "--runtime=openvino"]),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    path, tmp_path, monkeypatch, capsys, missing, extra, arguments
):
    if missing != "onnx":
        installed("onnx")
    monkeypatch.setitem(sys.modules, missing, None)
    np.save(tmp_path / "ward.npy", frames(3))
    command, option = arguments
    files = [str(path)] if command == "export" else [str(tmp_path / "ward.npy"), f"--model={path}"]
    assert cli.main([command, *files, option, f"--out={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert f"the package {missing} is not installed; pip install 'jaxpose[{extra}]'" in error


def test_files_that_no_runtime_can_use_are_refused_by_name(model, path, tmp_path):
    onnx = pytest.importorskip("onnx")
    place = tmp_path / "m.onnx"
    whole = to_onnx(model)
    foreign = onnx.load_model_from_string(whole)
    del foreign.metadata_props[:]
    for content in (whole[:-1000], b"foreign", b"", foreign.SerializeToString()):
        place.write_bytes(content)
        with pytest.raises(
            jaxpose.ModelError, match="m.onnx: foreign or damaged; expected an ONNX"
        ):
            load_model(place, runtime="onnxruntime")
    newer = json.loads(runtime.header(model.specification, model.digest)) | {"format": 2}
    foreign.metadata_props.add(key="jaxpose", value=json.dumps(newer))
    place.write_bytes(foreign.SerializeToString())
    with pytest.raises(jaxpose.ModelError, match="m.onnx: format 2, expected 1; update jaxpose"):
        load_model(place, runtime="onnxruntime")
    with pytest.raises(jaxpose.ModelError, match="m.onnx: an ONNX file; choose the runtime"):
        load_model(place)
    with pytest.raises(jaxpose.ModelError, match="none.onnx: cannot be read"):
        load_model(tmp_path / "none.onnx", runtime="openvino")
    with pytest.raises(ValueError, match="unknown runtime 'tflite'; one of: jax, onnxruntime"):
        load_model(path, runtime="tflite")
    with pytest.raises(ValueError, match="the runtime onnxruntime takes no lowering"):
        load_model(path, runtime="onnxruntime", lowering="folded")
    message = "onnxruntime does not compute in bfloat16; .* with the runtime jax or openvino"
    with pytest.raises(ValueError, match=message):
        load_model(path, runtime="onnxruntime", precision="bfloat16")


@pytest.mark.parametrize("name", ["jax", "onnxruntime", "openvino"])
def test_int8_as_an_option_says_how_to_make_a_file_that_has_it(path, name):
    words = "`jaxpose export MODEL --format=onnx --precision=int8 --calibration RECORDING"
    with pytest.raises(ValueError, match="int8 is the precision of a file") as error:
        load_model(path, runtime=name, precision="int8")
    assert words in str(error.value) and "runtime onnxruntime or openvino" in str(error.value)


def test_int8_without_a_clip_to_calibrate_it_is_refused(model):
    with pytest.raises(ValueError, match=r"clips are \[0, 3, .*expected 1 or more"):
        to_int8(model, clips()[:0])


def test_openvino_computes_in_bfloat16_only_if_asked_to(model, path):
    installed("onnx", "openvino")
    if reason := LOWERINGS["onednn"].unavailable("bfloat16"):
        pytest.skip(reason)
    half = load_model(path, runtime="openvino", precision="bfloat16")
    assert half.precision == "bfloat16"
    exact = model.maps(clips()).regression
    apart = np.abs(half.maps(clips()).regression - exact).max() / np.abs(exact).max()
    assert 1e-4 < apart < 0.1


def test_openvino_says_where_a_cpu_has_no_bfloat16(path, monkeypatch):
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    float32 = SimpleNamespace(get_property=lambda name: openvino.Type.f32)
    monkeypatch.setattr(openvino.Core, "compile_model", lambda *a: float32)
    message = "OpenVINO does not compute in bfloat16 on this CPU, .* use float32"
    with pytest.raises(ValueError, match=message):
        load_model(path, runtime="openvino", precision="bfloat16")


def test_openvino_reports_nothing_to_its_makers():
    installed("openvino")
    program = (
        "import os, sys; from jaxpose.formats import engines\n"
        "os.fork = None\n"  # its reports are sent by a process of their own
        "try: engines.by_openvino(b'')\n"
        "except Exception: pass\n"
        "assert 'openvino' in sys.modules and sys.modules['openvino_telemetry'] is None"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


COMMANDS = re.findall(
    r"^    (jaxpose .*)$",
    (Path(__file__).resolve().parents[1] / "docs" / "export.md").read_text(),
    re.MULTILINE,
)


def test_every_command_of_the_guide_runs(path, tmp_path, monkeypatch, capsys):
    installed("onnx", "onnxruntime", "openvino")
    assert len(COMMANDS) >= 5
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exporting, "CALIBRATING", 1)
    monkeypatch.setattr(exporting, "LARGEST_SHIFT_PX", 1000.0)  # of a net of random weights
    monkeypatch.setattr(exporting, "LARGEST_FOUND_OTHERWISE", 1.0)
    path = path.rename(tmp_path / "infant.safetensors")
    monkeypatch.setattr("jaxpose.estimator.shipped_model", lambda: path)
    np.save("ward1", frames(12))
    for command in COMMANDS:
        words = shlex.split(command.replace("ward1", "ward1.npy"))[1:]
        assert cli.main([*words, "--no-video"] if words[0] == "predict" else words) == 0
    for name in ("nets.stablehlo", "infant.onnx", "infant-int8.onnx", "a/pose.csv", "b/pose.csv"):
        assert (tmp_path / name).stat().st_size


def test_the_shipped_model_is_exported_into_this_folder(path, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("jaxpose.estimator.shipped_model", lambda: path)
    assert cli.main(["export", "--format=stablehlo"]) == 0
    assert [file.name for file in Path().iterdir()] == ["model.stablehlo"]


def test_int8_needs_calibration_and_says_how_far_it_moves_the_joints(
    path, tmp_path, monkeypatch, capsys
):
    command = ["export", str(path), "--format=onnx", "--precision=int8"]
    assert cli.main(command) == 2
    assert "needs --calibration=RECORDING" in capsys.readouterr().err
    assert cli.main([*command[:2], "--format=stablehlo", "--precision=int8"]) == 2
    assert "expected --format=onnx" in capsys.readouterr().err
    assert cli.main([*command[:3], "--calibration", "ward"]) == 2
    assert "--calibration is for --precision=int8 alone" in capsys.readouterr().err
    installed("onnx", "onnxruntime")
    np.save(tmp_path / "ward.npy", frames(12))
    command += ["--calibration", str(tmp_path / "ward.npy")]
    out = path.with_name("model-int8.onnx")
    monkeypatch.setattr(exporting, "CALIBRATING", 2)
    monkeypatch.setattr(exporting, "LARGEST_SHIFT_PX", -1.0)
    assert cli.main(command) == 2 and not out.exists()
    assert "joints move by" in capsys.readouterr().err
    monkeypatch.setattr(exporting, "LARGEST_SHIFT_PX", 1000.0)
    monkeypatch.setattr(exporting, "LARGEST_FOUND_OTHERWISE", 1.0)  # of a net of random weights
    assert cli.main(command) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["out"], line["precision"]) == (str(out), "int8")
    assert (line["clips"], line["calibration_clips"]) == (2, 2)
    assert line["bytes"] == out.stat().st_size
    assert 0 <= line["shift"]["onnxruntime"]["median_px"] < 64


def refused_int8(model, path, monkeypatch, capsys, change=lambda maps: maps) -> str:
    """Returns the error of an export in int8, in which `change` is applied to the model's maps."""
    np.save(path.with_name("ward.npy"), frames(12))
    monkeypatch.setattr(exporting, "CALIBRATING", 2)
    monkeypatch.setattr(exporting, "to_int8", lambda model, clips: b"")
    monkeypatch.setattr(
        exporting, "readers", lambda *_: {"this": lambda c: [change(m) for m in model.maps(c)]}
    )
    command = ["export", str(path), "--format=onnx", "--precision=int8"]
    command += ["--calibration", str(path.with_name("ward.npy"))]
    assert cli.main([*command, f"--clips={path.with_name('ward.npy')}"]) == 2
    assert not path.with_name("model-int8.onnx").exists()
    return capsys.readouterr().err


def test_int8_that_finds_no_joint_is_not_written(model, path, monkeypatch, capsys):
    said = refused_int8(model, path, monkeypatch, capsys, change=np.zeros_like)
    assert "int8 by this, none of the joints that the model finds is found" in said


def test_int8_that_loses_some_of_the_joints_is_not_written(model, path, monkeypatch, capsys):
    def three_lost(maps):  # of 12, all of which this model finds
        return np.where(np.isin(np.arange(20), [1, 4, 10]), np.float32(0), maps)

    said = refused_int8(model, path, monkeypatch, capsys, change=three_lost)
    assert "25 % of the joints are found by int8 alone or by the model alone" in said


def test_int8_is_not_compared_where_the_model_itself_finds_nothing(
    model, path, monkeypatch, capsys
):
    blind = make_model(dataclasses.replace(SPECIFICATION, target_scale=1e6))  # maps are almost 0
    blind.save(path)
    said = refused_int8(blind, path, monkeypatch, capsys)
    assert "the model finds no joint in 2 clips of" in said and "ward.npy" in said


def test_a_recording_is_read_for_an_export_as_for_a_prediction(path, tmp_path, monkeypatch, capsys):
    installed("onnx", "onnxruntime")
    monkeypatch.setattr(exporting, "LARGEST_SHIFT_PX", 1000.0)
    monkeypatch.setattr(exporting, "LARGEST_FOUND_OTHERWISE", 1.0)
    depth = frames(9)
    turned = np.stack([turn(image, 270) for image in depth])
    metres = np.pad(turned / 1000, ((0, 0), (8, 8), (8, 8)), constant_values=65.535)
    np.save(tmp_path / "plain.npy", depth)
    np.save(tmp_path / "metres.npy", metres.astype(np.float32))
    height, width = turned.shape[1:]
    same = ["--mm_per_unit=1000", "--farthest=6000", f"--crop=8,8,{width},{height}", "--rotate=90"]
    command = ["export", str(path), "--format=onnx", "--precision=int8"]
    lines = {}
    for name, options in (("plain", []), ("metres", same)):
        recording = str(tmp_path / f"{name}.npy")
        more = ["--rate=6", *options, f"--clips={recording}", f"--out={tmp_path / name}.onnx"]
        assert cli.main([*command, *more, "--calibration", recording]) == 0
        lines[name] = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (lines[name]["clips"], lines[name]["calibration_clips"]) == (3, 3)
    assert (tmp_path / "plain.onnx").read_bytes() == (tmp_path / "metres.onnx").read_bytes()
    assert lines["plain"]["shift"] == lines["metres"]["shift"]
    assert cli.main([*command, "--calibration", str(tmp_path / "metres.npy")]) == 2
    assert "--mm_per_unit" in capsys.readouterr().err


def test_options_of_a_recording_need_one(path, capsys):
    command = ["export", str(path), "--format=stablehlo"]
    assert cli.main([*command, "--rotate=90", "--rate=6"]) == 2
    said = capsys.readouterr().err
    assert "--rate, --rotate: for recordings of --clips or --calibration alone" in said
    assert cli.main([*command, "--clips=-"]) == 2
    assert "expected a file or a folder" in capsys.readouterr().err
    for option in ("--rate=0", "--rotate=45", "--crop=1,2", "--farthest=-1", "--mm_per_unit=0"):
        assert cli.main([*command, "--clips=x.npy", option]) == 2
        assert option.split("=")[1][:2] in capsys.readouterr().err


def test_int8_changes_the_maps_little(model, tmp_path):
    installed("onnx", "onnxruntime")
    inputs = clips(4)
    content = to_int8(model, inputs)
    (tmp_path / "m.onnx").write_bytes(content)
    specification, digest, precision, _ = runtime.read_onnx(tmp_path / "m.onnx")
    assert (specification, digest, precision) == (model.specification, model.digest, "int8")
    assert len(content) < len(to_onnx(model))
    expected = model.maps(inputs)
    for ours, theirs in zip(expected, engines.by_onnxruntime(content)(inputs), strict=True):
        error = np.abs(ours - theirs)
        assert 1e-5 < error.max() and error.mean() < 0.05 * np.abs(ours).max()
