"""Every causal-LM type that transformers ships, from its default config: as transformers builds it, or refused.

What transformers counts is read from the model itself, built without memory; what it caches, from a
forward pass of it. Of wrappers the text's part counts.
"""

import json
import math
import os
import signal
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from planner.errors import SpecError
from planner.inputs.hf import from_config

pytestmark = [pytest.mark.slow, pytest.mark.torch]
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "model-types.md"
# LongCat's experts that do nothing have no weights (arXiv 2509.01322, 560B in all); this release of
# transformers makes gate and up projections for them.
ZERO_EXPERTS = {"longcat_flash": 256 * 2 * 2048 * 6144 * 28}
# Types whose own defaults no release builds a model from; their other configs are read.
UNBUILT = {"cohere_compass_text", "deepseek_v2", "dots1", "gemma3n", "gemma4_assistant", "hunyuan_v1_dense",
           "hunyuan_v1_moe", "lfm2_moe", "ministral", "nemotron"}  # fmt: skip


@contextmanager
def within(seconds):
    def stop(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def built(name, config):
    """Return the parameters of the text's part, and cached elements a token; None where none is built."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES

    cls = NAMES[name] if isinstance(NAMES[name], str) else NAMES[name][0]
    try:
        with within(90), torch.device("meta"), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            try:
                model = getattr(transformers, cls)(config).eval()
            except Exception:  # noqa: BLE001 - a wrapper's config, which names its text's
                model = transformers.AutoModelForCausalLM.from_config(config).eval()
    except Exception:  # noqa: BLE001 - of 196 classes, some cannot be built from their own defaults
        return None
    model.tie_weights()
    sizes = {k: math.prod(v.shape) for k, v in model.named_parameters()}
    text = {k: n for k, n in sizes.items() if "language_model" in k or k.startswith("lm_head")}
    whole = text if any("language_model" in k for k in sizes) else sizes
    whole = {k: n for k, n in whole.items() if "embed_tokens_extend" not in k}
    cached = None
    try:
        with within(60), torch.device("meta"), torch.no_grad():
            out = model(input_ids=torch.zeros(1, 8, dtype=torch.long), use_cache=True)
        layers = [x for x in out.past_key_values.layers if getattr(x, "keys", None) is not None]
        cached = sum(
            t.shape[1] * t.shape[3] for x in layers for t in (x.keys, x.values) if t.ndim == 4
        )
    except Exception:  # noqa: BLE001, S110 - a step that needs numbers, not shapes
        pass
    return sum(whole.values()), cached


@pytest.fixture(scope="module")
def table():
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES

    torch.set_default_dtype(torch.bfloat16)
    found = {}
    try:
        for name in NAMES:
            try:
                config = CONFIG_MAPPING[name]()
                said = json.loads(config.to_json_string(use_diff=False))
            except Exception:  # noqa: BLE001 - of one class or another
                found[name] = (None, None, "no default config")
                continue
            cls = NAMES[name] if isinstance(NAMES[name], str) else NAMES[name][0]
            theirs = built(name, config)
            try:
                ours = from_config(said | {"architectures": [cls]})
            except SpecError as error:
                found[name] = (theirs, None, str(error).partition("config: ")[2])
                continue
            found[name] = (theirs, (ours.n_params, ours.kv_bytes_per_token // 2), "")
    finally:
        torch.set_default_dtype(torch.float32)
    return found


def state(name, theirs, ours, why):
    if ours is None:
        return "refused"
    if theirs is None:
        return "not built"
    return "exact" if ours[0] == theirs[0] - ZERO_EXPERTS.get(name, 0) else "wrong"


def test_every_type_is_exact_or_refused(table, record_testsuite_property):
    counts = Counter(state(name, *row) for name, row in table.items())
    said = f"of {len(table)} causal-LM types: {dict(counts)}"
    print(said)
    record_testsuite_property("model types", said)
    wrong = {n: row[:2] for n, row in table.items() if state(n, *row) == "wrong"}
    assert not wrong
    assert counts["exact"] >= 120
    assert {n for n, row in table.items() if state(n, *row) == "not built"} <= UNBUILT


def test_caches_are_those_of_a_forward_pass(table):
    seen = {n: (t[1], o[1]) for n, (t, o, _) in table.items() if t and o and t[1] is not None}
    wrong = {n: pair for n, pair in seen.items() if pair[0] != pair[1]}
    print(f"caches of {len(seen)} types")
    assert not wrong and len(seen) >= 100


def test_the_page_lists_them(table):
    """Rewritten with PLANNER_UPDATE_TYPES=1."""
    lines = [
        "# Model types that are read",
        "",
        "Every causal-LM type of transformers 5.24, from its default config: *exact* means that parameters",
        "and cache are those of the model transformers builds, *not built* that it builds none from these",
        "defaults. What is refused can be described in a TOML ([how](../how-to/describe-a-model.md)).",
        "",
        "| type | parameters | |",
        "| :-- | --: | :-- |",
    ]
    for name, (theirs, ours, why) in sorted(table.items()):
        count = f"{ours[0]:,}" if ours else f"{theirs[0]:,}" if theirs else ""
        lines.append(
            f"| {name} | {count} | {(why and f'refused: {why}') or state(name, theirs, ours, why)} |"
        )
    text = "\n".join(lines) + "\n"
    if os.environ.get("PLANNER_UPDATE_TYPES"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text
