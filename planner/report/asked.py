"""What a result's shapes were judged under, so that figures can ask about further points."""

from collections.abc import Mapping

from planner.errors import PlannerError, SpecError
from planner.inputs.model import ModelSpec
from planner.questions.recommend.recommend import resolve_question
from planner.questions.recommend.space import space_for
from planner.results import Prediction, Recommendation, Result
from planner.scenario.evaluate import Evaluation
from planner.scenario.scenario import Resolved

HINT = "the result's inputs name something this machine does not have"


def resolved(result: Result) -> Resolved:
    """Look up again what a result was computed under.

    Raises:
        SpecError: it is about no shape, or names a device or law that is not here.

    """
    try:
        if isinstance(result, Recommendation):
            q = result.inputs
            return resolve_question(q, space_for(q).n_non_embedding(q.params))
        if isinstance(result, Prediction):
            return Resolved.of(result.inputs, result.inputs.model.n_params_non_embedding)
    except PlannerError as error:
        raise SpecError(f"inputs: {error}", hint=error.hint or HINT) from None
    raise SpecError("this result holds no shape", hint="use one of recommend or predict")


def evaluations(models: Mapping[str, ModelSpec], r: Resolved) -> dict[str, Evaluation]:
    """Look at models, by name, under the same conditions."""
    return {name: Evaluation(r, model.arch()) for name, model in models.items()}


def models(result: Result) -> dict[str, ModelSpec]:
    """Return the models a result is about by name: baseline and picks, or the one predicted."""
    return {name: c.model for name, c in result.shapes.items()}
