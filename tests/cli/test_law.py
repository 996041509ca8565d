"""`planner law` on the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from planner.cli.app import app

RUN = CliRunner()


def planner(*argv: str) -> str:
    result = RUN.invoke(app, list(argv), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("law", "list"), "bian-1b"),
        (("law", "show", "gadre-2024-c4"), "MIT"),
        (("law", "export", "bian-1b"), "a1 = 0.238"),
        (("law", "compare", "bian-1b", "gemstones-cooled", "--at", "1B:100B"), "2.77"),
        (("law", "ask", "optimum", "--flops", "1e21"), "tokens per parameter"),
        (("law", "ask", "serve", "--loss", "2.6", "--inference-tokens", "1T"), "less than"),
        (("law", "ask", "accuracy", "--loss", "2.61", "--against", "2.615"), "not resolved"),
        (("law", "ask", "shape", "llama-3.2-1b"), "nats against the best shape"),
        (("law", "ask", "better", "panda-3b", "llama-3.2-3b"), "P(panda-3b is lower)"),
        (("law", "ask", "settle", "panda-3b", "llama-3.2-3b"), "3. N "),
    ],
)
def test_each_command_answers(argv: tuple[str, ...], says: str) -> None:
    """Exit code 0 and the figure asked for."""
    assert says in planner(*argv)


def test_show_prints_json_that_loads() -> None:
    """The same keys as the file."""
    assert json.loads(planner("law", "show", "bian-1b", "--json"))["reference"]["alpha"] == 0.26


def test_a_fit_of_own_runs_writes_a_law_that_predicts(tmp_path: Path) -> None:
    """Fit --out, then show and compare the file."""
    data = tmp_path / "runs.csv"
    data.write_text(
        "run_id,n_params_non_embedding,n_tokens,loss,d_model,n_layers,mlp_attn_ratio\n"
        "a,1e8,1e10,3.61,768,12,2\nb,1e8,1e10,3.63,1024,8,4\nc,3e8,1e10,3.40,1024,16,2\n",
        encoding="utf-8",
    )
    out = tmp_path / "mine.toml"
    text = planner("law", "fit", str(data), "--prior", "bian-1b", "--out", str(out))
    assert "runs moved bian-1b" in text
    assert "not informed by these runs" in text
    assert "3 runs" in planner("law", "show", str(out))
    assert "mine" not in planner("law", "compare", str(out), "bian-1b", "--at", "1B:100B")
    assert "as it is" in planner("law", "check", str(data))


def test_accuracies_are_checked_too(tmp_path: Path) -> None:
    """A column acc beside loss."""
    data = tmp_path / "acc.csv"
    data.write_text("source,run_id,loss,acc\n" + "".join(
        f"mine,r{i},{2.9 - i / 20},{0.50 + i / 50}\n" for i in range(7)
    ), encoding="utf-8")  # fmt: skip
    assert "points" in planner("law", "check", str(data))
