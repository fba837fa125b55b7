"""A case -> the same net, with the same weights, in PyTorch at its best setting.

That is channels last, all threads, and batch norm folded for prediction. PyTorch runs eagerly,
compiled, or with direct calls of its oneDNN operators. In bfloat16 a forward pass has activations
and weights of that type, and a training step is PyTorch's `autocast` with float32 weights. On a GPU
cuDNN tries its algorithms first, and compiled nets run as CUDA graphs.
"""

import contextlib
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

    def __init__(self, size: Size, threads: int, reference: Reference, device: str):
        self.size, self.reference = size, reference
        self.device = torch.device("cuda" if device == "gpu" else "cpu")
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = True
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
        net = net.to(self.device, memory_format=torch.channels_last_3d).train(train)
        if case.dtype == "bfloat16" and not train:
            net = net.to(torch.bfloat16)
        if case.implementation == "torch_onednn":
            by_onednn(net)
        pool = [
            tuple(channels_second(array).to(self.device) for array in arrays.values())
            for arrays in inputs(NEEDS[case.net, case.what], case.batch, self.size.clip, POOL)
        ]
        began = time.perf_counter()
        run, settings = net, "channels_last_3d"
        if case.implementation == "torch_compile":
            options = self.compiler_options(train)
            run = torch.compile(net, dynamic=False, options=options)
            settings = ", ".join([settings, *options])
        if case.implementation == "torch_onednn":
            settings += ", mkldnn._convolution_pointwise with ReLU and reordered weights"
        if train:
            step = training_step(net, run, case, config.stage(case.net))
            settings += ", autocast" * (case.dtype == "bfloat16")
        else:
            step = torch.inference_mode()(run)

        def call(k: int):
            torch.backends.cudnn.allow_tf32 = case.dtype == "tf32"
            torch.backends.cuda.matmul.allow_tf32 = case.dtype == "tf32"
            result = step(*pool[k])
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            return result

        result = call(0).cpu().numpy()
        # The first call compiles.
        compiled = {} if run is net else {"compile_s": time.perf_counter() - began}
        result = result[None] if train else np.moveaxis(result, 1, -1)
        deviation = self.reference.check(case, result)
        return Prepared(call, {**compiled, "deviation": deviation, "settings": settings})

    def compiler_options(self, train: bool) -> dict[str, bool]:
        """Returns the options with which nets are compiled; "freezing" makes weights constants."""
        frozen = {} if train else {"freezing": True}
        return frozen | ({"triton.cudagraphs": True} if self.device.type == "cuda" else {})


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
        """Computes the net's output, float32 [b 20 t h w]."""
        dtype = next(self.parameters()).dtype
        inputs = [x.to(dtype) for x in inputs]
        return self.net.walk(lambda name, x: self.convs[name](x), concatenate, *inputs).float()


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
    """A convolution, or a transposed one, by oneDNN whatever its shape, and the ReLU after it.

    `nn.Conv3d` calls oneDNN only for large products of batch, channels, frames and rows. For a
    single clip its profile shows `slow_conv3d` in most layers. The first call brings the weights
    into oneDNN's layout for inputs of its shape, so that later ones need not.
    """

    def __init__(self, conv: nn.Conv3d | nn.ConvTranspose3d, relu: bool):
        super().__init__()
        self.weight, self.bias = conv.weight.detach(), conv.bias
        operators, padding = torch.ops.mkldnn, [list(conv.padding)]
        if isinstance(conv, nn.ConvTranspose3d):
            self.convolve = operators._convolution_transpose_pointwise
            self.reorder = operators._reorder_convolution_transpose_weight
            padding.append(list(conv.output_padding))
        else:
            self.convolve = operators._convolution_pointwise
            self.reorder = operators._reorder_convolution_weight
        self.sizes = (*padding, list(conv.stride), list(conv.dilation), conv.groups)
        self.after = ("relu" if relu else "none", [], "")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Computes convolution, bias and ReLU."""
        if self.weight.layout != torch._mkldnn:
            self.weight = self.reorder(self.weight, *self.sizes, list(x.shape))
        return self.convolve(x, self.weight, self.bias, *self.sizes, *self.after)


def by_onednn(net: Net) -> None:
    """Replaces all convolutions, the transposed ones included."""
    for name, modules in net.convs.items():
        relu = isinstance(modules[-1], nn.ReLU)
        net.convs[name] = nn.Sequential(OneDnnConv(modules[0], relu))


def training_step(net: nn.Module, run, case: Case, optimisation: Optimisation):
    """Returns the function (depth, [maps,] masks) -> loss, which updates the net once.

    The learning rate is that of the first step.
    """
    half = contextlib.nullcontext()
    if case.dtype == "bfloat16":
        half = torch.autocast(next(net.parameters()).device.type, torch.bfloat16)
    trained = [p for p in net.parameters() if p.requires_grad]
    rate, momentum = optimisation.learning_rate, optimisation.momentum
    if optimisation.optimiser == "adam":
        optimiser = torch.optim.Adam(trained, rate, fused=True)
    else:
        optimiser = torch.optim.SGD(trained, rate, momentum, fused=True)
    loss_of = (
        functional.binary_cross_entropy_with_logits
        if case.net == "detection"
        else functional.mse_loss
    )

    def step(*arrays):
        *inputs, masks = arrays
        optimiser.zero_grad()
        with half:
            output = run(*inputs)
        loss = loss_of(output, masks)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step
