"""Predictions from before the first measurement, and targets of the study."""

import dataclasses

from experiments.bench.cases import OURS, PEERS, Case
from experiments.bench.comparisons import PYTORCH


@dataclasses.dataclass(frozen=True)
class Bar:
    """A target for our speed-up over the better of the opponents `over`.

    Attributes:
      task: (net, variant, what, batch).
      must: least speed-up that is acceptable. It is missed if the whole interval lies below it.
      aim: speed-up that is aimed at.
      over: implementations; the better one is the opponent. `OURS`: our fastest case.
      dtype: our type.
      over_dtype: the opponents' type.
      isa: beginning of the names of the instruction sets with which the target exists; "": any.
    """

    task: tuple[str, str, str, int]
    must: float
    aim: float
    over: tuple[str, ...] = PYTORCH
    dtype: str = "float32"
    over_dtype: str = "float32"
    isa: str = ""

    def exists(self, isa: str | None) -> bool:
        """Tells whether there is a target on a CPU with this instruction set; None: unknown."""
        return (isa or "").startswith(self.isa)


@dataclasses.dataclass(frozen=True)
class Limit:
    """A target for the median time of our fastest case.

    Attributes:
      task: (net, variant, what, batch).
      dtype: its type.
      must_ms: longest time that is acceptable.
      aim_ms: time that is aimed at.
      isa: as in `Bar`.
    """

    task: tuple[str, str, str, int]
    dtype: str
    must_ms: float
    aim_ms: float
    isa: str = ""

    def exists(self, isa: str | None) -> bool:
        """Tells whether there is a target on a CPU with this instruction set; None: unknown."""
        return (isa or "").startswith(self.isa)


AMX = "AVX-512 AMX"
"""Beginning of the names of the instruction sets with matrix units."""
NETS = (("regression", "asy"), ("regression", "full"), ("regression", "thin"), ("detection", ""))


def _bars(batches: tuple[int, ...], steps: dict[str, int]) -> tuple[Bar, ...]:
    """Returns the targets of a size: forward passes over every peer, training over PyTorch.

    With matrix units, training in bfloat16 has a target over our own float32.
    """
    forward = [(*net, "forward", n) for net in NETS for n in batches]
    train = [(*net, "train_step", steps[net[0]]) for net in NETS]
    half = "bfloat16"
    return (
        *(Bar(task, 0.95, 1.2, PEERS) for task in forward),
        *(Bar(task, 0.95, 1.2, PEERS, half, half) for task in forward),
        *(Bar(task, 1.0, 1.3) for task in train),
        *(
            Bar(task, 1.3 if task[0] == "detection" else 1.8, 3.0, OURS, half, isa=AMX)
            for task in train
        ),
    )


BARS = {
    "paper": _bars((1, 4), {"detection": 2, "regression": 2}),
    "default": _bars((1, 16), {"detection": 16, "regression": 8}),
}
"""Name of a size -> its targets as ratios."""
CAMERA = ("pipeline", "asy", "camera_to_pose", 1)
LIMITS = {
    # The paper needed a graphics card for 50 ms.
    "paper": (Limit(("pipeline", "asy", "forward", 1), "bfloat16", 80.0, 50.0, AMX),),
    "default": (Limit(CAMERA, "float32", 16.0, 12.4), Limit(CAMERA, "bfloat16", 9.0, 5.0)),
}
"""Name of a size -> its targets in ms: both nets in a row, and from a camera's images to the pose.
12.4 ms is RTMPose-t's whole pipeline on eight cores."""


@dataclasses.dataclass(frozen=True)
class Side:
    """The case that a prediction is about.

    It is that of a peer (`implementation`), of one of our lowerings (`lowering`), or, without
    either, of each of our lowerings in turn.
    """

    net: str
    variant: str
    what: str = "forward"
    batch: int = 1
    dtype: str = "float32"
    implementation: str | None = None
    lowering: str | None = None

    def fits(self, case: Case, lowering: str) -> bool:
        """Tells whether `case` is the one, when predictions of our `lowering` are evaluated.

        `lowering` is "" for cases without one, such as those of peers.
        """
        same = (self.net, self.variant, self.what, self.batch, self.dtype) == (
            case.net,
            case.variant,
            case.what,
            case.batch,
            case.dtype,
        )
        if self.implementation is not None:
            return same and case.implementation == self.implementation and not lowering
        required = self.lowering or lowering
        return same and bool(lowering) and case.lowering == required == lowering


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A predicted speed-up of `of` over `over`; without `over`, a predicted time in ms."""

    what: str
    value: float
    of: Side
    over: Side | None = None
    sizes: tuple[str, ...] = ("paper",)
    platform: str = "cpu"


FORWARD = {"what": "forward", "batch": 1}
STEP = {"what": "train_step", "batch": 2}


def _over_full(
    claim: str, value: float, side: dict, *, variant: str = "asy", platform: str = "cpu"
) -> Prediction:
    return Prediction(
        claim,
        value,
        of=Side("regression", variant, **side),
        over=Side("regression", "full", **side),
        platform=platform,
    )


def _ms(claim: str, value: float, variant: str, **side: str) -> Prediction:
    return Prediction(claim, value, of=Side("regression", variant, **FORWARD, **side))


def _bfloat16(variant: str) -> Prediction:
    return Prediction(
        f"{variant} forward, bfloat16 over float32",
        1.0,
        of=Side("regression", variant, dtype="bfloat16"),
        over=Side("regression", variant),
        sizes=("paper", "default"),
    )


PREDICTIONS = (
    # by the roofline of two AVX-512 cores (358 GFLOP/s, 20 GB/s), nominal MACs
    _over_full("asy over full, forward, fused, roofline", 2.28, FORWARD),
    _over_full("asy over full, forward, useful MACs alone", 1.92, FORWARD),
    _over_full("asy over full, training step, roofline", 1.97, STEP),
    _over_full("r2plus1d over full, forward, nominal MACs alone", 1.0, FORWARD, variant="r2plus1d"),
    _over_full("thin over full, forward, nominal MACs alone", 2.29, FORWARD, variant="thin"),
    _over_full("dwsep over full, forward, roofline", 9.5, FORWARD, variant="dwsep"),
    Prediction(
        "asy over full, detection and regression, nominal MACs alone",
        1.91,
        of=Side("pipeline", "asy"),
        over=Side("pipeline", "full"),
    ),
    # measured earlier on two AVX-512 cores, ms
    _ms("asy forward, JAX's 3-D convolution, ms", 948, "asy", lowering="conv3d"),
    _ms("full forward, JAX's 3-D convolution, ms", 2333, "full", lowering="conv3d"),
    _ms("asy forward, folded, ms", 522, "asy", lowering="folded"),
    _ms("full forward, folded, ms", 1077, "full", lowering="folded"),
    _ms("asy forward, PyTorch eager, ms", 454, "asy", implementation="torch_eager"),
    _ms("full forward, PyTorch eager, ms", 1096, "full", implementation="torch_eager"),
    _ms("asy forward, ONNX Runtime, ms", 543, "asy", implementation="onnxruntime"),
    _ms("full forward, ONNX Runtime, ms", 1304, "full", implementation="onnxruntime"),
    _ms("asy forward, OpenVINO, ms", 385, "asy", implementation="openvino"),
    _ms("full forward, OpenVINO, ms", 831, "full", implementation="openvino"),
    # on a CPU without matrix units
    _bfloat16("asy"),
    _bfloat16("full"),
    # an H200 in TF32, by its roofline
    _over_full(
        "asy over full, forward, TF32",
        1.36,
        {"what": "forward", "dtype": "tf32", "batch": 16},
        platform="gpu",
    ),
    _over_full(
        "asy over full, training step, TF32",
        1.2,  # whatever the batch: the roofline is that of a clip
        {"what": "train_step", "dtype": "tf32", "batch": 2},
        platform="gpu",
    ),
)
