"""Lifetime cost of shapes: training plus serving a stated volume, as an objective of the search.

[Sardana et al. 2024, arXiv 2401.00448: what a model costs over its life moves the best choice.]
"""

from dataclasses import dataclass
from typing import Any

from planner.cost.money import HOUR_S, Life, lifetime_usd, train_usd
from planner.errors import SpecError
from planner.inputs.price import load_prices
from planner.inputs.question import Question
from planner.results import Estimate
from planner.scenario.system import Served


@dataclass(frozen=True, slots=True)
class Terms:
    """What turns a shape's speed into money."""

    usd_per_device_hour: float
    served_requests: float
    train_mfu: float
    basis: str


def terms_of(q: Question) -> Terms | None:
    """Return the terms a question asks for; None where it states no volume.

    Raises:
        SpecError: no price given and none listed for the device.

    """
    if q.serve_requests is None:
        return None
    if q.usd_per_hour is not None:
        return Terms(q.usd_per_hour, q.serve_requests, q.train_mfu, "price as given")
    prices = load_prices()
    if q.on not in prices.usd_per_hour:
        raise SpecError(f"no price is listed for {q.on}", hint="give one, e.g. --usd-per-hour 2.50")
    return Terms(prices.usd_per_hour[q.on], q.serve_requests, q.train_mfu, prices.basis)


def life_of(
    terms: Terms, served: Served, n_active: Any, n_tokens: float, requests_per_s: Any
) -> Life:
    """Return the columns of a life: trained and served on the same kind of device."""
    hourly = terms.usd_per_device_hour * served.engine.n_devices
    return Life(
        n_active_params=n_active,
        n_tokens=n_tokens,
        flops_per_s=served.device.flops_per_s("bf16"),
        train_mfu=terms.train_mfu,
        usd_per_device_hour=terms.usd_per_device_hour,
        served_requests=terms.served_requests,
        usd_per_request=hourly / HOUR_S / requests_per_s,
    )


def with_interval(life: Life, speed: Estimate) -> Estimate:
    """Return the lifetime cost; its serving part is as uncertain as the throughput."""
    trained, total = float(train_usd(life)), float(lifetime_usd(life))
    served = (total - trained) * speed.value
    return Estimate(total, trained + served / speed.high, trained + served / speed.low)
