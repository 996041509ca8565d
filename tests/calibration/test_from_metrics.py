"""A profile from what a server publishes: text as vLLM and SGLang write it, made by a known server."""

import http.server
import threading

import numpy as np
import pytest

pytest.importorskip("prometheus_client")

from planner_calibration.fit.metrics import page
from planner_calibration.fit.metrics.command import run

from planner.errors import SpecError
from planner.inputs.profile import load_profile

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="m"}} 1.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{engine="0",model_name="m"}} {prompt}
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{engine="0",model_name="m"}} {made}
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{{engine="0",model_name="m"}} 0.0
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{{block_size="16",engine="0",num_gpu_blocks="1000"}} 1.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{{engine="0",le="0.1",model_name="m"}} {n}
vllm:time_to_first_token_seconds_bucket{{engine="0",le="+Inf",model_name="m"}} {n}
vllm:time_to_first_token_seconds_count{{engine="0",model_name="m"}} {n}
vllm:time_to_first_token_seconds_sum{{engine="0",model_name="m"}} {ttft}
# TYPE vllm:inter_token_latency_seconds histogram
vllm:inter_token_latency_seconds_bucket{{engine="0",le="+Inf",model_name="m"}} {gaps}
vllm:inter_token_latency_seconds_count{{engine="0",model_name="m"}} {gaps}
vllm:inter_token_latency_seconds_sum{{engine="0",model_name="m"}} {itl}
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{{engine="0",le="+Inf",model_name="m"}} {n}
vllm:e2e_request_latency_seconds_count{{engine="0",model_name="m"}} {n}
vllm:e2e_request_latency_seconds_sum{{engine="0",model_name="m"}} {e2e}
"""
TOKENS = (512, 128)


def text(n, ttft_s, itl_s, engine="vllm"):
    """Return a page after `n` requests that all saw the same."""
    gaps = n * (TOKENS[1] - 1)
    e2e = ttft_s + itl_s * (TOKENS[1] - 1)
    found = VLLM.format(n=n, prompt=n * TOKENS[0], made=n * TOKENS[1], ttft=n * ttft_s, gaps=gaps,
                        itl=gaps * itl_s, e2e=n * e2e)  # fmt: skip
    return found.replace("vllm:", f"{engine}:")


@pytest.fixture
def looks(tmp_path):
    """Return files of three looks at a server, a minute apart, with steps and front end of their own."""
    import os

    def make(ttft_s, itl_s, engine="vllm", n=120):
        paths = []
        for i in range(3):
            path = tmp_path / f"{engine}-{i}.txt"
            path.write_text(text(1000 + i * n, ttft_s, itl_s, engine))
            os.utime(path, (1e9 + 60 * i, 1e9 + 60 * i))
            paths.append(str(path))
        return paths

    return make


def fitted(paths, tmp_path, **more):
    options = {"model": "llama-3.1-8b", "on": "h100-sxm", "every": "0s", "times": 1, "logs": [],
               "name": "served", "folder": tmp_path, "engine": "", "settings": {}, "say": print}  # fmt: skip
    return run(paths, **(options | more))


def test_windows_are_what_happened_between_looks(looks):
    pages = page.pages_of(looks(0.05, 0.01), every_s=0, times=1, say=print)
    first, second = page.windows(pages)
    assert (first.seconds, first.requests, first.rate_per_s) == (60, 120, 2)
    assert (first.input_tokens, first.output_tokens) == TOKENS
    assert first.ttft_s == pytest.approx(0.05) and second.itl_s == pytest.approx(0.01)
    assert first.in_flight == pytest.approx(2 * (0.05 + 127 * 0.01))  # Little
    assert first.cache_tokens == 16_000


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_slow_front_end_and_slow_steps_are_found_and_written(looks, tmp_path, engine):
    """TTFT of 200 ms and 9 ms a token, where the shipped profile says some 30 and 7."""
    report = fitted(looks(0.2, 0.009, engine), tmp_path)
    for e in report.fitted.loads:
        assert e.predicted["ttft_mean_s"] == pytest.approx(0.2, rel=0.1)
        assert e.predicted["tpot_mean_s"] == pytest.approx(0.009, rel=0.1)
    profile = load_profile(str(report.path))
    assert profile.front_end.fixed_s + profile.front_end.request_s > 0.1
    assert profile.devices == ("h100-sxm",) and profile.engine.startswith(engine)
    told = {r["constant"]: r["shrinkage"] for r in report.rows()}
    assert told["fixed_s"] < 0.5 < told["token_s"]  # two windows say nothing of what a token costs


def test_one_look_counts_from_the_start_of_the_server(tmp_path):
    import os

    path = tmp_path / "page.txt"
    path.write_text(text(300, 0.05, 0.01) + "process_start_time_seconds 1000000000\n")
    os.utime(path, (1e9 + 150, 1e9 + 150))
    (window,) = page.windows(page.pages_of([str(path)], every_s=0, times=1, say=print))
    assert window.rate_per_s == 2


def test_a_server_is_looked_at_as_often_as_asked():
    n = iter(range(100))

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text(20 * next(n) + 20, 0.05, 0.01).encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        pages = page.pages_of([url], every_s=0.05, times=3, say=print)
        server.shutdown()
    windows = page.windows(pages)
    assert [w.requests for w in windows] == [20, 20]
    assert all(np.isclose(w.seconds, 0.05, atol=0.04) for w in windows)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{not prometheus", "Prometheus"),
        ("up 1\n", "publishes nothing"),
        (text(3, 0.1, 0.1), "fewer than 8"),
    ],
)
def test_what_says_nothing_is_refused(tmp_path, content, error):
    path = tmp_path / "page.txt"
    path.write_text(content)
    with pytest.raises(SpecError, match=error):
        fitted([str(path)], tmp_path)
