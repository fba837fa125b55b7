"""A case -> the ONNX file that jaxpose writes for it (`jaxpose.runtime`), with random weights."""

from experiments.bench.cases import Case, Size
from experiments.bench.weights import NEEDS, draw, net_of
from jaxpose.body.skeleton import MAPS
from jaxpose.formats.engines import OUTPUTS
from jaxpose.formats.graph import Graph
from jaxpose.nets.compute import fold_net, record_folded
from jaxpose.nets.predictor import record


def shipped(case: Case, size: Size) -> tuple[bytes, tuple[str, ...]]:
    """Returns the content of the file, and the names of its outputs, [b t h w 20].

    One net has the inputs depth [b t h w 1] and, for the regression net, maps [b t h w 20]. Both
    nets in a row have depth alone.
    """
    graph = Graph()
    names = ("detection", "regression") if case.net == "pipeline" else (case.net,)
    nets = {net: net_of(net, case.variant, size.width) for net in names}
    weights = {net: fold_net(draw(nets[net].layers), size.config.bn_epsilon) for net in nets}
    if case.net == "pipeline":
        shape = (1, *size.clip, 1)
        results = dict(zip(OUTPUTS, record(nets, weights, graph, shape), strict=True))
    else:
        inputs = [
            graph.input((1, *size.clip, 1 if name == "depth" else MAPS), name)
            for name in NEEDS[case.net, "forward"]
        ]
        results = {"result": record_folded(nets[case.net], weights[case.net], graph, *inputs)}
    for name, node in results.items():
        graph.output(node, name)
    return graph.content({}), tuple(results)
