"""Training: resumes to the bit, learns, tells of divergence, and treats widths alike."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from planner_calibration import runs
from planner_calibration.measure.machine import machine
from planner_calibration.measure.shapes import Shape
from planner_calibration.measure.sweep import sweep
from planner_calibration.measure.train.data import corpus, standard_library
from planner_calibration.measure.train.loop import Recipe, train
from planner_calibration.measure.train.model import BASE_WIDTH, Llama
from planner_calibration.measure.train.sweep import Run, cross, do, plan

from planner.errors import SpecError

pytestmark = pytest.mark.torch

SHAPE = Shape(2, 32, 4, 2, 8, 48, 300)
RECIPE = Recipe(n_tokens=30 * 4 * 32, batch=4, length=32, heldout_windows=16)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A corpus of a hundred kilobytes of real text: some of the standard library."""
    folder = tmp_path_factory.mktemp("text")
    size = 0
    for i, file in enumerate(standard_library()):
        content = file.read_text(encoding="utf-8", errors="replace")[:2500]
        (folder / f"{i}.py").write_text(content)
        size += len(content)
        if size > 100_000:
            break
    return folder


@pytest.fixture(scope="module")
def tokens(text, tmp_path_factory):
    return corpus(text, vocab_size=300, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(tokens, tmp_path):
    whole = train(SHAPE, tokens, RECIPE, seed=3)
    checkpoint = tmp_path / "run.pt"
    train(SHAPE, tokens, RECIPE, seed=3, checkpoint=checkpoint, stop_at=17)
    assert checkpoint.is_file()
    resumed = train(SHAPE, tokens, RECIPE, seed=3, checkpoint=checkpoint)
    assert resumed.heldout_nats_per_token == whole.heldout_nats_per_token
    assert resumed.curve == whole.curve and resumed.steps == 30
    assert not checkpoint.exists()


def test_it_learns_and_seeds_differ(tokens):
    a, b = (train(SHAPE, tokens, RECIPE, seed=s) for s in (0, 1))
    start = math.log(SHAPE.vocab_size)
    assert a.heldout_nats_per_token < start - 0.5
    assert a.heldout_nats_per_token != b.heldout_nats_per_token
    bits = a.heldout_nats_per_token / math.log(2) / tokens.heldout_bytes_per_token
    assert a.heldout_bits_per_byte == pytest.approx(bits)


def test_divergence_is_a_result(tokens):
    wild = Recipe(n_tokens=60 * 128, batch=4, length=32, lr=300.0, clip=1e9, warmup=0.02)
    outcome = train(SHAPE, tokens, wild)
    assert outcome.status == "diverged" and outcome.curve is not None
    assert math.isnan(outcome.heldout_nats_per_token)


@pytest.mark.parametrize("schedule", ["wsd", "cosine"])
def test_schedules_warm_up_and_come_down(schedule):
    recipe = Recipe(n_tokens=200 * 2048, schedule=schedule)
    rates = [recipe.rate(s) for s in range(recipe.steps)]
    assert rates[0] < 0.2 and max(rates) == 1.0 and rates[-1] < 0.15
    peak = rates.index(1.0)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_rates_follow_width_as_mup_says():
    """A matrix with twice the inputs learns at half the rate; its decay a step stays the same."""
    wide = Llama(Shape(1, 2 * BASE_WIDTH, 4, 2, 8, 48, 300), 32)
    of = {id(p): g for g in wide.groups(0.01, 0.1) for p in g["params"]}
    layer = wide.layers[0]
    assert of[id(layer.qkv.weight)]["peak_lr"] == pytest.approx(0.005)
    assert of[id(wide.embedding.weight)]["peak_lr"] == 0.01
    for group in wide.groups(0.01, 0.1)[:-1]:
        assert group["peak_lr"] * group["weight_decay"] == pytest.approx(0.001)
    assert sum(len(g["params"]) for g in wide.groups(1, 1)) == len(list(wide.parameters()))


def test_the_model_has_the_parameters_the_shape_counts():
    matrices = sum(p.numel() for p in Llama(SHAPE, 32).parameters() if p.ndim == 2)
    assert matrices == SHAPE.n_params


def test_batches_depend_on_the_step_alone_and_epochs_are_whole(tokens):
    assert (tokens.batch(7, 0, 4, 32) == tokens.batch(7, 0, 4, 32)).all()
    windows = (len(tokens.train) - 1) // 32
    firsts = np.concatenate(
        [tokens.batch(s, 0, 4, 32)[:, :32] for s in range(windows // 4)]
    ).reshape(-1)
    assert len(firsts) <= len(tokens.train)
    assert not (tokens.batch(7, 0, 4, 32) == tokens.batch(7, 1, 4, 32)).all()


def test_held_out_text_is_not_trained_on(text, tokens):
    """Byte counts of both parts add up to the files'."""
    assert 0.01 < len(tokens.heldout) / (len(tokens.train) + len(tokens.heldout)) < 0.2
    assert 1 < tokens.heldout_bytes_per_token < 8


def test_a_shard_of_tokens_is_read_as_it_is(tmp_path):
    np.arange(1000, dtype=np.uint16).tofile(tmp_path / "shard.bin")
    shard = corpus(tmp_path / "shard.bin", vocab_size=1000)
    assert len(shard.train) + len(shard.heldout) == 1000
    assert math.isnan(shard.heldout_bytes_per_token)
    with pytest.raises(SpecError, match="outside a vocabulary"):
        corpus(tmp_path / "shard.bin", vocab_size=999)


def test_too_little_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(SpecError, match="too little"):
        corpus(tmp_path)


def test_two_arms_cross_in_the_middle():
    shapes = cross(
        1e5, 2, x=(0.1, 0.2, 0.4), r=(0.5, 1, 2), gqa=(1, 3), head_dim=16, vocab_size=300
    )
    assert len(shapes) == 1 + 2 + 2 + 1
    assert len({s.n_layers for s in shapes}) == 1


def test_a_sweep_records_its_runs_and_does_not_repeat_them(text, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    on, name = machine("cpu"), corpus(text, vocab_size=300).name
    jobs = plan([Run(SHAPE, RECIPE, s, text, None) for s in (0, 1)], on, name)
    store = tmp_path / "train.jsonl"
    assert sweep(jobs, do, store).done == 2
    assert sweep(jobs, do, store).done == 0
    row = runs.load(store).rows[0]
    assert row.values["heldout_nats_per_token"] > 0
    assert len(row.samples["curve_step"]) == len(row.samples["curve_nats_per_token"]) == 30
    assert row.what["d_model"] == 32 and row.what["schedule"] == "wsd"


def test_a_cut_corpus_is_made_again_and_never_trained_on(tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "text.txt").write_text("\n".join(f"line {i} says {i * i}" for i in range(2000)))
    made = corpus(tmp_path / "text.txt", vocab_size=300, cache=tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    cut = folder / "train.bin"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 4])
    with pytest.raises(SpecError, match="not what was written"):
        corpus(folder)
    again = corpus(tmp_path / "text.txt", vocab_size=300, cache=tmp_path / "cache")
    assert len(again.train) == len(made.train)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [folder.name]
