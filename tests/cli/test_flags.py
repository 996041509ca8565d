"""The flag set is frozen: new knobs go into files, or into this list by decision."""

import pytest
from typer.main import get_command

from planner.cli.app import COMMANDS, app
from planner.questions.recommend.recommend import recommend
from planner.scenario.options import ALIASES, ASKED, OPTIONS


def flags(name):
    """Return the long flags of a command as typer built it."""
    command = get_command(app).get_command(None, name)
    return {o for p in command.params for o in p.opts if o.startswith("--")} - {"--help"}


# What a command has besides the options of the specs.
OWN = {
    "recommend": "--details --why-not --export-hf --like --scenarios --devices --train-flops --serve-tokens --ray --journal --top --json --csv --plot --out --quiet --hardware-path",
    "predict": "--from --json --csv --plot --out --quiet --hardware-path",
}
SPECS = {
    "recommend": {*ASKED, *(o.name for o in OPTIONS.values() if o.group != "model")},
    "predict": {o.name for o in OPTIONS.values() if o.group != "model"},
}


@pytest.mark.parametrize("name", OWN)
def test_flags_are_the_options_and_a_few(name):
    named = {"--" + n.replace("_", "-") for n in SPECS[name]}
    named |= {"--" + a.replace("_", "-") for a in ALIASES}
    assert flags(name) - {f for f in flags(name) if f.startswith("--no-")} == named | {
        *OWN[name].split()
    }


@pytest.mark.parametrize("option", OPTIONS.values(), ids=str)
def test_every_option_says_what_it_is(option):
    if option.group != "model":  # those are the glossary's
        assert option.help.endswith(".")
        assert option.flag in flags("predict") and option.flag in flags("recommend")


def test_the_list_of_commands_says_what_their_docstrings_say():
    group = get_command(app)
    for name, words in COMMANDS.items():
        help_ = group.get_command(None, name).help
        assert " ".join(help_.split("\n\n")[0].split()) == words


def test_pareto_asks_in_the_same_words():
    assert flags("recommend") - flags("pareto") == {
        *[
            "--details",
            "--export-hf",
            "--why-not",
            "--like",
            "--scenarios",
            "--devices",
            "--train-flops",
            "--serve-tokens",
            "--ray",
            "--journal",
        ]
    }


def test_the_library_takes_the_same_words():
    result = recommend(params="1B", tokens="100B", tp="2", kv_dtype="fp8", layers="20")
    assert result.inputs.engine.tp == 2 and result.inputs.engine.kv_dtype == "fp8"
    assert result.inputs.layers == (20,)


def test_every_number_that_can_be_set_has_a_least_and_a_greatest():
    numbers = ("whole", "count", "real", "rate", "time", "bytes")
    known = [o for o in (*OPTIONS.values(), *ASKED.values()) if o.kind in numbers]
    assert [o.name for o in known if not -1e19 < o.least <= o.greatest < 1e19] == []
