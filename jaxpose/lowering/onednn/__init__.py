"""The lowering `onednn`: convolutions and batch norm by the library behind PyTorch's on a CPU.

dnnl           the library's C interface
ffi            a Python function under XLA
convolution    convolutions, forward and backward
products       some of their weight gradients, as matrix products
norm           batch norm in training mode, with ReLU
"""
