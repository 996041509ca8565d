#!/usr/bin/env bash
# An hour on a data-centre GPU: kernels, the torch engine (and vLLM, where there is one) on the paper's seven
# architectures, a profile fitted from them, and a training sweep for the loss law with what time is left.
#
#   calibration/gpu_hour.sh OUT HARDWARE [MINUTES]       e.g. calibration/gpu_hour.sh runs/h200 h200-sxm 60
#
# Every step appends to run files in OUT and skips what is there, so a second hour goes on where the first
# one stopped. PLANNER_VLLM_PYTHON names a Python with vLLM; without it the torch engine stands in.
set -uo pipefail
out=${1:?usage: gpu_hour.sh OUT HARDWARE [MINUTES]}
hardware=${2:?usage: gpu_hour.sh OUT HARDWARE [MINUTES]}
minutes=${3:-60}
planner=${PLANNER:-planner} device=${DEVICE:-cuda}
end=$((SECONDS + minutes * 60))
left() { echo $((end - SECONDS)); }
# step NAME SHARE COMMAND…: at most so many percent of what is left; a failure is told and passed by.
step() {
  local name=$1 share=$2
  shift 2
  local limit=$(($(left) * share / 100))
  echo "== $name (at most ${limit} s)"
  timeout --signal=INT --kill-after=60 "$limit" "$@" || echo "== $name ended with $?"
}
mkdir -p "$out"
paper="llama-3.2-1b panda-1b surefire-1b llama-3.2-3b panda-3b surefire-3b panda-3b-1bfit"
models=()
for m in $paper; do
  if $planner models show "$m" >/dev/null 2>&1; then models+=("$m"); else echo "== no preset $m"; fi
done

step kernels 15 $planner calibrate kernels --runs "$out/kernels.jsonl" --size full --device "$device" \
  --propose "$out/proposed.toml"
step torch-engine 40 $planner calibrate serve "${models[@]}" --runs "$out/torch.jsonl" --engine torch \
  --device "$device" --dtype bfloat16 --batch 1,8,16,32,64,128 --input-tokens 4096 --output-tokens 1,1024 \
  --repeats 3
if [ -n "${PLANNER_VLLM_PYTHON:-}" ]; then
  step vllm 60 $planner calibrate serve "${models[@]}" --runs "$out/vllm.jsonl" --engine vllm \
    --python "$PLANNER_VLLM_PYTHON" --device "$device" --dtype bfloat16 --batch 1,8,16,32,64,128 \
    --input-tokens 4096 --output-tokens 1,1024 --repeats 3 --limit 600s
fi
for engine in torch vllm; do
  [ -s "$out/$engine.jsonl" ] || continue
  echo "== fit $engine"
  $planner calibrate fit "$out/kernels.jsonl" "$out/$engine.jsonl" --on "$hardware" --engine "$engine" \
    --name "$hardware-$engine" --to "$out/fits" | tee "$out/fit-$engine.txt"
  $planner calibrate show "$out/$engine.jsonl" --on "$hardware" \
    --profile "$out/fits/$hardware-$engine.toml" >"$out/residuals-$engine.txt"
done
# What the shapes gain: measured against predicted, batch by batch.
"${PYTHON:-python3}" "$(dirname "$0")/gains.py" "$out" "$hardware" | tee "$out/gains.txt"
# The rest of the time: 20 to 100M models, two arms through the middle, seed by seed.
for size in 20M 50M 100M; do
  case $size in 20M) layers=8 tokens=400M ;; 50M) layers=10 tokens=1B ;; *) layers=12 tokens=2B ;; esac
  [ "$(left)" -gt 120 ] || break
  step "train-$size" 60 $planner calibrate train --runs "$out/train.jsonl" --near $size --layers $layers \
    --x 0.05,0.065,0.08,0.10,0.13 --r 0.5,1,2,4 --gqa 4 --head-dim 64 --vocab-size 8192 \
    --tokens $tokens --batch 64 --length 512 --seeds 2 --device "$device" --threads 0 \
    --checkpoints "$out/checkpoints" ${PLANNER_DATA:+--data "$PLANNER_DATA"}
done
if [ -s "$out/train.jsonl" ]; then
  $planner calibrate show "$out/train.jsonl" --csv --out "$out/train.csv"
  $planner calibrate fit "$out/train.jsonl" --name "$hardware-law" --to "$out/fits" | tee "$out/fit-law.txt"
fi
echo "== done in $((SECONDS / 60)) min; files in $out"
