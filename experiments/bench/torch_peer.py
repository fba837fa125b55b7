"""A case -> the same net, with the same weights, in PyTorch at its best setting.

That is channels last, all threads, and batch norm folded for prediction. PyTorch runs eagerly,
compiled, or with direct calls of its oneDNN operator.
"""

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.bench.cases import Case, Size
from experiments.bench.prepared import Prepared, Reference
from experiments.bench.weights import NEEDS, draw, inputs, net_of
from jaxpose.cost.timing import POOL
from jaxpose.nets.compute import LayerWeights, fold
from jaxpose.nets.layers import Layer
from jaxpose.training.loop import Optimisation


class Torch:
    """The worker that runs PyTorch."""

    def __init__(self, size: Size, threads: int, reference: Reference):
        self.size, self.reference = size, reference
        torch.set_num_threads(threads)
        # Every net and batch is compiled from the same lines of `Net.forward`.
        torch._dynamo.config.recompile_limit = 256

    def prepare(self, case: Case) -> Prepared:
        """Builds a case's net and compares its first result with the reference.

        Raises:
          WrongResult: the result deviates from the reference.
        """
        train = case.what == "train_step"
        config = self.size.config
        net = Net(case.net, case.variant, self.size.width, config, folded=not train)
        net = net.to(memory_format=torch.channels_last_3d).train(train)
        if case.implementation == "torch_onednn":
            by_onednn(net)
        pool = [
            tuple(channels_second(arrays[name]) for name in NEEDS[case.net, case.what])
            for arrays in inputs(NEEDS[case.net, case.what], case.batch, self.size.clip, POOL)
        ]
        began = time.perf_counter()
        run, settings = net, "channels_last_3d"
        if case.implementation == "torch_compile":
            options = {} if train else {"freezing": True}  # weights become constants
            run = torch.compile(net, dynamic=False, options=options)
            settings += ", freezing" * (not train)
        if case.implementation == "torch_onednn":
            settings += ", mkldnn._convolution_pointwise with ReLU"
        if train:
            call = training_step(net, run, case.net, config.stage(case.net))
            result = call(*pool[0])[None].numpy()
        else:

            @torch.inference_mode()
            def call(*arrays):
                return run(*arrays)

            result = call(*pool[0]).movedim(1, -1).numpy()
        # The first call compiles.
        seconds = time.perf_counter() - began
        compiled = {"compile_s" if run is not net else "checked_s": seconds}
        deviation = self.reference.check(case, result)
        return Prepared(
            lambda k: call(*pool[k]), {**compiled, "deviation": deviation, "settings": settings}
        )


def channels_second(array: np.ndarray) -> torch.Tensor:
    """Converts [b t h w c] to a tensor [b c t h w] whose channels are last in memory."""
    return torch.from_numpy(array).movedim(-1, 1).contiguous(memory_format=torch.channels_last_3d)


class Net(nn.Module):
    """The detection or the regression net, from the same layers and weights as ours."""

    def __init__(self, net: str, variant: str, width: float, computation, *, folded: bool):
        """Creates the layers; `computation` is a `Computation`, whose lowering has no meaning."""
        super().__init__()
        self.net = net_of(net, variant, width)
        weights = draw(self.net.layers)
        # PyTorch forbids dots in names of modules; ours have slashes.
        self.convs = nn.ModuleDict(
            {
                layer.name: conv(layer, weights[layer.name], computation, folded)
                for layer in self.net.layers
            }
        )

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Computes the net's output [b 20 t h w]."""
        return self.net.walk(lambda name, x: self.convs[name](x), concatenate, *inputs)


def concatenate(parts: list[torch.Tensor]) -> torch.Tensor:
    """Joins activations along their channels."""
    return torch.cat(parts, 1)


def conv(layer: Layer, weights: LayerWeights, computation, folded: bool) -> nn.Sequential:
    """Creates one layer: the convolution, and batch norm and ReLU where they follow."""
    kernel, bias = fold(weights, computation.bn_epsilon) if folded else weights[:2]
    padding = [k // 2 if s == 1 else 0 for k, s in zip(layer.kernel, layer.stride, strict=True)]
    if layer.transposed:
        module = nn.ConvTranspose3d(layer.cin, layer.cout, layer.kernel, layer.stride)
        axes = (3, 4, 0, 1, 2)  # input channels first
    else:
        module = nn.Conv3d(
            layer.cin,
            layer.cout,
            kernel_size=layer.kernel,
            stride=layer.stride,
            padding=padding,
            groups=layer.groups,
        )
        axes = (4, 3, 0, 1, 2)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel.transpose(axes))))
        module.bias.copy_(torch.from_numpy(bias))
    modules = [module]
    if layer.norm and not folded:
        module.bias.requires_grad_(False)  # batch norm cancels it; ours is not trained
        norm = nn.BatchNorm3d(layer.cout, computation.bn_epsilon, 1 - computation.bn_momentum)
        with torch.no_grad():
            norm.weight.copy_(torch.from_numpy(weights.scale))
            norm.bias.copy_(torch.from_numpy(weights.shift))
            norm.running_mean.copy_(torch.from_numpy(weights.mean))
            norm.running_var.copy_(torch.from_numpy(weights.variance))
        modules.append(norm)
    if layer.relu:
        modules.append(nn.ReLU(inplace=True))
    return nn.Sequential(*modules)


class OneDnnConv(nn.Module):
    """A convolution by oneDNN, whatever its shape, with the ReLU that follows.

    `nn.Conv3d` calls oneDNN only for large products of batch, channels, frames and rows. For a
    single clip its profile shows `slow_conv3d` in most layers.
    """

    def __init__(self, conv: nn.Conv3d, relu: bool):
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        sizes = (conv.padding, conv.stride, conv.dilation)
        self.rest = (*map(list, sizes), conv.groups, "relu" if relu else "none", [], "")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Computes convolution, bias and ReLU."""
        convolve = torch.ops.mkldnn._convolution_pointwise
        return convolve(x, self.weight, self.bias, *self.rest)


def by_onednn(net: Net) -> None:
    """Replaces all convolutions but the transposed ones, for which PyTorch has no such operator."""
    for name, modules in net.convs.items():
        if isinstance(modules[0], nn.Conv3d):
            relu = isinstance(modules[-1], nn.ReLU)
            net.convs[name] = nn.Sequential(OneDnnConv(modules[0], relu))


def training_step(net: nn.Module, run, name: str, optimisation: Optimisation):
    """Returns the function (depth, [maps,] masks) -> loss, which updates the net once.

    The learning rate is that of the first step.
    """
    trained = [p for p in net.parameters() if p.requires_grad]
    rate, momentum = optimisation.learning_rate, optimisation.momentum
    if optimisation.optimiser == "adam":
        optimiser = torch.optim.Adam(trained, rate, fused=True)
    else:
        optimiser = torch.optim.SGD(trained, rate, momentum, fused=True)
    loss_of = (
        functional.binary_cross_entropy_with_logits if name == "detection" else functional.mse_loss
    )

    def step(*arrays):
        *inputs, masks = arrays
        optimiser.zero_grad()
        loss = loss_of(run(*inputs), masks)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step
