"""A case -> its JAX call, compiled ahead of time, with its inputs on the device."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.bench.cases import Case, Size
from experiments.bench.compiled import compile_ahead
from experiments.bench.prepared import Prepared, Reference
from experiments.bench.weights import NEEDS, draw, drawn_maps, inputs, net_of
from experiments.choices import find_device
from experiments.recipe import STAGES
from jaxpose.body import geometry
from jaxpose.cost.timing import POOL
from jaxpose.decoding import linking
from jaxpose.decoding.peaks import Decoding
from jaxpose.files import written_whole
from jaxpose.lowering import lowering_named
from jaxpose.nets.compute import Computation, apply_folded, fold_net
from jaxpose.nets.modules import ConvNet
from jaxpose.training import losses
from jaxpose.training.step import initial_state, make_step, run_net, split_net


class Ours:
    """The worker that runs our nets, with JAX."""

    def __init__(self, size: Size, threads: int, reference: Reference, device: str):
        self.size, self.threads, self.reference = size, threads, reference
        self.device = find_device(device)
        jax.config.update("jax_default_device", self.device)
        self.pools: dict[tuple, list] = {}
        self.compiled: dict[tuple, tuple] = {}

    def described(self) -> dict:
        """Returns the kind and the platform of the device."""
        return {"device": self.device.device_kind, "platform": self.device.platform}

    # ---- nets ----

    def net(self, net: str, variant: str, computation: Computation):
        """Creates a net that is to be trained; returns its graph and its weights."""
        description = net_of(net, variant, self.size.width)
        module = ConvNet(description, computation=computation, rngs=nnx.Rngs(0))
        module.set_weights(draw(description.layers))
        return split_net(module)

    def forward(self, net: str, variant: str, computation: Computation):
        """Returns the function (weights, *inputs) -> maps of a net in prediction, and its weights.

        Batch norms are folded.
        """
        description = net_of(net, variant, self.size.width)
        weights = fold_net(draw(description.layers), computation.bn_epsilon)

        def forward(weights, *inputs):
            return apply_folded(description, weights, computation, *inputs)

        return forward, jax.tree.map(jnp.asarray, weights)

    def pool(self, case: Case) -> list[tuple[jax.Array, ...]]:
        """Returns the inputs of a case, on the device; cases with equal inputs share them."""
        names = NEEDS[case.net, case.what]
        key = (names, case.batch)
        if key not in self.pools:
            self.pools[key] = [
                jax.device_put(tuple(arrays[n] for n in names))
                for arrays in inputs(names, case.batch, self.size.clip, POOL)
            ]
        return self.pools[key]

    def computation(self, case: Case) -> Computation:
        """Returns how the nets of a case are computed."""
        dtype = "bfloat16" if case.dtype == "bfloat16" else "float32"
        config = self.size.config
        return Computation(
            lowering_named(case.lowering), dtype, config.bn_momentum, config.bn_epsilon
        )

    def prepare(self, case: Case) -> Prepared:
        """Compiles a case and compares its first result with the reference.

        Raises:
          WrongResult: the result deviates from the reference.
        """
        if case.net not in STAGES:
            return self.stage(case)
        self.write_reference(case)
        if case.what == "train_step":
            return self.step(case)
        forward, weights = self.forward(case.net, case.variant, self.computation(case))
        pool = self.pool(case)
        compiled, facts = compile_ahead(jax.jit(forward), case.dtype, weights, *pool[0])
        output = np.asarray(compiled(weights, *pool[0]), np.float32)
        facts["deviation"] = self.reference.check(case, output)
        return Prepared(lambda k: jax.block_until_ready(compiled(weights, *pool[k])), facts)

    def loss(self, case: Case, graph):
        """Returns the loss of a training step: (weights, frozen, batch) -> (loss, statistics)."""
        if case.net == "detection":

            def loss(weights, frozen, batch):
                logits, stats = run_net(graph, weights, batch["depth"], train=True)
                return losses.cross_entropy(logits, batch["masks"]), stats
        else:

            def loss(weights, frozen, batch):
                maps, stats = run_net(graph, weights, batch["depth"], batch["maps"], train=True)
                return losses.squared_error(maps, batch["masks"]), stats

        return loss

    def optimiser(self, case: Case) -> optax.GradientTransformation:
        """Returns the optimiser of the size's preset."""
        return self.size.config.stage(case.net).transform(steps_per_epoch=1000)

    def step(self, case: Case) -> Prepared:
        """Compiles a training step; every call starts from the state that the last one returned."""
        graph, weights = self.net(case.net, case.variant, self.computation(case))
        transform = self.optimiser(case)
        names = NEEDS[case.net, case.what]
        pool = [dict(zip(names, arrays, strict=True)) for arrays in self.pool(case)]
        state = jax.device_put(initial_state(weights, transform), self.device)
        step = make_step(self.loss(case, graph), transform)
        compiled, facts = compile_ahead(step, case.dtype, state, None, pool[0])

        def call(k: int):
            nonlocal state
            state, loss = jax.block_until_ready(compiled(state, None, pool[k]))
            return loss

        loss = np.asarray(call(0))
        facts["deviation"] = self.reference.check(case, loss[None])
        return Prepared(call, facts)

    def write_reference(self, case: Case) -> None:
        """Writes the reference of a task, unless its file exists.

        It is the output, or the loss, by JAX's own 3-D convolution in float32.
        """
        path = self.reference.path(case)
        if path.exists():
            return
        computation = self.computation(
            dataclasses.replace(case, lowering="conv3d", dtype="float32")
        )
        train = case.what == "train_step"
        graph, weights = self.net(case.net, case.variant, computation)
        names = NEEDS[case.net, case.what]
        batch = inputs(names, case.batch if train else 1, self.size.clip, 1)[0]
        with jax.default_matmul_precision("highest"):
            if train:
                value = jax.jit(lambda *a: self.loss(case, graph)(*a)[0])(weights, None, batch)
                result = np.asarray(value)[None]
            else:
                run = jax.jit(run_net, static_argnums=0, static_argnames="train")
                result = np.asarray(run(graph, weights, *batch.values(), train=False)[0])
        with written_whole(path) as beside, open(beside, "wb") as file:
            np.save(file, result)

    # ---- both nets, decoding, input ----

    def stage(self, case: Case) -> Prepared:
        """Prepares a case of more or less than one net: both nets in a row, decoding, or input."""
        frames, *grid = self.size.clip
        decoding = Decoding(self.size.config.radius)
        if case.net == "pipeline":
            return self.pipeline(case, decoding)
        if case.net == "decoding":
            maps = drawn_maps(POOL, tuple(grid), decoding.radius_px)
            linker = getattr(linking, case.what)
            return Prepared(lambda k: linking.pose(maps[k], decoding, linker), {})
        rng = np.random.default_rng(2)
        if case.what == "to_grid":
            camera = (480, 640)
            depth = rng.integers(500, 2000, (POOL, *camera)).astype(np.uint16)
            depth[rng.random(depth.shape) < 0.1] = 0
            crop = (0, 0, camera[1], camera[0])
            to_grid = geometry.depth_to_grid
            return Prepared(lambda k: to_grid(depth[k : k + 1], crop, tuple(grid)), {})
        clips = rng.standard_normal((POOL, 1, *self.size.clip, 1), np.float32)
        return Prepared(lambda k: jax.block_until_ready(jax.device_put(clips[k])), {})

    def pipeline(self, case: Case, decoding: Decoding) -> Prepared:
        """Prepares both nets in a row; their weights are not trained.

        `forward` turns depth on the device into maps on the device, `clip_to_pose` depth on the
        host into poses on the host.
        """
        computation = self.computation(case)
        detect, detector = self.forward("detection", "", computation)
        regress, regressor = self.forward("regression", case.variant, computation)

        def forward(detector, regressor, depth):
            return regress(regressor, depth, jax.nn.sigmoid(detect(detector, depth)))

        host = [a["depth"] for a in inputs(("depth",), case.batch, self.size.clip, POOL)]
        key = (case.variant, case.lowering, case.dtype)
        if key not in self.compiled:  # forward and clip_to_pose share it
            arguments = (detector, regressor, host[0])
            self.compiled[key] = compile_ahead(jax.jit(forward), case.dtype, *arguments)
        compiled, facts = self.compiled[key]
        if case.what == "forward":
            pool = jax.device_put(host)
            run = compiled
            return Prepared(
                lambda k: jax.block_until_ready(run(detector, regressor, pool[k])), facts
            )

        def clip_to_pose(k: int):
            maps = np.asarray(compiled(detector, regressor, jax.device_put(host[k])))
            return linking.poses(maps.reshape(-1, *maps.shape[2:]), decoding)

        return Prepared(clip_to_pose, facts)
