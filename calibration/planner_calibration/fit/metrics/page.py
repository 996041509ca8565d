"""What a server publishes at /metrics, as windows of time between two looks at it.

Prometheus' text holds sums since the server started. Between two looks they tell how many requests ended,
how long they were and what they waited for: means, not single requests.
"""

import itertools
import math
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.errors import MissingExtra, SpecError
from planner.inputs.files import Content

# Engine: role → names, the first that is there. Of a histogram the name before _sum, _count and _bucket.
NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "vllm": {
        "ttft": ("vllm:time_to_first_token_seconds",),
        "itl": ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
        "e2e": ("vllm:e2e_request_latency_seconds",),
        "queue": ("vllm:request_queue_time_seconds",),
        "prompt_tokens": ("vllm:prompt_tokens_total",),
        "generation_tokens": ("vllm:generation_tokens_total",),
        "preemptions": ("vllm:num_preemptions_total",),
        "running": ("vllm:num_requests_running",),
        "waiting": ("vllm:num_requests_waiting",),
        "cache_use": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        "info": ("vllm:cache_config_info",),
    },
    "sglang": {
        "ttft": ("sglang:time_to_first_token_seconds",),
        "itl": ("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"),
        "e2e": ("sglang:e2e_request_latency_seconds",),
        "queue": ("sglang:queue_time_seconds",),
        "prompt_tokens": ("sglang:prompt_tokens_total",),
        "generation_tokens": ("sglang:generation_tokens_total",),
        "preemptions": ("sglang:num_retractions_total",),
        "running": ("sglang:num_running_reqs",),
        "waiting": ("sglang:num_queue_reqs",),
        "cache_use": ("sglang:token_usage",),
        "info": ("sglang:cache_config_info",),
    },
}
HINT = "the text of a server's /metrics, or its address: http://HOST:PORT/metrics"
TIMEOUT_S = 10.0
LARGEST = 1 << 26  # bytes of one page
FEWEST = 8  # requests a window needs


@dataclass(frozen=True, slots=True)
class Page:
    """One look at a server: values by sample name, summed over labels, and when it was."""

    engine: str
    at_s: float  # of the clock on the wall; NaN where nobody says
    values: Mapping[str, float]
    labels: Mapping[str, str]  # of the sample that describes its cache

    def get(self, role: str, suffix: str = "") -> float:
        """Return a role's value; NaN where the server does not publish it.

        Args:
            role: as in `NAMES`.
            suffix: ``_sum`` or ``_count`` of a histogram.

        """
        names = NAMES[self.engine][role]
        return next((self.values[n + suffix] for n in names if n + suffix in self.values), math.nan)


@dataclass(frozen=True, slots=True)
class Window:
    """What happened between two looks, or since the start: means over the requests that ended."""

    engine: str
    seconds: float
    requests: float
    input_tokens: float
    output_tokens: float
    ttft_s: float
    itl_s: float
    e2e_s: float
    preemptions: float
    cache_tokens: float  # that the cache holds; NaN where nobody says
    front_end_cpu_s: float  # of the process that answers, a request; NaN where nobody says

    @property
    def rate_per_s(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def in_flight(self) -> float:
        """Requests there on average, by Little's law."""
        return self.rate_per_s * self.e2e_s


def read_page(text: str, at_s: float, where: str) -> Page:
    """Read Prometheus' text.

    Args:
        text: of the page.
        at_s: when it was, s of the clock on the wall.
        where: it is from, for errors.

    Raises:
        SpecError: it is none, or of no server we know.
        MissingExtra: `prometheus_client` is not installed.

    """
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        raise MissingExtra.of("prometheus_client", extra="calibration") from None
    values: dict[str, float] = {}
    labels: dict[str, str] = {}
    infos = {n for roles in NAMES.values() for n in roles["info"]}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                values[sample.name] = values.get(sample.name, 0.0) + sample.value
                if sample.name in infos:
                    labels = dict(sample.labels)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise SpecError(f"{where}: no Prometheus text: {error}", hint=HINT) from None
    engine = next((e for e in NAMES if any(n.startswith(f"{e}:") for n in values)), None)
    if engine is None:
        raise SpecError(f"{where}: publishes nothing of {' or '.join(NAMES)}", hint=HINT)
    return Page(engine, at_s, values, labels)


def windows(pages: Sequence[Page]) -> list[Window]:
    """Return what happened between looks, in order; of one look, since the server started.

    Raises:
        SpecError: too little happened.

    """
    pages = sorted(pages, key=lambda p: p.get("e2e", "_count"))
    pairs = list(itertools.pairwise(pages)) if len(pages) > 1 else [(None, pages[0])]
    found = [w for before, after in pairs if (w := _window(before, after)) is not None]
    if not found:
        raise SpecError(
            f"fewer than {FEWEST} requests ended between two looks", hint="look again later"
        )
    return found


def _window(before: Page | None, after: Page) -> Window | None:
    def gained(name: str) -> float:
        return after.values.get(name, math.nan) - (before.values.get(name, 0.0) if before else 0.0)

    def grew(role: str, suffix: str = "") -> float:
        return after.get(role, suffix) - (before.get(role, suffix) if before else 0.0)

    def mean(role: str) -> float:
        n = grew(role, "_count")
        return grew(role, "_sum") / n if n > 0 else math.nan

    n = grew("e2e", "_count")
    if not n >= FEWEST:
        return None
    created = next(
        (v for k, v in after.values.items() if k.endswith("prompt_tokens_created")), math.nan
    )
    began = before.at_s if before else after.values.get("process_start_time_seconds", created)
    blocks, size = (float(after.labels.get(k) or "nan") for k in ("num_gpu_blocks", "block_size"))
    return Window(
        engine=after.engine,
        seconds=after.at_s - began,
        requests=n,
        input_tokens=grew("prompt_tokens") / n,
        output_tokens=grew("generation_tokens") / n,
        ttft_s=mean("ttft"),
        itl_s=mean("itl"),
        e2e_s=mean("e2e"),
        preemptions=grew("preemptions"),
        cache_tokens=blocks * size,
        front_end_cpu_s=gained("process_cpu_seconds_total") / n,
    )


def look(url: str) -> Page:
    """Return what a server publishes now.

    Raises:
        SpecError: it does not answer.

    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            text = answer.read(LARGEST).decode("utf-8", "replace")
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise SpecError(f"{url}: does not answer: {error}", hint=HINT) from None
    return read_page(text, time.time(), url)


def pages_of(
    sources: Sequence[str], *, every_s: float, times: int, say: Callable[[str], None]
) -> list[Page]:
    """Read files in order, and look at addresses so many times.

    Args:
        sources: files and addresses.
        every_s: between two looks at an address, s.
        times: looks at an address.
        say: told of every look.

    """
    found = []
    for source in sources:
        if not source.startswith(("http://", "https://")):
            path = Path(source)
            text = Content.of(path, hint=HINT).text(hint=HINT)
            found.append(read_page(text, path.stat().st_mtime, source))
            continue
        for i in range(times):
            if i:
                time.sleep(every_s)
            found.append(look(source))
            say(
                f"look {i + 1} of {times}: {found[-1].get('e2e', '_count'):.0f} requests ended so far"
            )
    return found
