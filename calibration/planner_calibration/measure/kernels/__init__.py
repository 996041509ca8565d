"""Single kernels, measured: what a device really reaches, shape by shape."""
