"""The cases that can be timed, as data, at three sizes.

A case is a combination of net, variant, forward pass or training step, batch, implementation,
lowering and precision.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from experiments.recipe import PRESETS, STAGES, Recipe
from jaxpose import lowering as lowerings
from jaxpose.nets.factorise import VARIANTS

LOWERINGS: tuple[str, ...] = tuple(lowerings.LOWERINGS)
SHIPPED_FORM = ("onnxruntime_shipped", "openvino_shipped")
"""The runtimes with the ONNX file that jaxpose writes, of 2-D convolutions whose channels are those
of all frames. Without the suffix they run a graph of 3-D convolutions."""
PEERS = ("torch_eager", "torch_compile", "torch_onednn", "onnxruntime", "openvino")
PEERS += SHIPPED_FORM
"""Implementations that are not ours. torch_onednn calls PyTorch's oneDNN operators directly, in
forward passes: for a single clip PyTorch itself chooses a slower convolution."""
OURS = ("jaxpose", "jaxpose_program", "jax_conv3d")
"""Our implementations. jaxpose_program is a net recorded once and run without XLA, as prediction
does where the lowering can; jax_conv3d is our net with JAX's own 3-D convolution, as in
`nnx.Conv`."""
USED = {"cpu": ("jaxpose", "jaxpose_program"), "gpu": ("jax_conv3d",)}
"""Platform -> those of our implementations that runs and predictions use there."""
IMPLEMENTATIONS = (*OURS, *PEERS)
"""All implementations."""
ON_GPU = ("jaxpose", "jax_conv3d", "torch_eager", "torch_compile")
"""Implementations that can run on a GPU."""
CPU_ALONE = "is timed on a CPU alone"
"""What is said of the others where JAX runs on a GPU."""
WORKERS = {
    "jax": ("jaxpose", "jax_conv3d"),
    "programs": ("jaxpose_program",),
    "torch": ("torch_eager", "torch_compile", "torch_onednn"),
    "onnxruntime": ("onnxruntime", "onnxruntime_shipped"),
    "openvino": ("openvino", "openvino_shipped"),
}
"""Kind of process -> the implementations that run in it."""
NETS = (*STAGES, "pipeline", "decoding", "input")
WHATS = ("forward", "train_step", "chain", "bipartite", "device_put", "to_grid", "clip_to_pose")
WHATS += ("camera_to_pose",)
PRECISIONS = ("float32", "tf32", "bfloat16")
"""float32 is IEEE's; tf32, on a GPU alone, is float32 with rounded products."""
PEER_PRECISIONS = {
    "torch_eager": PRECISIONS,
    "torch_compile": PRECISIONS,
    "torch_onednn": ("float32", "bfloat16"),
    "onnxruntime": ("float32",),
    "openvino": ("float32", "bfloat16"),
    "onnxruntime_shipped": ("float32",),
    "openvino_shipped": ("float32", "bfloat16"),
}
"""Peer -> the precisions in which it is timed. ONNX Runtime has no convolution in bfloat16 for
CPUs."""


@dataclasses.dataclass(frozen=True)
class Size:
    """Sizes of the clips and the nets of one benchmark."""

    clip: tuple[int, int, int]
    """(frames, rows, columns) of a clip."""
    width: float
    """Width multiplier of the nets."""
    preset: str
    """Preset of `experiments.run` whose optimisers and batch norm are used."""
    detection_batch: int
    """Number of clips in a training step of the detection net."""
    regression_batch: int
    """The same for the regression net."""

    @property
    def config(self) -> Recipe:
        """The recipe of the preset."""
        return PRESETS[self.preset]

    def train_batch(self, net: str) -> int:
        """Returns the number of clips in a training step of a net."""
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
    """One of `WHATS`."""
    batch: int
    """Number of clips; number of frames for `decoding` and `input`."""
    implementation: str
    lowering: str
    """Our lowering; "" for peers, and without convolutions."""
    dtype: str

    @classmethod
    def of_row(cls, row: Mapping) -> "Case":
        """Returns the case of a row of a result."""
        return cls(**{field.name: row[field.name] for field in dataclasses.fields(cls)})

    @property
    def name(self) -> str:
        """All fields that are not empty, separated by spaces."""
        return " ".join(str(part) for part in dataclasses.astuple(self) if part != "")

    @property
    def task(self) -> tuple:
        """The computation, whatever the implementation: (net, variant, what, batch)."""
        return self.net, self.variant, self.what, self.batch

    @property
    def worker(self) -> str:
        """Kind of the process that times the case."""
        return next(kind for kind, names in WORKERS.items() if self.implementation in names)


@dataclasses.dataclass(frozen=True)
class Choice:
    """A selection among all cases."""

    nets: tuple[str, ...] = NETS
    variants: tuple[str, ...] = tuple(VARIANTS)
    whats: tuple[str, ...] = WHATS
    lowerings: tuple[str, ...] = LOWERINGS
    precisions: tuple[str, ...] = ("float32",)
    batches: tuple[int, ...] = (1, 16)
    """Numbers of clips in a forward pass."""
    implementations: tuple[str, ...] = OURS


SHIPPED = "asy"
"""Variant of the model that jaxpose ships, which has the default size."""
COMPARED = ("asy", "full", "thin")
"""Variants that are also trained, timed by peers, and timed up to the pose."""


def cases(size: Size, choice: Choice) -> list[Case]:
    """Returns the selected cases in the order of the tables.

    The first case of every kind of worker is its control: asy forward with one clip, unless that is
    excluded.
    """
    matrix = [*_nets(size, choice), *_rest(size, choice)]
    allowed = {
        "net": choice.nets,
        "variant": (*choice.variants, ""),
        "what": choice.whats,
        "implementation": choice.implementations,
    }
    return [c for c in matrix if all(getattr(c, k) in values for k, values in allowed.items())]


def _nets(size: Size, choice: Choice) -> Iterator[Case]:
    """Yields the cases of single nets."""
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
                    ours = _implementation(lowering)
                    for dtype in choice.precisions:
                        yield Case(net, variant, what, batch, ours, lowering, dtype)
                        if what == "forward" and lowerings.LOWERINGS[lowering].recorder:
                            program = "jaxpose_program"
                            yield Case(net, variant, what, batch, program, lowering, dtype)
                if compared:
                    yield from _peers(Case(net, variant, what, batch, "", "", ""), choice)


def _peers(task: Case, choice: Choice) -> Iterator[Case]:
    """Yields the cases of the peers that compute a task."""
    for peer in PEERS:
        if task.what == "forward" or peer in ("torch_eager", "torch_compile"):
            for dtype in choice.precisions:
                if dtype in PEER_PRECISIONS[peer]:
                    yield dataclasses.replace(task, implementation=peer, dtype=dtype)


def _rest(size: Size, choice: Choice) -> Iterator[Case]:
    """Yields the cases of both nets in a row, of decoding and of input.

    The peers that have both nets in a row are those that run the file that jaxpose writes.
    """
    for variant in COMPARED:
        for peer in SHIPPED_FORM:
            for dtype in choice.precisions:
                if dtype in PEER_PRECISIONS[peer]:
                    yield Case("pipeline", variant, "forward", 1, peer, "", dtype)
        for lowering in choice.lowerings:
            ours = _implementation(lowering)
            for dtype in choice.precisions:
                for what in ("forward", "clip_to_pose"):
                    yield Case("pipeline", variant, what, 1, ours, lowering, dtype)
                if lowerings.LOWERINGS[lowering].recorder:
                    program = "jaxpose_program"
                    yield Case("pipeline", variant, "forward", 1, program, lowering, dtype)
                    if size == SIZES["default"] and variant == SHIPPED:
                        what = "camera_to_pose"
                        yield Case("pipeline", variant, what, 1, program, lowering, dtype)
    for what in ("chain", "bipartite"):
        yield Case("decoding", "", what, 1, "jaxpose", "", "float32")
    yield Case("input", "", "to_grid", 1, "jaxpose", "", "float32")
    yield Case("input", "", "device_put", 3, "jaxpose", "", "float32")


def _implementation(lowering: str) -> str:
    """Returns the name under which our nets are timed with a lowering."""
    return "jax_conv3d" if lowering == "conv3d" else "jaxpose"


def _first(first: Iterable[str], names: Iterable[str]) -> list[str]:
    """Returns all names, those of `first` before the others."""
    return [*first, *(name for name in names if name not in first)]
