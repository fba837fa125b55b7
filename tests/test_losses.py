"""Losses, validation measures, learning rates and what the two stages learn, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxpose.body.masks import Target
from jaxpose.training import losses
from jaxpose.training.loop import Optimisation
from jaxpose.training.stages import detection_objective, regression_objective, targets
from jaxpose.training.step import split_net

TARGET = Target(2.0, 4.0)
SHAPE = (2, 3, 8, 8)


def batch(**more):
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 8, (2, 3, 12, 2)).astype(np.float32)
    visible = np.ones((2, 3, 12), bool)
    return {"depth": np.zeros((*SHAPE, 1), np.float32), "xy": xy, "visible": visible} | more


class Constant(nnx.Module):
    """A net of either stage that answers one number everywhere, and keeps what it was given."""

    def __init__(self, value: float):
        self.value = nnx.Param(jnp.float32(value))

    def __call__(self, depth, maps=None, *, train: bool):
        inputs = 0 if maps is None else maps
        return jnp.broadcast_to(self.value[...], (*depth.shape[:-1], 20)) + inputs


def maps(*values):
    """[b 1 1 2 1] of pairs of pixels."""
    return jnp.array(values, jnp.float32).reshape(-1, 1, 1, 2, 1)


def test_cross_entropy_by_hand():
    # log(2) at even odds; log(1 + e^-3) for 3 on a positive, 3 more on a negative pixel
    assert float(losses.cross_entropy(maps((0, 0)), maps((0, 1)))) == pytest.approx(np.log(2))
    right = np.log1p(np.exp(-3))
    actual = float(losses.cross_entropy(maps((3, 3)), maps((1, 0))))
    assert actual == pytest.approx((right + right + 3) / 2, rel=1e-6)


@pytest.mark.parametrize("logit", [-40.0, -12.0, -1.0, 0.0, 0.5, 12.0, 40.0, 1e4])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_cross_entropy_is_exact_for_large_logits_and_its_gradient_to_the_rounding_of_sigmoid(
    logit, target
):
    pair = maps((logit, logit)), maps((target, target))
    value, gradient = jax.value_and_grad(losses.cross_entropy)(*pair)
    away = -logit if target else logit  # -log of the probability of the target, in float64
    assert float(value) == pytest.approx(np.logaddexp(0, away), rel=1e-6)
    expected = np.exp(-np.logaddexp(0, -logit)) - target
    np.testing.assert_allclose(gradient.ravel(), expected / 2, rtol=1e-6, atol=1e-7)


def test_squared_and_absolute_error_by_hand():
    a, b = maps((1, 2), (0, 0)), maps((4, 2), (1, -1))
    assert float(losses.squared_error(a, b)) == (9 + 0 + 1 + 1) / 4
    np.testing.assert_array_equal(losses.absolute_error(a, b), [1.5, 1.0])


def test_accuracy_is_the_share_of_pixels_on_the_right_side_of_one_half():
    actual = losses.pixel_accuracy(maps((2, -2), (2, 0)), maps((1, 1), (0, 0)))
    np.testing.assert_array_equal(actual, [0.5, 0.5])


def test_targets_are_the_pipeline_s_masks_or_the_same_drawn_here():
    inputs = batch()
    drawn = targets(inputs, TARGET)
    assert drawn.shape == (*SHAPE, 20)
    np.testing.assert_array_equal(drawn, TARGET.draw(jnp, inputs["xy"], inputs["visible"], (8, 8)))
    masks = jnp.full((*SHAPE, 20), 7.0)
    np.testing.assert_array_equal(jax.jit(lambda b: targets(b, TARGET))(batch(masks=masks)), masks)


def test_the_detection_stage_keeps_the_most_accurate_epoch():
    graph, weights = split_net(Constant(-1.0))
    stage = detection_objective(graph, Target(2.0))
    assert (stage.best, stage.highest) == ("val_accuracy", True)
    expected = targets(batch(), Target(2.0))
    positive = np.asarray(expected).mean(axis=(1, 2, 3, 4))
    score = stage.score(weights, None, batch())
    np.testing.assert_allclose(score["val_accuracy"], 1 - positive, rtol=1e-6)
    np.testing.assert_allclose(score["val_loss"], np.log1p(np.exp(-1)) + positive, rtol=1e-5)
    assert stage.probe is None
    # log(1 + 1/e) everywhere, one more on each positive pixel
    loss, _ = stage.loss(weights, None, batch())
    assert float(loss) == pytest.approx(np.log1p(np.exp(-1)) + positive.mean(), rel=1e-5)


class Product(nnx.Module):
    """A net of two layers of one number each, whose logits are their product."""

    def __init__(self, first: float, last: float):
        self.convs = nnx.Dict(
            {name: nnx.Dict(kernel=nnx.Param(jnp.full((1,), value)))
             for name, value in (("stem", first), ("out", last))}
        )  # fmt: skip

    def __call__(self, depth, *, train: bool):
        product = self.convs["stem"]["kernel"][...] * self.convs["out"]["kernel"][...]
        return jnp.broadcast_to(product, (*depth.shape[:-1], 20))


def test_the_gradients_of_the_first_and_the_last_layer_are_measured():
    graph, weights = split_net(Product(first=0.5, last=-3.0))
    probe = detection_objective(graph, Target(2.0), ("stem", "out")).probe
    measured = probe(weights, None, batch())
    # the slope with respect to the logit is sigmoid - target; then the other factor
    positive = float(np.asarray(targets(batch(), Target(2.0))).mean())
    slope = abs(1 / (1 + np.exp(1.5)) - positive)
    assert float(measured["gradient_first"]) == pytest.approx(3.0 * slope, rel=1e-5)
    assert float(measured["gradient_last"]) == pytest.approx(0.5 * slope, rel=1e-5)


def half(frozen, depth):
    """A detection net whose probabilities are its one weight."""
    return jnp.full((*depth.shape[:-1], 20), frozen)


def test_the_regression_stage_compares_with_masks_times_the_scale_on_top_of_probabilities():
    frozen = jnp.float32(0.5)
    graph, weights = split_net(Constant(-0.5))  # which the net here takes away again
    stage = regression_objective(graph, half, TARGET, scale=10.0)
    assert (stage.best, stage.highest) == ("val_error", False)
    expected = np.asarray(targets(batch(), TARGET))
    loss, _ = stage.loss(weights, frozen, batch())
    assert float(loss) == pytest.approx(100 * (expected**2).mean(), rel=1e-5)
    score = stage.score(weights, frozen, batch())
    np.testing.assert_allclose(score["val_error"], expected.mean(axis=(1, 2, 3, 4)), rtol=1e-5)
    np.testing.assert_allclose(score["val_unexplained"], 1, rtol=1e-5)  # all-zero maps


def test_a_regression_net_may_be_fed_true_binary_masks_instead_of_the_detected_ones():
    graph, weights = split_net(Constant(-0.5))  # answers its input minus a half
    fed = Target(TARGET.radius_px)
    stage = regression_objective(graph, half, TARGET, scale=10.0, fed=fed)
    loss, _ = stage.loss(weights, jnp.float32(0.5), batch())
    true, gaussian = (np.asarray(targets(batch(), target)) for target in (fed, TARGET))
    assert {*np.unique(true).tolist()} == {0.0, 1.0} and 0 < gaussian[true > 0].min() < 1
    assert float(loss) == pytest.approx(((true - 0.5 - 10 * gaussian) ** 2).mean(), rel=1e-5)


def rates(optimisation: Optimisation, steps_per_epoch: int, count: int) -> np.ndarray:
    """Learning rates of the first steps: plain descent of a slope of one goes down by each."""
    transform, rate = optimisation.transform(steps_per_epoch), []
    state = transform.init(jnp.zeros(()))
    update = jax.jit(transform.update)
    for _ in range(count):
        step, state = update(jnp.ones(()), state)
        rate.append(-float(step))
    return np.array(rate)


def test_the_paper_s_rate_falls_by_a_tenth_every_ten_epochs_and_not_in_between():
    actual = rates(Optimisation("sgd", 0.01, "steps", 100, momentum=0.0), 2, 61)
    expected = np.repeat([0.01, 0.009, 0.0081, 0.00729], [20, 20, 20, 1])
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.promotes_types
def test_the_cosine_goes_from_the_rate_to_zero_over_the_whole_training():
    actual = rates(Optimisation("sgd", 0.02, "cosine", 4, momentum=0.0), 3, 13)
    # (1 + cos(pi k / 12)) / 2: 1 at 0, (1 + sqrt(3)/2)/2 at 2, 3/4 at 4, 1/2 at 6, 0 at 12
    expected = 0.02 * np.array([1, (1 + 3**0.5 / 2) / 2, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(actual[[0, 2, 4, 6, 8, 12]], expected, atol=1e-8)


def test_warm_up_multiplies_the_schedule_by_a_line_from_zero_to_one():
    actual = rates(Optimisation("sgd", 1.0, "steps", 10, momentum=0.0, warmup_steps=4), 5, 6)
    np.testing.assert_allclose(actual, [0, 0.25, 0.5, 0.75, 1, 1])


def test_momentum_keeps_98_percent_of_the_step_before():
    actual = rates(Optimisation("sgd", 1.0, "steps", 10), 5, 3)
    np.testing.assert_allclose(actual, [1, 1.98, 1 + 0.98 * 1.98], rtol=1e-6)


@pytest.mark.promotes_types
def test_adam_s_first_step_is_the_rate_whatever_the_slope():
    transform = Optimisation("adam", 0.01, "steps", 10).transform(5)
    step, _ = transform.update(jnp.float32(1234), transform.init(jnp.zeros(())))
    assert float(step) == pytest.approx(-0.01, rel=1e-5)
    assert isinstance(transform, optax.GradientTransformation)
