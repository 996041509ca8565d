"""The process that holds the real engine. Run by the Python that has it; it imports nothing of ours.

    python driver.py JOB.json EVENTS.jsonl

It starts one engine on one model and times batches of identical requests. Each finished point is written
at once, so that a crash, a hang or an out-of-memory later on loses only what was not yet measured.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import leash  # type: ignore[import-not-found] # beside this file, as the next
from reference import Reference  # type: ignore[import-not-found]

Job = dict[str, Any]
Point = dict[str, int]
Started = tuple[Callable[[list[list[int]], int], int], dict[str, str], dict[str, object]]


def main() -> None:
    leash.hold()
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123 - a script of plain parts
        job = json.load(file)
    events = open(sys.argv[2], "a", encoding="utf-8")  # noqa: PTH123, SIM115 - until the process ends

    def tell(**event: object) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()
        os.fsync(events.fileno())

    start = time.perf_counter()
    generate, versions, runs_with = ENGINES[job["engine"]](job)
    tell(event="ready", versions=versions, engine=runs_with, start_s=time.perf_counter() - start)
    pick = random.Random(job["seed"])
    core = Reference() if job["reference"] else None
    vocab = job["vocab_size"]
    for index, point in enumerate(job["points"]):
        tell(event="begin", index=index)

        def prompts(point: Point = point) -> list[list[int]]:
            # New tokens each time: nothing may come from a prefix cache.
            return [
                [pick.randrange(2, vocab) for _ in range(point["input_tokens"])]
                for _ in range(point["batch"])
            ]

        samples: list[float] = []
        shared: list[tuple[float, float]] = []  # wall time, and of the reference work beside it
        generate(prompts(), min(4, point["output_tokens"]))  # kernels picked, memory touched
        begun = time.perf_counter()
        while len(samples) < job["repeats"] or (
            len(samples) < 4 * job["repeats"]
            and time.perf_counter() - begun < job["seconds_per_point"]
        ):
            batch = prompts()
            before = core.seconds() if core else 0.0
            t = time.perf_counter()
            produced = generate(batch, point["output_tokens"])
            samples.append(time.perf_counter() - t)
            if core:
                shared.append((samples[-1], (before + core.seconds()) / 2))
            if produced != point["batch"] * point["output_tokens"]:
                tell(event="wrong", index=index, message=f"{produced} tokens came out")
                break
        else:
            tell(event="point", index=index, samples_s=samples, shared=shared)
    tell(event="end")


def vllm(job: Job) -> Started:
    """https://docs.vllm.ai: LLM on a folder with a config.json alone."""
    import torch
    import vllm
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt

    llm = LLM(model=job["model"], **job["flags"])

    def generate(batch: list[list[int]], output_tokens: int) -> int:
        sampling = SamplingParams(max_tokens=output_tokens, ignore_eos=True, detokenize=False)
        prompts = [TokensPrompt(prompt_token_ids=ids) for ids in batch]
        done = llm.generate(prompts, sampling, use_tqdm=False)
        return sum(len(request.outputs[0].token_ids) for request in done)

    versions = {"vllm": vllm.__version__, "torch": torch.__version__}
    return (
        generate,
        versions,
        chosen(getattr(getattr(llm, "llm_engine", None), "vllm_config", None)),
    )


def chosen(config: Any) -> dict[str, object]:
    """Return what vLLM settled on, asked or not: limits, blocks and how it schedules."""
    kept = {
        "parallel_config": ("tensor_parallel_size", "pipeline_parallel_size"),
        "scheduler_config": ("max_num_batched_tokens", "max_num_seqs", "async_scheduling"),
        "cache_config": ("block_size", "num_gpu_blocks"),
        "model_config": ("enforce_eager",),
    }
    found = {
        name: getattr(getattr(config, part, None), name, None)
        for part, names in kept.items()
        for name in names
    }
    return {name: value for name, value in found.items() if isinstance(value, int)}


def sglang(job: Job) -> Started:
    """https://docs.sglang.ai: the offline engine, by the same interface."""
    import sglang  # type: ignore[import-not-found]
    import torch

    engine = sglang.Engine(model_path=job["model"], **job["flags"])

    def generate(batch: list[list[int]], output_tokens: int) -> int:
        sampling = {"max_new_tokens": output_tokens, "ignore_eos": True, "temperature": 0.0}
        done = engine.generate(input_ids=batch, sampling_params=sampling)
        return sum(int(request["meta_info"]["completion_tokens"]) for request in done)

    args = getattr(engine, "server_args", None)
    names = {
        "tensor_parallel_size": "tp_size",
        "max_num_batched_tokens": "chunked_prefill_size",
        "max_num_seqs": "max_running_requests",
        "block_size": "page_size",
    }
    found = {ours: getattr(args, theirs, None) for ours, theirs in names.items()}
    runs_with: dict[str, object] = {k: v for k, v in found.items() if isinstance(v, int)}
    return generate, {"sglang": sglang.__version__, "torch": torch.__version__}, runs_with


ENGINES = {"vllm": vllm, "sglang": sglang}

if __name__ == "__main__":  # the engine's own processes import this file again
    main()
