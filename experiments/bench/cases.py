"""The cases that can be timed, as data: net x variant x forward or step x batch x implementation x
lowering x precision, at three sizes."""

import dataclasses
from collections.abc import Iterator

from experiments.config import PRESETS, Recipe
from jaxpose.lowering import LOWERINGS as KNOWN
from jaxpose.nets.factorise import VARIANTS

LOWERINGS: tuple[str, ...] = tuple(KNOWN)
PEERS = ("torch_eager", "torch_compile", "torch_onednn", "onnxruntime", "openvino")
"""torch_onednn calls PyTorch's oneDNN operator by hand, forward: for a single clip PyTorch itself
chooses a slower convolution of its own."""
IMPLEMENTATIONS = ("jaxpose", "jax_conv3d", *PEERS)
"""jax_conv3d is our net with JAX's own 3-D convolution, as `nnx.Conv` computes it."""
WORKERS = {
    "jax": ("jaxpose", "jax_conv3d"),
    "torch": ("torch_eager", "torch_compile", "torch_onednn"),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
}
"""Kind of process -> the implementations that run in it."""
NETS = ("detection", "regression", "pipeline", "decoding", "input")
WHATS = ("forward", "train_step", "chain", "bipartite", "device_put", "to_grid", "clip_to_pose")
PRECISIONS = ("float32", "tf32", "bfloat16")
"""float32 is IEEE's; tf32, on a GPU alone, is float32 with rounded products."""


@dataclasses.dataclass(frozen=True)
class Size:
    """Sizes of clips and nets."""

    clip: tuple[int, int, int]
    """Frames, rows, columns."""
    width: float
    preset: str
    """Preset of `experiments.run` whose optimisers and batch norm are used."""
    detection_batch: int
    """Clips in a training step."""
    regression_batch: int

    @property
    def config(self) -> Recipe:
        return PRESETS[self.preset]

    def train_batch(self, net: str) -> int:
        return self.detection_batch if net == "detection" else self.regression_batch


SIZES = {
    "tiny": Size((3, 16, 32), 1 / 16, "quick", 2, 2),
    "default": Size((3, 48, 64), 0.25, "quick", 16, 8),
    "paper": Size((3, 96, 128), 1.0, "paper", 2, 2),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One computation that is timed."""

    net: str
    variant: str
    """Variant of the regression net; "" without one."""
    what: str
    batch: int
    """Clips; frames for `decoding` and `input`."""
    implementation: str
    lowering: str
    """Our lowering; "" for peers, and without convolutions."""
    dtype: str

    @property
    def name(self) -> str:
        return " ".join(str(part) for part in dataclasses.astuple(self) if part != "")

    @property
    def task(self) -> tuple:
        """What is computed, by any implementation: net, variant, what, batch."""
        return self.net, self.variant, self.what, self.batch

    @property
    def worker(self) -> str:
        return next(kind for kind, names in WORKERS.items() if self.implementation in names)


@dataclasses.dataclass(frozen=True)
class Choice:
    """Selection among all cases."""

    nets: tuple[str, ...] = NETS
    variants: tuple[str, ...] = tuple(VARIANTS)
    whats: tuple[str, ...] = WHATS
    lowerings: tuple[str, ...] = LOWERINGS
    precisions: tuple[str, ...] = ("float32",)
    batches: tuple[int, ...] = (1, 16)
    """Clips in a forward pass."""
    implementations: tuple[str, ...] = ("jaxpose", "jax_conv3d")


COMPARED = ("asy", "full")
"""Variants that are also trained, timed by peers, and timed up to the pose."""


def cases(size: Size, choice: Choice) -> list[Case]:
    """Returns the selected cases in the order of the tables. The first of every kind of worker is
    its control: asy forward with one clip, unless that is excluded."""
    every = [*_nets(size, choice), *_rest(choice)]
    allowed = {
        "net": choice.nets,
        "variant": (*choice.variants, ""),
        "what": choice.whats,
        "implementation": choice.implementations,
    }
    return [c for c in every if all(getattr(c, k) in values for k, values in allowed.items())]


def _nets(size: Size, choice: Choice) -> Iterator[Case]:
    jobs = [("regression", variant) for variant in _first(COMPARED, VARIANTS)]
    for what in ("forward", "train_step"):
        for net, variant in [*jobs, ("detection", "")]:
            compared = variant in (*COMPARED, "")
            if what == "train_step" and not compared:
                continue
            batches = choice.batches if what == "forward" else (size.train_batch(net),)
            for batch in batches:
                if batch > 1 and what == "forward" and not compared:
                    continue
                for lowering in choice.lowerings:
                    who = "jax_conv3d" if lowering == "conv3d" else "jaxpose"
                    for dtype in choice.precisions:
                        yield Case(net, variant, what, batch, who, lowering, dtype)
                for peer in PEERS:
                    if what == "forward" or peer in ("torch_eager", "torch_compile"):
                        if compared and "float32" in choice.precisions:
                            yield Case(net, variant, what, batch, peer, "", "float32")


def _rest(choice: Choice) -> Iterator[Case]:
    """Both nets in a row, and what is before and after them, without peers."""
    for variant in COMPARED:
        for what in ("forward", "clip_to_pose"):
            for lowering in choice.lowerings:
                who = "jax_conv3d" if lowering == "conv3d" else "jaxpose"
                yield Case("pipeline", variant, what, 1, who, lowering, choice.precisions[0])
    for what in ("chain", "bipartite"):
        yield Case("decoding", "", what, 1, "jaxpose", "", "float32")
    yield Case("input", "", "to_grid", 1, "jaxpose", "", "float32")
    yield Case("input", "", "device_put", 3, "jaxpose", "", "float32")


def _first(first, everything) -> list[str]:
    return [*first, *(name for name in everything if name not in first)]
