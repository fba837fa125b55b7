"""A case -> one recorded program per net, as `jaxpose.Model` predicts with oneDNN.

It runs in a process of its own, without XLA: in one that also runs XLA's programs, OpenMP has more
threads than the CPU has cores, and then they do not stay awake between operations.
"""

import time

from experiments.bench.cases import Case, Size
from experiments.bench.prepared import Prepared, Reference
from experiments.bench.weights import NEEDS, draw, inputs, net_of
from jaxpose.cost.timing import POOL
from jaxpose.lowering import lowering_named
from jaxpose.nets.compute import fold_net, record_folded


class Programs:
    """The worker that runs our nets without XLA."""

    def __init__(self, size: Size, threads: int, reference: Reference):
        self.size, self.threads, self.reference = size, threads, reference

    def prepare(self, case: Case) -> Prepared:
        """Records a case and compares its first result with the reference.

        Raises:
          WrongResult: the result deviates from the reference.
        """
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
