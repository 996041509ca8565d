"""Some forty published measurements, each a single figure with its source, judge predictions from end to end.

Drawn at random from each class of card, engine, format and model, among those that stand within 22 % as
this is written; a change that takes one of them further than 30 % off has to say why. What is off by
more is in docs/validation.md, which scores whole sets. InferenceX figures: SemiAnalysis, Apache-2.0.
"""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from planner.inputs.files import Sheet
from planner.questions.validate.measured import runs_of
from planner.questions.validate.validate import validate_runs

POINTS = """\
gpu,engine,engine_version,date,tp,ep,dtype,kv_dtype,model,arrival,concurrency,n_requests,input_tokens,output_tokens,lengths,metric,value,source
b200,sglang,lmsysorg/sglang:v0.5.6-cu129-amd64,2025-12-31,4,4,fp4,fp8,DeepSeek-R1-0528,closed,16,160,921.6,7372.8,uniform:0.8,tpot_mean_s,0.01296,"InferenceX, gminneci/mantile@72ff84e"
b200,tensorrt-llm,,2025-10-28,8,,fp4,fp8,DeepSeek-R1-0528,closed,4,40,7372.8,921.6,uniform:0.8,tpot_p50_s,0.008225,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
b200,tensorrt-llm,nvcr.io/nvidia/tensorrt-llm/release:1.1.0rc2.post2,2025-12-15,4,4,fp4,fp8,DeepSeek-R1-0528,closed,128,1280,921.6,7372.8,uniform:0.8,ttft_p50_s,0.1234,"InferenceX, vngcloud/InferenceX-app@cac6246"
h200-sxm,sglang,,2025-10-28,8,,fp8,,DeepSeek-R1-0528,closed,64,640,7372.8,921.6,uniform:0.8,tpot_p50_s,0.05485,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
h200-sxm,tensorrt-llm,,2025-10-28,8,,fp8,fp8,DeepSeek-R1-0528,closed,32,320,921.6,921.6,uniform:0.8,tpot_p50_s,0.0258,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
mi300x,sglang,lmsysorg/sglang:v0.5.9-rocm700-mi30x,2026-02-27,8,1,fp8,,DeepSeek-R1-0528,closed,16,160,921.6,7372.8,uniform:0.8,ttft_p50_s,0.1713,"InferenceX, vngcloud/InferenceX-app@cac6246"
mi300x,sglang,lmsysorg/sglang:v0.5.9-rocm700-mi30x,2026-02-27,8,1,fp8,,DeepSeek-R1-0528,closed,16,160,921.6,7372.8,uniform:0.8,tpot_mean_s,0.03099,"InferenceX, vngcloud/InferenceX-app@cac6246"
mi355x,sglang,,2026-06-11,8,1,fp4,,DeepSeek-R1-0528,closed,64,640,921.6,921.6,uniform:0.8,tpot_p50_s,0.01926,"InferenceX, vngcloud/InferenceX-app@528c414"
mi355x,sglang,lmsysorg/sglang:v0.5.9-rocm700-mi35x,2026-02-27,8,1,fp4,,DeepSeek-R1-0528,closed,32,320,921.6,7372.8,uniform:0.8,ttft_p50_s,0.1048,"InferenceX, vngcloud/InferenceX-app@cac6246"
b200,tensorrt-llm,,2025-10-28,2,,fp4,fp8,Llama-3.3-70B,closed,8,80,921.6,7372.8,uniform:0.8,tpot_p50_s,0.009245,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
b200,tensorrt-llm,,2025-10-28,1,,fp8,fp8,Llama-3.3-70B,closed,32,320,921.6,7372.8,uniform:0.8,tpot_p50_s,0.02015,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
b200,vllm,,2025-10-28,8,,fp4,fp8,Llama-3.3-70B,closed,16,160,921.6,921.6,uniform:0.8,tpot_p50_s,0.008367,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
h100-sxm,vllm,,2025-10-28,4,,fp8,fp8,Llama-3.3-70B,closed,64,640,921.6,7372.8,uniform:0.8,tpot_p50_s,0.02348,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
h200-sxm,tensorrt-llm,,2025-10-28,2,,fp8,fp8,Llama-3.3-70B,closed,32,320,921.6,921.6,uniform:0.8,tpot_p50_s,0.0154,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
h200-sxm,vllm,,2025-10-28,8,,fp8,fp8,Llama-3.3-70B,closed,64,640,921.6,7372.8,uniform:0.8,tpot_p50_s,0.01377,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
mi300x,vllm,,2025-10-28,2,,fp8,fp8,Llama-3.3-70B,closed,32,320,921.6,921.6,uniform:0.8,tpot_p50_s,0.02481,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
mi355x,vllm,,2025-10-28,8,,fp4,fp8,Llama-3.3-70B,closed,4,40,7372.8,921.6,uniform:0.8,tpot_p50_s,0.009068,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
mi355x,vllm,,2025-10-28,4,,fp8,fp8,Llama-3.3-70B,closed,32,320,921.6,921.6,uniform:0.8,tpot_p50_s,0.01205,"InferenceX, leoshan/inference-max-automated-pipeline@026458a"
a100-sxm-80gb,sglang,0.5.4.post2,,4,4,bf16,,GLM-4.5-Air,burst,,500,3999.6,198.9,fixed,tpot_mean_s,0.1247,gpustack/gpustack a100.md@47277d7
a100-sxm-80gb,sglang,0.5.5.post1,,1,1,bf16,,Qwen/Qwen3-14B,burst,,1000,217.4,201.7,sharegpt,tpot_p50_s,0.1852,gpustack/gpustack a100.md@47277d7
a100-sxm-80gb,tensorrt-llm,1.2.0rc1,,1,1,bf16,,Qwen/Qwen3-14B,burst,,1000,217.4,201.6,sharegpt,ttft_p50_s,15.05,gpustack/gpustack a100.md@47277d7
a100-sxm-80gb,tensorrt-llm,1.2.0rc1,,1,1,bf16,,Qwen/Qwen3-14B,burst,,1000,217.4,201.6,sharegpt,tpot_p50_s,0.1503,gpustack/gpustack a100.md@47277d7
h100-sxm,sglang,0.5.3.post3,,1,1,bf16,,Qwen/Qwen3-8B,closed,4,100,232.6,220.6,sharegpt,tpot_mean_s,0.00719,gpustack/gpustack h100-latency.md@47277d7
h100-sxm,tensorrt-llm,1.2.0rc1,,1,1,bf16,,Qwen/Qwen3-8B,closed,4,100,232.6,220.6,sharegpt,tpot_mean_s,0.00767,gpustack/gpustack h100-latency.md@47277d7
h100-sxm,vllm,0.11.0,,1,1,bf16,,Qwen/Qwen3-8B,closed,4,100,232.6,220.6,sharegpt,tpot_mean_s,0.00738,gpustack/gpustack h100-latency.md@47277d7
h100-sxm,sglang,0.5.3.post3,,1,1,fp8,,Qwen/Qwen3-8B-FP8,closed,4,100,232.6,220.6,sharegpt,tpot_mean_s,0.00565,gpustack/gpustack h100-latency.md@47277d7
h200-sxm,vllm,0.11.0,,8,1,fp8,,deepseek-ai/DeepSeek-R1-0528,burst,,500,3995.1,200.0,fixed,tpot_mean_s,0.1642,gpustack/gpustack h200.md@47277d7
a100-sxm-40gb,vllm,0.6,,8,,bf16,,llama-3.1-70b,burst,,1000,215,179,lognormal,output_tokens_per_s,1519,vllm-project/vllm#7567
a100-sxm-80gb,sglang,,,8,,bf16,,llama-3.1-70b,closed,16,,3750,521,mean only,tpot_mean_s,0.03694,sgl-project/sgl-cookbook docs/autoregressive/Llama/Llama3.1.md
h100-sxm,tensorrt-llm,1.0,,2,,fp8,fp8,llama-3.3-70b,closed,1000,,5000,500,mean only,output_tokens_per_s,898,NVIDIA/TensorRT-LLM docs/source/performance/perf-overview.md
h100-sxm,vllm,0.6,,1,,w_fp8_kv_fp8,,Llama-3-8B,batch,16,,1024,1024,,e2e_mean_s,8.905,argonne-lcf/LLM-Inference-Bench@4211f5d
a100-sxm-40gb,vllm,0.6,,4,,float16,,Mistral-7B-v0.1,batch,32,,512,512,,e2e_mean_s,5.757,argonne-lcf/LLM-Inference-Bench@4211f5d
a100-sxm-40gb,vllm,0.6,,4,,float16,,Llama-2-7b,batch,32,,1024,1024,,e2e_mean_s,16.07,argonne-lcf/LLM-Inference-Bench@4211f5d
a100-sxm-40gb,vllm,0.6,,1,,float16,,Mistral-7B-v0.1,batch,16,,128,128,,e2e_mean_s,2.096,argonne-lcf/LLM-Inference-Bench@4211f5d
a100-sxm-40gb,vllm,0.6,,1,,float16,,Llama-3-8B,batch,32,,1024,1024,,e2e_mean_s,26.18,argonne-lcf/LLM-Inference-Bench@4211f5d
h100-sxm,vllm,0.6,,1,,float16,,Llama-3-8B,batch,32,,1024,1024,,e2e_mean_s,13.43,argonne-lcf/LLM-Inference-Bench@4211f5d
h100-sxm,vllm,0.6,,2,,float16,,Llama-2-7b,batch,32,,256,256,,e2e_mean_s,2.451,argonne-lcf/LLM-Inference-Bench@4211f5d
h100-sxm,tensorrt-llm,,,1,,float16,,Llama-2-7b,batch,32,,128,128,,e2e_mean_s,1.087,argonne-lcf/LLM-Inference-Bench@4211f5d
a100-sxm-40gb,tensorrt-llm,,,4,,float16,,Llama-3-8B,batch,32,,128,128,,e2e_mean_s,1.062,argonne-lcf/LLM-Inference-Bench@4211f5d
a100-sxm-40gb,tensorrt-llm,,,2,,float16,,Mistral-7B-v0.1,batch,64,,128,128,,e2e_mean_s,1.733,argonne-lcf/LLM-Inference-Bench@4211f5d
"""


@pytest.fixture(scope="module")
def judged():
    rows = []
    for row in csv.DictReader(io.StringIO(POINTS)):
        metric, value = row.pop("metric"), row.pop("value")
        rows.append({k: v for k, v in row.items() if v} | {metric: value})
    runs, unread = runs_of(Sheet.of(rows, Path("points.csv")))
    assert not unread
    return validate_runs(runs, "published figures").lines


# What went further off since, and why.
MISSED = {
    "GLM-4.5-Air": "a third too fast; while SGLang's memory was taken for .9 of the card, 90 ran "
    "side by side, which hid it: 51 do now, and 54 did by the run's own duration and TPOT",
}


def test_every_published_figure_is_met(judged):
    off = {x.row: x.predicted / x.measured - 1 for x in judged}
    assert len(off) == POINTS.count("\n") - 1
    models = [row["model"] for row in csv.DictReader(io.StringIO(POINTS))]
    wide = {models[row - 1] for row, error in off.items() if abs(error) > 0.30}
    assert wide == set(MISSED)
    assert np.median(np.abs(list(off.values()))) < 0.10


def test_four_in_five_lie_in_the_interval_stated(judged):
    """Or more: those that are furthest off were not taken. Ends a tenth of a percent wide hold none."""
    held = np.mean([x.low <= x.measured <= x.high for x in judged])
    assert 0.75 <= held <= 1.0
    assert all(x.low < x.predicted < x.high for x in judged)
