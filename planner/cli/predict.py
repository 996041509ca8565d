"""`planner predict`: one model in one scenario."""

from typing import Any

from planner.cli.flags import SERVING, Csv, From, Json, Model, Out, Plot, takes


@takes(*SERVING, "training")
def predict(
    model: Model = None,
    from_: From = None,
    json_: Json = False,
    csv_: Csv = False,
    plot: Plot = False,
    out: Out = None,
    **settings: Any,
) -> None:
    """Predict speed, memory, loss and accuracy of one model, operator by operator.

    Example: planner predict llama-3.2-1b --on h100-sxm --batch 32
    """
    from planner.cli.output import command_line, emit
    from planner.cli.serve import served
    from planner.questions.predict import predict as run

    model, settings, serve = served(from_, model, settings)
    result = run(model, command=command_line(), **settings)
    emit(result, serve=serve, json_=json_, csv_=csv_, out=out, plot=plot)
