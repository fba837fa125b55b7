"""A case -> one recorded program, as `jaxpose.Model` predicts with oneDNN.

It runs in a process of its own, without XLA: in one that also runs XLA's programs, OpenMP has more
threads than the CPU has cores, and then they do not stay awake between operations.
"""

import time

import numpy as np

from experiments.bench.cases import Case, Size
from experiments.bench.prepared import Prepared, Reference
from experiments.bench.weights import NEEDS, draw, inputs, net_of
from experiments.recipe import STAGES
from jaxpose.cost.timing import POOL
from jaxpose.demo import sample
from jaxpose.estimator import shipped_model
from jaxpose.lowering import lowering_named
from jaxpose.model import Model
from jaxpose.nets.compute import Computation, fold_net, record_folded
from jaxpose.nets.predictor import predictor

SPACING = 5
"""Frames of the sample recording between neighbours of a clip: 1/6 s at 30 frames per second."""


class Programs:
    """The worker that runs our nets without XLA."""

    def __init__(self, size: Size, threads: int, reference: Reference):
        self.size, self.threads, self.reference = size, threads, reference

    def prepare(self, case: Case) -> Prepared:
        """Records a case and compares its first result with the reference.

        Raises:
          WrongResult: the result deviates from the reference.
        """
        if case.net == "pipeline":
            return self.pipeline(case)
        names = NEEDS[case.net, case.what]
        pool = [
            tuple(arrays[name] for name in names)
            for arrays in inputs(names, case.batch, self.size.clip, POOL)
        ]
        began = time.perf_counter()
        program = self.record(case, [array.shape for array in pool[0]])
        seconds = time.perf_counter() - began
        [output] = program(*pool[0])
        deviation = self.reference.check(case, output)
        return Prepared(lambda k: program(*pool[k]), {"compile_s": seconds, "deviation": deviation})

    def record(self, case: Case, shapes: list[tuple[int, ...]]):
        """Returns the program of a case for inputs of these shapes."""
        net = net_of(case.net, case.variant, self.size.width)
        weights = fold_net(draw(net.layers), self.size.config.bn_epsilon)
        recorder = lowering_named(case.lowering).recorder(case.dtype)
        nodes = [recorder.input(shape) for shape in shapes]
        return recorder.finish(record_folded(net, weights, recorder, *nodes))

    def pipeline(self, case: Case) -> Prepared:
        """Prepares both nets in a row.

        `forward` turns depth into both nets' maps, with weights that are not trained;
        `camera_to_pose` three images of a camera into the pose in the middle one, by the model that
        jaxpose ships, on its sample recording.
        """
        if case.what == "camera_to_pose":
            model = Model.load(shipped_model(), lowering=case.lowering, precision=case.dtype)
            return camera_to_pose(model)
        nets = {net: net_of(net, case.variant, self.size.width) for net in STAGES}
        epsilon = self.size.config.bn_epsilon
        weights = {net: fold_net(draw(nets[net].layers), epsilon) for net in nets}
        computation = Computation(lowering_named(case.lowering), case.dtype)
        predict = predictor(nets, weights, computation)
        pool = [a["depth"] for a in inputs(("depth",), case.batch, self.size.clip, POOL)]
        began = time.perf_counter()
        predict(pool[0])
        seconds = time.perf_counter() - began
        return Prepared(lambda k: predict(pool[k]), {"compile_s": seconds})


def camera_to_pose(model: Model) -> Prepared:
    """Prepares what a user waits for: from images in memory to the middle one's pose."""
    with np.load(sample(), allow_pickle=False) as stored:
        images = stored["depth"]
    apart = np.arange(model.specification.clip_frames) * SPACING
    pool = [images[k + apart] for k in range(POOL)]
    _, rows, columns = images.shape
    crop = (0, 0, columns, rows)

    def call(k: int):
        clip = model.clips(model.to_grid(pool[k], crop)[None])
        maps = model.decoded_maps(model.maps(clip, 1))
        return model.decode(maps[:, len(apart) // 2])

    return Prepared(call, {})
