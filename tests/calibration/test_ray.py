"""A sweep over a real two-node Ray cluster, one node killed half-way: nothing lost, nothing twice."""

import threading
import time

import pytest

pytest.importorskip("ray")

from planner_calibration import runs
from planner_calibration.measure.sweep import Planned, sweep

from planner.inputs.measurement import Measurement, content_key

N = 10

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


def test_a_killed_node_loses_nothing_and_repeats_nothing(two_nodes, tmp_path):
    """Every run finishes exactly once; what was under way on the dead node is done elsewhere."""
    cluster, second = two_nodes
    diary, store = tmp_path / "diary.txt", tmp_path / "runs.jsonl"

    def work(job):
        import ray

        node = ray.get_runtime_context().get_node_id()
        with open(diary, "a") as file:  # noqa: PTH123 - appended by several processes
            file.write(f"start {job} {node}\n")
        time.sleep(1.5)
        with open(diary, "a") as file:  # noqa: PTH123
            file.write(f"end {job} {node}\n")
        return [Measurement.of("gemm", {"m": job}, values={"median_s": 1.5})]

    def failed(job):
        return lambda message: [Measurement.of("gemm", {"m": job}, status="crash", message=message)]

    planned = [Planned((content_key("gemm", {"m": j}, "", ""),), failed(j), j) for j in range(N)]
    victim = second.node_id

    def on_victim(word):
        lines = diary.read_text().splitlines() if diary.exists() else []
        return [line for line in lines if line.startswith(word) and line.endswith(victim)]

    def kill_half_way():
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and len(on_victim("end")) < 2:
            time.sleep(0.05)
        time.sleep(0.5)  # into the next one
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill_half_way)
    killer.start()
    tally = sweep(planned, work, store, ray=cluster.address, gpus=0)
    killer.join()
    loaded = runs.load(store)
    assert tally.done == N and tally.failed == 0 and not loaded.duplicates
    assert sorted(r.what["m"] for r in loaded.rows) == list(range(N))
    events = [line.split() for line in diary.read_text().splitlines()]
    ended = [job for word, job, _ in events if word == "end"]
    assert sorted(ended, key=int) == [str(j) for j in range(N)], "a finished run was run again"
    assert len(on_victim("end")) >= 2, "the second node took part"
    assert len([e for e in events if e[0] == "start"]) > N, "a run was under way when it died"
    again = sweep(planned, work, store, ray=cluster.address, gpus=0)
    assert (again.done, again.skipped) == (0, N)
