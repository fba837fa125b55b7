"""A model as one file, and its way from depth to poses."""

import copy
import dataclasses
import json
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from lowerings import FOLDED, NEEDS_ONEDNN, ONEDNN
from models import SPECIFICATION, make_model
from safetensors.numpy import load_file, save_file

import jaxpose
from jaxpose import cli
from jaxpose.body import geometry
from jaxpose.decoding.peaks import Decoding
from jaxpose.errors import ModelError
from jaxpose.model import Model
from jaxpose.nets.factorise import FACTORISATIONS
from jaxpose.nets.modules import DetectionNet
from jaxpose.recordings.clips import clip_plan
from jaxpose.specification import Specification


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture
def path(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def frames(count: int, seed: int = 0) -> np.ndarray:
    """Depth images of 120x90 px with holes."""
    rng = np.random.default_rng(seed)
    depth = rng.integers(600, 900, (count, 90, 120)).astype(np.uint16)
    depth[rng.random(depth.shape) < 0.05] = 0
    return depth


def test_a_model_survives_a_round_trip_bit_for_bit(model, path, tmp_path):
    loaded = Model.load(path, lowering=FOLDED)
    assert loaded.specification == model.specification
    assert loaded.digest == model.digest and len(model.digest) == 64
    clips = model.clips(model.to_grid(frames(6), (0, 0, 120, 90)).reshape(2, 3, 32, 48))
    for ours, theirs in zip(loaded.maps(clips), model.maps(clips), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []


def test_batch_norm_is_stored_unfolded_so_that_training_can_go_on(path):
    names = load_file(path)
    stem = sorted(n for n in names if n.startswith("detection/stem/a/"))
    assert [n.removeprefix("detection/stem/a/") for n in stem] == [
        "bias",
        "kernel",
        "norm/mean",
        "norm/scale",
        "norm/shift",
        "norm/variance",
    ]
    assert "regression/output/norm/mean" not in names


def test_maps_are_those_of_the_flax_modules(model):
    detection = DetectionNet(width=1 / 32, factorise=FACTORISATIONS["asy"], rngs=nnx.Rngs(5))
    detection.set_weights(model.weights["detection"])
    for conv in detection.convs.values():
        if conv.norm is not None:
            conv.norm.epsilon = SPECIFICATION.bn_epsilon
    clips = np.random.default_rng(1).normal(size=(2, 3, 32, 48, 1)).astype(np.float32)
    apply = nnx.jit(DetectionNet.__call__, static_argnames="train")
    expected = nnx.sigmoid(apply(detection, jnp.asarray(clips), train=False))
    np.testing.assert_allclose(model.maps(clips).detection, expected, atol=1e-5)


def test_a_smaller_last_batch_changes_no_map(model):
    clips = np.random.default_rng(1).normal(size=(3, 3, 32, 48, 1)).astype(np.float32)
    for one, many in zip(model.maps(clips, 2), model.maps(clips, 3), strict=True):
        assert one.shape == (3, 3, 32, 48, 20)
        np.testing.assert_allclose(one, many, atol=1e-6)


@given(st.integers(3, 40), st.sampled_from([1, 3]))
def test_every_frame_has_a_clip_and_with_a_stride_of_1_it_stands_in_the_middle(count, stride):
    starts, clip_of, position = clip_plan(count, 3, stride)
    assert starts[0] == 0 and starts[-1] == count - 3
    np.testing.assert_array_equal(starts[clip_of] + position, np.arange(count))
    assert ((position >= 0) & (position < 3)).all() and (np.diff(clip_of) >= 0).all()
    if stride == 1:
        assert (position[1:-1] == 1).all() and (position[0], position[-1]) == (0, 2)
    else:
        assert (starts[:-1] % 3 == 0).all() and len(starts) == -(-count // 3)


@pytest.mark.parametrize("crop", [None, (20, 10, 90, 60)])
@pytest.mark.parametrize("count", [3, 7, 20])
def test_poses_are_decoded_maps_in_camera_pixels(model, crop, count):
    depth = frames(count)
    poses = model.poses(depth, stride=3, crop=crop, batch_size=2)
    crop = crop or (0, 0, 120, 90)
    grid = model.to_grid(depth, crop)
    for first in range(0, count - count % 3, 3):
        maps = model.maps(model.clips(grid[None, first : first + 3]))
        expected = model.decode(maps.regression[0])
        xy = geometry.joints_from_grid(expected.xy, np.array(crop), (32, 48))
        np.testing.assert_allclose(poses.xy[first : first + 3], xy, atol=1e-3)
        np.testing.assert_array_equal(poses.found[first : first + 3], expected.found)
    overlapping = model.poses(depth, crop=crop)
    maps = model.maps(model.clips(np.stack([grid[k - 1 : k + 2] for k in range(1, count - 1)])))
    middle = model.decode(maps.regression[:, 1])
    np.testing.assert_allclose(
        overlapping.xy[1:-1],
        geometry.joints_from_grid(middle.xy, np.array(crop), (32, 48)),
        atol=1e-3,
    )
    assert len(overlapping.xy) == len(poses.xy) == count


def test_combined_maps_are_the_geometric_mean_of_both_nets(model):
    both = Model(
        dataclasses.replace(SPECIFICATION, maps="combined"), model.weights, lowering=FOLDED
    )
    clips = np.random.default_rng(1).normal(size=(1, 3, 32, 48, 1)).astype(np.float32)
    maps = both.maps(clips)
    expected = np.sqrt(maps.detection * np.maximum(maps.regression, 0))
    np.testing.assert_array_equal(both.decoded_maps(maps), expected)
    np.testing.assert_array_equal(model.decoded_maps(maps), maps.regression)


def test_fewer_frames_than_a_clip_and_other_strides_are_refused(model):
    with pytest.raises(ValueError, match="2 frames: expected at least 3"):
        model.poses(frames(2))
    with pytest.raises(ValueError, match="stride=2: expected 1 or 3"):
        model.poses(frames(6), stride=2)


def rewrite(path, change) -> None:
    """Writes the file again with another header or other tensors."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    header, tensors = json.loads(metadata["jaxpose"]), load_file(path)
    change(header, tensors)
    save_file(tensors, path, metadata={"jaxpose": json.dumps(header)})


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda p: p.unlink(), "no such file"),
        (lambda p: p.write_bytes(b""), "cannot be read"),
        (lambda p: p.write_bytes(b"PK\x03\x04 something else"), "cannot be read"),
        (lambda p: p.write_bytes(p.read_bytes()[:-10]), "cannot be read"),
        (lambda p: (p.unlink(), p.mkdir()), "is a folder"),
        (flip_a_bit, "do not match their hash"),
        (lambda p: save_file({"a": np.zeros(3)}, p), "is not a jaxpose model"),
        (lambda p: rewrite(p, lambda h, t: h.update(format=99)), "format 99 is newer"),
        (lambda p: rewrite(p, lambda h, t: h.update(format="x")), "unknown format 'x'"),
        (lambda p: rewrite(p, lambda h, t: h.pop("digest")), "header is damaged"),
        (
            lambda p: rewrite(p, lambda h, t: h["specification"].update(variant="full")),
            "do not match their hash",
        ),
        (lambda p: rewrite(p, lambda h, t: t.popitem()), "do not match their hash"),
    ],
)
def test_an_unusable_file_is_refused_with_its_name_and_the_reason(path, damage, words):
    damage(path)
    with pytest.raises(ModelError) as refused:
        Model.load(path)
    assert str(path) in str(refused.value) and words in str(refused.value)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"variant": "asym"}, "unknown variant 'asym'"),
        ({"grid": (30, 48)}, "30 rows, expected a multiple of 16"),
        ({"grid": (32, 2**20)}, "columns, expected a multiple"),
        ({"target_scale": 0.0}, "target_scale is 0.0"),
        ({"depth_scale_mm": float("nan")}, "depth_scale_mm is nan"),
        ({"joints": ("nose",)}, "another skeleton"),
        (
            {"background_mm": float("inf")},
            "background_mm is inf, expected a number above -1e.06, at most 1e.06",
        ),
        ({"clip_frames": 0}, "clip_frames is 0, expected an integer from 1"),
        ({"clip_frames": 2**40}, "clip_frames is 1099511627776"),
        ({"frame_interval_s": -1.0}, "frame_interval_s is -1.0, expected a number above 0"),
        ({"mean_pose": ((1.0, 2.0),) * 11}, "mean_pose has 11 joints, expected 12"),
        ({"mean_pose": ((1.0, float("nan")),) * 12}, "mean_pose of right_shoulder is nan"),
        ({"decoding": Decoding(0.0)}, "decoding.radius_px is 0.0"),
        ({"decoding": Decoding(2.0, 1.5)}, "decoding.min_score is 1.5, .* at most 1"),
        ({"decoding": Decoding(2.0, max_candidates=0)}, "decoding.max_candidates is 0"),
        ({"regression_width": 1 / 8}, "kernel has shape"),
    ],
)
def test_a_specification_that_no_model_can_have_is_refused(model, change, words):
    with pytest.raises(ModelError, match=words):
        Model(dataclasses.replace(SPECIFICATION, **change), model.weights)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("grid", (32.0, 48), "32.0 rows, expected a multiple of 16"),
        ("clip_frames", True, "clip_frames is True, expected an integer"),
        ("bn_epsilon", "1e-5", "bn_epsilon is '1e-5', expected a number above 0"),
        ("linking", "os.system", "unknown linking 'os.system'"),
        ("variant", ["asy"], r"unknown variant \['asy'\]"),
        ("provenance", "Rome", "provenance is 'Rome', expected a JSON object"),
        ("decoding.min_score", "0.1", "decoding.min_score is '0.1'"),
        ("decoding.points", 2.5, "decoding.points is 2.5"),
    ],
)
def test_a_value_of_another_type_is_refused(name, value, words):
    edited = copy.deepcopy(SPECIFICATION)
    *outer, field = name.split(".")
    # Past the constructor, whose types this test environment checks; users' Python does not.
    object.__setattr__(getattr(edited, outer[0]) if outer else edited, field, value)
    with pytest.raises(ModelError, match=words):
        edited.check()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"mean_pose": [[1, 2, 3]]}, r"mean_pose is \[\[1, 2, 3\]\], which no model has"),
        ({"grid": 32}, "grid is 32, which no model has"),
        ({"decoding": {"radius_px": 2.0}}, "decoding is .*, which no model has"),
        ({"calibration": {}}, "calibration is {}, which no model has"),
        ({"calibration": []}, r"calibration is \[\], which no model has"),
        ({"detection_width": 1e308}, "detection_width is 1e.308, .* at most 64"),
        ({"depth_scale_mm": 1e308}, "depth_scale_mm is 1e.308, .* at most 1e.06"),
        ({"provenance": {"subjects": []}}, r"provenance.subjects is \[\], expected lists"),
        ({"provenance": {"subjects": {"test": [3]}}}, "provenance.subjects is .*, expected lists"),
        ({"decoding": {"radius_px": 2.0, "radius": 1}}, "decoding is .*, which no model has"),
        ({"a": 1, "b": 2}, "unknown field 'a'"),
        ({"variant": "asym"}, "^unknown variant 'asym'"),
    ],
)
def test_a_specification_that_was_edited_is_refused_by_the_name_of_its_key(change, words):
    values = json.loads(json.dumps(SPECIFICATION.as_json()))
    assert Specification.from_json(values) == SPECIFICATION
    with pytest.raises(ModelError, match=words):
        Specification.from_json({**values, **change})


def test_a_model_needs_all_its_weights_and_a_way_to_compute_them(model):
    layers = {name: w for name, w in model.weights["regression"].items() if name != "layer5"}
    with pytest.raises(ModelError, match="regression/layer5: there are no weights of this layer"):
        Model(SPECIFICATION, {**model.weights, "regression": layers}, lowering=FOLDED)
    with pytest.raises(ModelError, match="detection/.*: there are no weights"):
        Model(SPECIFICATION, {"regression": layers}, lowering=FOLDED)
    with pytest.raises(ModelError, match="precision='float16': expected one of: float32, bfloat16"):
        Model(SPECIFICATION, model.weights, precision="float16")
    broken = dataclasses.replace(FOLDED, unavailable=lambda dtype: f"there is no {dtype} here")
    with pytest.raises(ModelError, match="lowering folded, float32: there is no float32 here"):
        Model(SPECIFICATION, model.weights, lowering=broken)


def test_weights_that_are_not_finite_are_refused(model):
    layers = dict(model.weights["regression"])
    layers["layer5"] = layers["layer5"]._replace(bias=np.full(16, np.nan, np.float32))
    with pytest.raises(ModelError, match="regression/layer5: bias holds values that are"):
        Model(SPECIFICATION, {**model.weights, "regression": layers})


USE = """
import sys
import numpy as np
import jaxpose
model = jaxpose.Model.load(sys.argv[1])
poses = model.poses(np.full((4, 90, 120), 700, np.uint16))
assert poses.xy.shape == (4, 12, 2)
heavy = ("tensorflow", "orbax", "flax", "optax", "data_pipeline", "experiments", "matplotlib")
print([name for name in heavy if name in sys.modules])
"""


def test_a_model_is_used_without_training_code(path):
    done = subprocess.run([sys.executable, "-c", USE, path], stdout=-1, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_jaxpose_imports_no_jax():
    code = "import sys, jaxpose.body.geometry; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], stdout=-1, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert jaxpose.Model is Model and "Model" in jaxpose.__all__
    with pytest.raises(AttributeError, match="no attribute 'Modle'"):
        _ = jaxpose.Modle


@pytest.mark.parametrize("named", [True, False])
def test_info_says_what_a_model_is(named, path, model, capsys, monkeypatch):
    monkeypatch.setattr("jaxpose.estimator.shipped_model", lambda: path)
    assert cli.main(["info", str(path)] if named else ["info"]) == 0
    out = capsys.readouterr()
    values = json.loads(out.out)
    assert values["digest"] == model.digest and values["variant"] == "asy"
    assert values["bytes"] == path.stat().st_size
    assert "asy, width 0.0625" in out.err and "48x32" in out.err and "seed" in out.err


@pytest.mark.parametrize(
    "metrics, words",
    [
        (
            {
                "rmsd_fallback_px": {"all": {"median": 2, "mean": 4}},
                "missed_rate": 0.05,
                "n_frames": 7,
            },
            "median 2.00, mean 4.00 px of 128x96, 5.0 % of the joints missing, in 7 test frames",
        ),
        ({"of": "another program"}, '{"of": "another program"}'),
    ],
)
def test_info_says_how_good_a_model_was(model, tmp_path, capsys, metrics, words):
    model.with_provenance(metrics=metrics).save(tmp_path / "m.safetensors")
    assert cli.main(["info", str(tmp_path / "m.safetensors")]) == 0
    assert words in capsys.readouterr().err


def test_info_refuses_what_is_no_model(tmp_path, capsys):
    assert cli.main(["info", str(tmp_path / "no.safetensors")]) == 2
    out = capsys.readouterr()
    assert "no such file" in out.err and not out.out


@NEEDS_ONEDNN
def test_maps_by_one_recorded_program_are_those_of_the_jitted_nets():
    jitted = make_model()
    recorded = Model(SPECIFICATION, jitted.weights, lowering=ONEDNN)
    grid = np.random.default_rng(0).normal(1000, 100, (5, 3, *SPECIFICATION.grid))
    clips = jitted.clips(grid.astype(np.float32))
    for batch_size in (2, 3):  # a shape each, and a batch that is filled up
        expected, actual = (m.maps(clips, batch_size) for m in (jitted, recorded))
        for one, other in zip(expected, actual, strict=True):
            assert other.dtype == np.float32
            np.testing.assert_allclose(other, one, rtol=0, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m: m.poses(frames(4), batch_size=0), "batch_size=0: expected 1 or more"),
        (lambda m: m.poses(frames(4), crop=(0, 0, 0, 9)), r"crop=\(0, 0, 0, 9\): expected"),
        (lambda m: m.maps(np.zeros((0, 3, 32, 48, 1), "f4")), r"clips are \[0, 3, 32, 48, 1\]"),
        (lambda m: m.maps(np.zeros((1, 3, 32, 32, 1), "f4")), r"1 or more of \[3, 32, 48, 1\]"),
        (lambda m: m.decode(np.zeros((1, 32, 48, 20), "f4"), "tree"), "unknown linking 'tree'"),
        (lambda m: jaxpose.Estimator(m, batch_size=0), "batch_size=0: expected 1 or more"),
        (lambda m: jaxpose.Estimator(m)(frames(4), rate_hz=0.0), "rate_hz=0: expected a number"),
    ],
)  # fmt: skip
def test_an_argument_that_cannot_be_used_is_named(model, call, words):
    with pytest.raises(ValueError, match=words):
        call(model)


def test_a_lowering_can_be_named(path):
    assert Model.load(path, lowering="folded").lowering is FOLDED
    with pytest.raises(ValueError, match="unknown lowering 'conv2d'; one of: conv3d, folded"):
        Model.load(path, lowering="conv2d")
