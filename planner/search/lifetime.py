"""What a shape costs over its life: training it, and serving a stated volume.  [Sardana 2024]"""

from typing import Any

import numpy as np

from planner.columns import Arch
from planner.cost import money
from planner.cost.params import n_active_params
from planner.search.evaluate import Conditions
from planner.search.pareto import Table

TRAIN_MFU = 0.4  # of dense bf16: what large public runs report, 0.38 to 0.43 (arXiv 2407.21783)


def lifetime_usd(
    table: Table,
    arch: Arch,
    c: Conditions,
    *,
    served_tokens: float,
    usd_per_device_hour: float,
    train_mfu: float = TRAIN_MFU,
) -> Any:
    """Return dollars of training and serving, a column: an objective to minimise at equal loss.

    Args:
        table: what `evaluate` returned for `arch`; its output_tokens_per_s is used.
        arch: the shapes, as columns.
        c: how they are trained (`tokens`) and served.
        served_tokens: generated tokens over the model's life, prompts as long as the workload's.
        usd_per_device_hour: price of a device, for both.
        train_mfu: share of the device's dense rate that training reaches.

    Source: Sardana et al., arXiv 2401.00448, with the cost model's throughput in place of 2 N
    FLOPs a token.

    """
    out = np.asarray(c.workload.output_tokens, dtype=np.float64)
    speed = np.asarray(table["output_tokens_per_s"], dtype=np.float64)
    devices = float(c.served.engine.n_devices)
    life = money.Life(
        n_active_params=n_active_params(arch),
        n_tokens=c.tokens,
        flops_per_s=c.served.device.flops_per_s("bf16"),
        train_mfu=train_mfu,
        usd_per_device_hour=usd_per_device_hour,
        served_requests=served_tokens / out,
        usd_per_request=usd_per_device_hour / money.HOUR_S * devices * out / speed,
    )
    return money.lifetime_usd(life)
