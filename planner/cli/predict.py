"""`planner predict`: one model in one scenario."""

from typing import Any

from planner.cli.flags import SERVING, Form, From, Model, takes


@takes(*SERVING, "training", form=("json_", "csv_", "plot", "out", "quiet"))
def predict(form: Form, model: Model = None, from_: From = None, **settings: Any) -> None:
    """Predict speed, memory, loss and accuracy of one model, operator by operator.

    Example: planner predict llama-3.2-1b --on h100-sxm --batch 32
    """
    from planner.cli.output import command_line
    from planner.cli.serve import served
    from planner.questions.predict import predict as run

    model, settings, serve = served(from_, model, settings)
    form.show(run(model, command=command_line(), **settings), serve=serve)
