"""The flag set is frozen: new knobs go into files, or into this list by decision."""

import inspect

from typer.main import get_command

from planner.cli.app import COMMANDS, app
from planner.cli.recommend import question


def flags(name):
    """Return the long flags of a command as typer built it."""
    command = get_command(app).get_command(None, name)
    return {o for p in command.params for o in p.opts if o.startswith("--")} - {"--help"}


RECOMMEND = """
--params --tokens --on --engine --dtype --input-tokens --output-tokens --batch --tp --layers
--head-dim --gqa --align --tolerance --params-kind --vocab-size --mlp-attn-ratio --d-over-sqrt-n
--max-loss --ttft --tpot --serve-requests --usd-per-hour --confidence --law --profile
--hardware-path --top --export-hf --json --csv --plot --out --quiet
"""


def test_recommends_flags_are_these():
    assert flags("recommend") == set(RECOMMEND.split())


def test_the_list_of_commands_says_what_their_docstrings_say():
    group = get_command(app)
    for name, (_, words) in COMMANDS.items():
        help_ = group.get_command(None, name).help
        assert " ".join(help_.split("\n\n")[0].split()) == words


def test_pareto_asks_in_the_same_words():
    assert flags("recommend") - flags("pareto") == {"--export-hf"}


def test_the_library_takes_the_same_words():
    from planner.questions.recommend.ask import question as ask

    assert set(inspect.signature(question).parameters) - {"hardware_path"} == set(
        inspect.signature(ask).parameters
    )
