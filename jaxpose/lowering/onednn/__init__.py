"""The lowering `onednn`: the library behind PyTorch's convolutions on a CPU, called by XLA.

lowering      the `Lowering` object, and whether it can be used on this machine
convolution   convolutions and transposed convolutions with their gradients, on JAX arrays
primitives    the library's convolutions, on memory addresses
products      weight gradients that are computed as matrix products
recorder      records a net's operations for prediction, which runs them without XLA:
graph           the operations as a graph
steps           the primitives that compute it, with their kernels and the layouts between them
program         these run one after the other on numpy arrays
norm          batch norm in training mode with ReLU
library       the shared object, and the instructions that it uses
dnnl          the library's C interface through ctypes; nothing is compiled
ffi           Python functions that XLA calls with the addresses of its buffers
interrupts    signals, and the end of Python, while XLA runs such a function
"""
