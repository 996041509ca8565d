"""How fast the machine is right now: a fixed piece of work, timed beside every sample on a CPU.

Other tenants slow a core, by taking it and, while it is ours, through caches, memory and its sibling thread:
the time of the same batch was seen to double. As a ratio to this work, measured within one run, it is steady.
Only torch is imported, so that the process with the real engine can use it too.
"""

import time


class Reference:
    """Arithmetic in cache, weights from a larger cache, and many small calls: what a decode step does."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.x, self.w = torch.ones(64, 512), torch.ones(512, 512)
        self.row, self.large = torch.ones(1, 1024), torch.ones(1024, 2048)
        self.small = torch.ones(16)
        self.seconds()

    def seconds(self) -> float:
        """Do it once and return the wall time, about 10 ms."""
        start = time.perf_counter()
        with self.torch.inference_mode():
            for _ in range(6):
                self.x @ self.w
                self.row @ self.large
            for _ in range(600):
                self.small + self.small
        return time.perf_counter() - start
