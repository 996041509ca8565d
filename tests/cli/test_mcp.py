"""Tools for agents: what they take, what they answer, and a real client of the SDK that asks them."""

import json
import shlex
import sys

import pytest
from jsonschema import Draft202012Validator

from planner.cli.mcp import answer
from planner.cli.tools import tools

ASKED = {
    "recommend": {"params": "1B", "tokens": "100B", "on": "h100-sxm", "gqa": [2, 4, 8]},
    "predict": {"model": "llama-3.1-8b", "on": "h100-sxm", "tp": 2, "concurrency": 32},
    "what-if": {"from": "vllm serve meta-llama/Llama-3.1-8B -tp 2", "on": "h100-sxm",
                "vary": ["concurrency=1,8", "dtype=bf16,fp8"]},
    "budget": {"model": "llama-3-8b", "ttft": "500ms", "tpot": 0.03, "on": ["h100-sxm"],
               "tp": [1], "rate": 4},
    "explain": {"quantity": "loss", "model": "llama-3.1-8b", "tokens": "15T"},
}  # fmt: skip
WRONG = [
    ("predict", {"model": "llama-3.1-8c"}, "did you mean 'llama-3.1-8b'?"),
    ("predict", {"model": "llama-3.1-8b", "concurency": 4}, "did you mean 'concurrency'?"),
    ("predict", {}, "give model, or a serve command as from"),
    ("recommend", {"params": "3B"}, "no tokens"),
    ("recommend", {"params": "3B", "tokens": "100B", "tp": "two"}, "--tp"),
    ("budget", {"model": "llama-3-8b", "tpot": "1us"}, "speed of light"),
    ("explain", {"quantity": "loss", "of": ["llama-3.1-8b"]}, "two"),
    ("pareto", {}, "no tool called 'pareto'"),
]
AGAIN = "elapsed_s"  # differs from run to run


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "budget")) for n in ASKED]
)
def test_a_tool_answers_what_the_command_answers(name, planner):
    text, plain = answer(name, ASKED[name])
    assert plain is not None, text
    tool = tools()[name]
    Draft202012Validator.check_schema(tool.takes)
    Draft202012Validator(tool.takes).validate(ASKED[name])
    Draft202012Validator(tool.returns).validate(plain)
    assert len(text.splitlines()) > 3
    if name == "explain":
        assert plain["inputs"] and plain["steps"][0]["value"] > 0
        return
    run = planner(*shlex.split(plain["command"])[1:], "--json")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    del told["command"], plain["command"]
    told.pop(AGAIN, None), plain.pop(AGAIN, None)
    assert told == plain


@pytest.mark.parametrize(("name", "arguments", "words"), WRONG)
def test_what_cannot_be_answered_says_what_would_help(name, arguments, words):
    text, plain = answer(name, arguments)
    assert plain is None and text.startswith("error: ") and words in text


def test_the_tools_are_listed_without_the_sdk(planner, monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    listed = json.loads(planner("mcp", "--list").stdout)
    assert [t["name"] for t in listed] == list(ASKED)
    for t in listed:
        assert t["inputSchema"]["type"] == t["outputSchema"]["type"] == "object"
        assert all(p.get("description") for p in t["inputSchema"]["properties"].values())


@pytest.mark.mcp
def test_the_sdks_own_client_asks_over_stdio():
    import anyio
    import mcp as sdk

    start = "from planner.cli.app import main; import sys; sys.argv = ['planner', 'mcp']; main()"
    place = sdk.StdioServerParameters(
        command=sys.executable, args=["-c", start], env={"PYTHONPATH": ":".join(sys.path)}
    )

    async def ask():
        async with sdk.Client(place) as client:
            listed = await client.list_tools()
            answers = {n: await client.call_tool(n, given) for n, given in ASKED.items()}
            wrong = [await client.call_tool(n, given) for n, given, _ in WRONG]
            return listed.tools, answers, wrong

    listed, answers, wrong = anyio.run(ask)
    assert [t.name for t in listed] == list(ASKED)
    for name, found in answers.items():  # the client holds each to its schema too
        assert not found.is_error, found.content
        plain = answer(name, ASKED[name])[1]
        told = dict(found.structured_content)
        told.pop(AGAIN, None), plain.pop(AGAIN, None)
        assert told == json.loads(json.dumps(plain)), name
    for found, (_, _, words) in zip(wrong, WRONG, strict=True):
        assert found.is_error and words in found.content[0].text
