"""The two nets: shapes, where they start, how far they see, how they are computed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from lowerings import CONV3D as XLA
from lowerings import EXACT, LOWERINGS

from jaxpose.nets.compute import Computation, apply_folded, fold_net, shift_in_time
from jaxpose.nets.detection import SHRINK
from jaxpose.nets.factorise import FACTORISATIONS, VARIANTS
from jaxpose.nets.modules import DetectionNet, RegressionNet
from jaxpose.training.step import run_net, split_net

TINY = 1 / 32
CLIP = (1, 3, 16, 16)
"""Batch, frames, rows, columns."""
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""To compile, that is: these tests spend their time on nothing else."""
CONV3D = Computation(XLA)
run_jitted = jax.jit(run_net, static_argnums=0, static_argnames="train", compiler_options=QUICK)


@pytest.fixture(scope="module", autouse=True)
def kernels_drawn_by_numpy():
    """Glorot's variance without a compilation for every shape; `test_layers` tests the real one."""

    def glorot():
        def init(key, shape, dtype):
            taps, (cin, cout) = np.prod(shape[:3]), shape[3:]
            if isinstance(key, jax.core.Tracer):  # only the shape is asked for
                return jnp.zeros(shape, dtype)
            draw = np.random.default_rng(jax.random.key_data(key).tolist()).normal(size=shape)
            return jnp.asarray(draw * (2 / (taps * (cin + cout))) ** 0.5, dtype)

        return init

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nnx.initializers, "glorot_uniform", glorot)
        yield


def normal(seed: int, *shape: int):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def regression(variant="asy", width=TINY, **options) -> RegressionNet:
    options = {"computation": CONV3D, "rngs": nnx.Rngs(0)} | options
    return RegressionNet(VARIANTS[variant], width=width, **options)


def detection(**options) -> DetectionNet:
    return DetectionNet(**{"width": 2 * TINY, "computation": CONV3D, "rngs": nnx.Rngs(0)} | options)


def inputs(net) -> list:
    both = [normal(0, *CLIP, 1), jax.nn.sigmoid(normal(1, *CLIP, 20))]
    return both[: 1 if isinstance(net, DetectionNet) else 2]


def call(net, *, train: bool, x=None):
    """Output and new statistics, jitted."""
    return run_jitted(*split_net(net), *(x or inputs(net)), train=train)


@pytest.mark.parametrize("variant", VARIANTS)
def test_regression_gives_20_maps_of_the_clip_s_size(variant):
    out = nnx.eval_shape(lambda: regression(variant)(*inputs(None), train=False))
    assert out.shape == (*CLIP, 20) and out.dtype == jnp.float32


def test_regression_takes_any_grid():
    x = [normal(0, 2, 1, 5, 7, 1), normal(1, 2, 1, 5, 7, 20)]
    assert nnx.eval_shape(lambda: regression()(*x, train=True)).shape == (2, 1, 5, 7, 20)


@pytest.mark.parametrize("grid", [(16, 16), (32, 48), (96, 128)])
@pytest.mark.parametrize("frames", [1, 3])
def test_detection_gives_20_maps_of_the_clip_s_size(grid, frames):
    depth = jnp.zeros((2, frames, *grid, 1))
    out = nnx.eval_shape(lambda: detection()(depth, train=False))
    assert out.shape == (2, frames, *grid, 20) and out.dtype == jnp.float32


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("grid", [(24, 32), (16, 40)])
def test_detection_refuses_a_grid_that_does_not_divide_by_16(grid, lowering):
    assert SHRINK == 16
    with pytest.raises(ValueError, match="divisible by"):
        nnx.eval_shape(
            lambda: detection(computation=Computation(lowering))(
                jnp.zeros((1, 1, *grid, 1)), train=False
            )
        )


def test_the_regression_s_output_is_linear_and_may_be_negative():
    out, _ = call(regression(width=0.1), train=False)
    assert float(out.min()) < 0 < float(out.max())


def test_zero_output_starts_from_empty_maps_and_learns_all_the_same():
    net = regression(zero_output=True)
    out, _ = call(net, train=True)
    assert not out.any()
    graph, weights = split_net(net)

    def loss(params):
        maps, _ = run_net(graph, weights._replace(params=params), *inputs(net), train=True)
        return jnp.mean((maps - 1) ** 2)

    gradient = jax.jit(jax.grad(loss), compiler_options=QUICK)(weights.params)
    assert jnp.abs(gradient["convs"]["output"]["kernel"][...]).max() > 1e-3


def test_the_detector_s_first_guess_is_its_output_bias():
    net = detection(output_bias=-4.5)
    np.testing.assert_array_equal(net.convs["out"].bias[...], np.full(20, -4.5))
    out, _ = call(net, train=False, x=[jnp.zeros((*CLIP, 1))])
    np.testing.assert_allclose(out, -4.5, atol=1e-6)  # no depth, no other bias


def assert_same_tree(actual, expected, tolerance):
    """Every leaf to `tolerance` of the largest number of any."""
    largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(expected))
    assert largest > 0
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert float(jnp.abs(a - b).max()) < tolerance * largest


@pytest.mark.parametrize("lowering", EXACT)
@pytest.mark.parametrize(
    "make",
    [
        *(functools.partial(regression, v, 1 / 16) for v in ("full", "asy", "dwsep")),
        *(functools.partial(regression, v, 1 / 16) for v in ("asy_linear", "planar_shift")),
        detection,
    ],
)
def test_a_whole_net_gives_the_same_under_every_lowering(make, lowering):
    actual, expected = (
        call(make(computation=Computation(low)), train=False)[0] for low in (lowering, XLA)
    )
    assert_same_tree(actual, expected, 1e-5)


@pytest.mark.parametrize("lowering", EXACT)
@pytest.mark.parametrize(
    "make",
    [functools.partial(regression, width=1 / 16), pytest.param(detection, marks=pytest.mark.slow)],
)
def test_a_whole_net_learns_the_same_under_every_lowering(make, lowering):
    def gradients(lowering):
        net = make(computation=Computation(lowering))
        graph, weights = split_net(net)

        def loss(params, x):
            out, _ = run_net(graph, weights._replace(params=params), *x, train=False)
            return jnp.sum(out * normal(5, *out.shape))

        return jax.jit(jax.grad(loss, (0, 1)), compiler_options=QUICK)(weights.params, inputs(net))

    actual, expected = map(gradients, (lowering, XLA))
    assert expected[1][0].any()  # it reaches the depth, so no layer is dead
    assert_same_tree(actual, expected, 1e-5)


@pytest.mark.parametrize("variant", ["asy", "thin"])
def test_a_pixel_is_seen_up_to_four_pixels_and_four_frames_away(variant):
    # four layers of one pixel each; weights made positive, so that no ReLU and no sum hides it
    net = regression(variant, width=0.02)
    for conv in net.convs.values():
        conv.kernel[...] = jnp.abs(conv.kernel[...]) + 0.01
    depth, maps = jnp.zeros((1, 11, 13, 13, 1)), jnp.zeros((1, 11, 13, 13, 20))
    out, _ = call(net, train=False, x=[depth.at[0, 5, 6, 6, 0].set(1e3), maps])
    expected = np.zeros((11, 13, 13), bool)
    expected[1:10, 2:11, 2:11] = True
    np.testing.assert_array_equal(np.asarray(out[0] > 0).any(-1), expected)


@pytest.mark.parametrize("make", [regression, detection])
def test_every_batch_norm_of_a_net_learns_its_statistics_in_training_only(make):
    net = make()
    _, before = split_net(net)
    _, after = call(net, train=True)
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), before.stats, after)
    assert jax.tree.leaves(changed) and all(jax.tree.leaves(changed))
    _, after = call(net, train=False)
    assert not any(
        jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), before.stats, after))
    )


def test_a_bias_under_batch_norm_has_no_gradient_and_everything_else_has():
    net = regression(width=0.1)
    graph, weights = split_net(net)

    def loss(params):
        out, _ = run_net(graph, weights._replace(params=params), *inputs(net), train=True)
        return jnp.mean((out - normal(5, *out.shape)) ** 2)

    gradient = jax.jit(jax.grad(loss), compiler_options=QUICK)(weights.params)
    for name, conv in gradient["convs"].items():
        last = name == "output"
        assert bool(conv["bias"][...].any()) == last, name
        assert conv["kernel"][...].any()
        assert last or (conv["norm"]["scale"][...].any() and conv["norm"]["bias"][...].any())


@pytest.mark.parametrize("make", [regression, pytest.param(detection, marks=pytest.mark.slow)])
@pytest.mark.promotes_types
def test_bfloat16_is_for_activations_and_parameters_stay_float32(make):
    net = make(computation=Computation(XLA, dtype="bfloat16"))
    _, weights = split_net(net)
    out, stats = call(net, train=True)
    leaves = jax.tree.leaves((weights, stats, out))
    assert {x.dtype for x in leaves} == {jnp.dtype("float32")}
    assert all(bool(jnp.isfinite(x).all()) for x in leaves)
    assert (out != call(make(), train=True)[0]).any()  # it is not float32 after all


@pytest.mark.parametrize(
    "make",
    [
        *(functools.partial(regression, v, 1 / 16) for v in ("asy", "dwsep", "asy_linear")),
        functools.partial(regression, "planar_shift", 1 / 8),  # layer 2 shifts one channel
        detection,
    ],
)
def test_folding_batch_norm_into_the_kernels_changes_no_map(make):
    net = make()
    for number, (_, module) in enumerate(nnx.iter_modules(net)):
        if isinstance(module, nnx.BatchNorm):  # as after a training, and never near zero
            size = module.scale[...].shape
            module.scale[...] = 1.5 + 0.3 * jnp.sin(normal(number, *size))
            module.bias[...] = normal(number + 1000, *size)
            module.mean[...] = 0.1 * normal(number + 2000, *size)
            module.var[...] = 0.5 + jnp.abs(normal(number + 3000, *size))
    graph, weights = split_net(net)
    expected, _ = run_jitted(graph, weights, *inputs(net), train=False)
    folded = fold_net(net.weights(), CONV3D.bn_epsilon)
    assert all(set(layer._fields) == {"kernel", "bias"} for layer in folded.values())
    predict = jax.jit(lambda folded, *x: apply_folded(net.net, folded, CONV3D, *x))
    assert_same_tree(predict(folded, *inputs(net)), expected, 1e-5)


def frames_that_change(net, frame: int) -> set[int]:
    """Frames of the output that change when one frame of the input does."""
    x = inputs(net)
    changed = [part.at[:, frame].add(1.0) for part in x]
    before, after = (call(net, train=False, x=one)[0] for one in (x, changed))
    return {int(t) for t in jnp.flatnonzero(jnp.abs(after - before).max(axis=(0, 2, 3, 4)) > 0)}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (functools.partial(regression, "planar", 1 / 4), {0}),
        (functools.partial(regression, "planar_shift", 1 / 4), {0, 1, 2}),
        (functools.partial(detection, factorise=FACTORISATIONS["planar"]), {0}),
        (functools.partial(detection, factorise=FACTORISATIONS["full"]), {0, 1, 2}),
    ],
)
def test_a_planar_net_computes_each_frame_alone_unless_channels_are_shifted(make, expected):
    assert frames_that_change(make(), frame=0) == expected


def test_a_shift_takes_an_eighth_of_the_channels_from_each_neighbour():
    # frame t has t + 1 everywhere
    x = jnp.broadcast_to(jnp.arange(1.0, 4.0)[:, None], (1, 1, 1, 3, 17)).transpose(0, 3, 1, 2, 4)
    shifted = shift_in_time(x)[0, :, 0, 0]
    expected = [[2, 2, 0, 0], [3, 3, 1, 1], [0, 0, 2, 2]]  # 17 // 8 channels either way
    np.testing.assert_array_equal(shifted[:, :4], expected)
    np.testing.assert_array_equal(shifted[:, 4:], x[0, :, 0, 0, 4:])


@pytest.mark.parametrize("name", FACTORISATIONS)
def test_a_detection_net_of_every_factorisation_gives_20_maps(name):
    net = lambda: detection(factorise=FACTORISATIONS[name])  # noqa: E731
    out = nnx.eval_shape(lambda: net()(jnp.zeros((*CLIP, 1)), train=True))
    assert out.shape == (*CLIP, 20)


def test_weights_survive_a_round_trip_and_another_shape_is_refused():
    net, other = regression(), regression(rngs=nnx.Rngs(7))
    other.set_weights(net.weights())
    for a, b in zip(jax.tree.leaves(net.weights()), jax.tree.leaves(other.weights()), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"layer1/a: kernel has shape .*, expected \(1, 3, 1"):
        regression(width=2 * TINY).set_weights(net.weights())
