"""The torch engine: its cache gives the tokens a full forward pass gives, and its rows are complete."""

import pytest

torch = pytest.importorskip("torch")

from planner_calibration.measure.machine import cpu
from planner_calibration.measure.serve.offline import Options, Point
from planner_calibration.measure.torch_engine import measure
from planner_calibration.measure.torch_engine.run import Engine

from planner.inputs.model import llama_candidate

pytestmark = pytest.mark.torch

SPEC = llama_candidate(2, 32, 4, 2, 8, 48, 64)


def test_decoding_with_the_cache_gives_what_prefilling_everything_gives():
    """Token by token equals prompt plus output at once; so positions, masks and groups are right."""
    prompts = torch.randint(0, 64, (3, 7), generator=torch.Generator().manual_seed(1))
    engine = Engine(SPEC, 3, 12, budget_tokens=14)  # two slices: 2 + 1 sequences
    out = engine.generate(prompts, 5).tokens
    for known in range(1, 5):
        longer = torch.cat([prompts, out[:, :known]], dim=1)
        again = engine.generate(longer, 1).tokens
        assert (again[:, 0] == out[:, known]).all()


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_a_bucket_gives_what_an_exact_slice_gives():
    """The bucket is what CUDA graphs replay; its arithmetic is tested without a GPU."""
    prompts = torch.randint(0, 64, (2, 5), generator=torch.Generator().manual_seed(2))
    engine = Engine(SPEC, 2, 16)
    with torch.inference_mode():
        engine.generate(prompts, 1)
        engine.position.fill_(5)
        tokens = engine.tokens.clone()
        exact = engine.model.decode(tokens, engine.position, 6)
        assert (engine.model.decode(tokens, engine.position, 16, bucket=True) == exact).all()


def test_a_row_records_what_was_chosen_and_what_came_out():
    (row,) = measure.serve(SPEC, [Point(2, 8, 4)], Options(dtype="float32", repeats=3), cpu())
    assert row.status == "ok" and row.kind == "serve_offline" and row.engine.startswith("torch ")
    assert row.what["batch"] == 2 and row.what["d_model"] == 32 and row.what["dtype"] == "float32"
    assert len(row.samples["e2e_s"]) == len(row.samples["prefill_s"]) == 3
    for whole, prefill in zip(row.samples["e2e_s"], row.samples["prefill_s"], strict=True):
        assert 0 < prefill < whole  # of one run: medians of several need not add up under load
    assert row.key == measure.keys(SPEC, [Point(2, 8, 4)], Options(dtype="float32"), cpu())[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_decoding_gives_the_same_tokens_and_counts_its_graphs():
    """What a GPU compiles and captures, compiled here; only the capture itself needs one."""
    prompts = torch.randint(0, 64, (2, 5), generator=torch.Generator().manual_seed(3))
    plain = Engine(SPEC, 2, 16).generate(prompts, 1).tokens
    engine = Engine(SPEC, 2, 16, compile=True, graphs=False)
    assert (engine.generate(prompts, 1).tokens == plain).all()
    decode = torch.compile(engine.model.decode, dynamic=False)
    with torch.inference_mode():
        engine.position.fill_(5)
        tokens = engine.tokens.clone()
        exact = engine.model.decode(tokens, engine.position, 6)
        assert (decode(tokens, engine.position, 16, True) == exact).all()
    told = engine.compiled()
    assert told["graphs_compiled"] >= 2 and told["graph_breaks"] == 0
