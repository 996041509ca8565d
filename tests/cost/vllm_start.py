"""Real vLLM on this machine's CPU, with random weights: it answers one request of the case on
stdin, and its log says how many tokens its cache holds.
"""

import json
import sys
import tempfile
from pathlib import Path

from vllm import LLM, SamplingParams, TokensPrompt


def main() -> None:
    case = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(case["model"]))
        llm = LLM(folder, load_format="dummy", skip_tokenizer_init=True, **case["words"])
        prompt = TokensPrompt(prompt_token_ids=[1])
        [answer] = llm.generate(prompt, SamplingParams(max_tokens=2, detokenize=False))
    assert len(answer.outputs[0].token_ids) == 2


if __name__ == "__main__":
    main()
