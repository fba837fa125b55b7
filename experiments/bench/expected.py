"""What was written down before anything was measured, and what is to be reached."""

import dataclasses

from experiments.bench.cases import Case


@dataclasses.dataclass(frozen=True)
class Bar:
    """How much faster we must be than PyTorch (the better of eager and compiled), or than JAX's
    own 3-D convolution."""

    task: tuple
    """net, variant, what, batch."""
    must: float
    aim: float
    over: tuple[str, ...] = ("torch_eager", "torch_compile")


BARS = {
    "paper": (
        Bar(("regression", "asy", "forward", 1), 1.0, 1.3),
        Bar(("regression", "full", "forward", 1), 1.0, 1.3),
        Bar(("regression", "asy", "train_step", 2), 0.9, 1.5),
        Bar(("regression", "full", "train_step", 2), 0.6, 1.2),
        Bar(("detection", "", "forward", 1), 0.8, 1.2),
        Bar(("detection", "", "train_step", 2), 0.8, 1.2),
        Bar(("regression", "asy", "train_step", 2), 2.0, 3.0, ("jax_conv3d",)),
    ),
    "default": (
        Bar(("detection", "", "train_step", 16), 0.8, 1.2),
        Bar(("regression", "asy", "train_step", 8), 0.8, 1.2),
        Bar(("regression", "full", "train_step", 8), 0.8, 1.2),
    ),
}
"""By size; issue "Count it, time it, make it fast"."""


@dataclasses.dataclass(frozen=True)
class Side:
    """Which case a prediction speaks of. Peers have their own implementation; ours the lowering
    that is looked at."""

    net: str = ""
    variant: str = ""
    what: str = "forward"
    batch: int = 1
    dtype: str = "float32"
    implementation: str | None = None
    lowering: str | None = None
    """None: every one of ours in turn."""

    def fits(self, case: Case, lowering: str) -> bool:
        same = (case.net, case.variant, case.what, case.batch, case.dtype) == (
            *(self.net, self.variant, self.what, self.batch, self.dtype),
        )
        if self.implementation is not None:
            return same and case.implementation == self.implementation and not lowering
        expected = self.lowering or lowering
        return same and bool(lowering) and case.lowering == expected == lowering


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A speed-up of `of` over `over`, or, without `over`, ms."""

    what: str
    value: float
    of: Side
    over: Side = Side()
    sizes: tuple[str, ...] = ("paper",)
    platform: str = "cpu"
    explanation: str = ""
    """Why it was missed, once it was."""


def _over_full(claim: str, value: float, variant: str = "asy", **options) -> Prediction:
    side = {k: options.pop(k) for k in ("what", "batch", "dtype") if k in options}
    of = Side("regression", variant, **side)
    return Prediction(claim, value, of, Side("regression", "full", **side), **options)


def _ms(claim: str, value: float, variant: str, explanation: str = "", **side) -> Prediction:
    return Prediction(claim, value, Side("regression", variant, **side), explanation=explanation)


PREDICTIONS = (
    # by the roofline of two AVX-512 cores (358 GFLOP/s, 20 GB/s), nominal MACs
    _over_full(
        *("asy over full, forward, fused, roofline", 2.28),
        explanation="onednn: kernels in one direction reach 210 to 270 GFLOP/s, 3x3x3 ones 280 to "
        "290; folded: a kernel in one direction moves as many bytes as a 2-D convolution of "
        "3x3, for a third of its products; full's cost more but run at a higher rate",
    ),
    _over_full("asy over full, forward, useful MACs alone", 1.92),
    _over_full(
        *("asy over full, training step, roofline", 1.97),
        **{"what": "train_step", "batch": 2},
        explanation="onednn: asy has 2.4 times as many channels to normalise, which takes memory "
        "and not products; folded: XLA's weight gradient of a 3x3x3 kernel is slow, of a kernel in "
        "one direction it is a matrix product",
    ),
    _over_full("r2plus1d over full, forward, nominal MACs alone", 1.0, "r2plus1d"),
    _over_full("thin over full, forward, nominal MACs alone", 2.29, "thin"),
    _over_full("dwsep over full, forward, roofline", 9.5, "dwsep"),
    Prediction(
        "asy over full, detection and regression, nominal MACs alone",
        1.91,
        Side("pipeline", "asy"),
        Side("pipeline", "full"),
    ),
    # measured earlier on such a machine, ms
    _ms("asy forward, JAX's 3-D convolution, ms", 948, "asy", lowering="conv3d"),
    _ms(
        *("full forward, JAX's 3-D convolution, ms", 2333, "full"),
        lowering="conv3d",
        explanation="probably a newer jaxlib, and memory that the process keeps between calls",
    ),
    _ms("asy forward, folded, ms", 522, "asy", lowering="folded"),
    _ms("full forward, folded, ms", 1077, "full", lowering="folded"),
    _ms("asy forward, PyTorch eager, ms", 454, "asy", implementation="torch_eager"),
    _ms("full forward, PyTorch eager, ms", 1096, "full", implementation="torch_eager"),
    _ms("asy forward, ONNX Runtime, ms", 543, "asy", implementation="onnxruntime"),
    _ms("full forward, ONNX Runtime, ms", 1304, "full", implementation="onnxruntime"),
    _ms("asy forward, OpenVINO, ms", 385, "asy", implementation="openvino"),
    _ms("full forward, OpenVINO, ms", 831, "full", implementation="openvino"),
    # bfloat16 does not pay on a CPU
    *(
        Prediction(
            f"{v} forward, bfloat16 over float32",
            1.0,
            Side("regression", v, dtype="bfloat16"),
            Side("regression", v),
            sizes=("paper", "default"),
        )
        for v in ("asy", "full")
    ),
    # an H200 in TF32, by its roofline
    _over_full("asy over full, forward, TF32", 1.36, dtype="tf32", batch=16, platform="gpu"),
    _over_full(
        *("asy over full, training step, TF32", 1.2),
        **{"dtype": "tf32", "what": "train_step", "batch": 16, "platform": "gpu"},
    ),
)
