"""From published measurements to every speed profile that ships: kernels first, then engines on top."""
