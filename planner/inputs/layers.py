"""A config's layers, one by one, and how many of them are alike."""

from itertools import zip_longest

from planner.inputs.config import Config
from planner.inputs.fields import validate
from planner.inputs.layer_parts import EXTRAS, MIXERS, MLPS, Part
from planner.inputs.layer_types import mixers_of, mlps_of
from planner.inputs.stack import Stack

MOST_LAYERS = 10_000


def stacks_of(c: Config) -> list[Stack]:
    """Return a config's stacks of like layers.

    Raises:
        SpecError: a key is missing or malformed, or a kind of layer is unknown: says which.

    """
    n, d = c.number("n_layers", low=1), c.number("d_model", low=1)
    if n > MOST_LAYERS:
        raise c.fault("num_hidden_layers", f"{n} layers are more than any model's", "write e.g. 32")
    norm = d * (2 if c.on(c.recipe.norm_bias) else 1)
    found: dict[Stack, int] = {}
    nothing = Part({})
    for i, (mixers, mlps) in enumerate(zip(mixers_of(c, n), mlps_of(c, n), strict=True)):
        extra = EXTRAS[c.recipe.extra](c, i, mlps[-1] if mlps else "") if c.recipe.extra else 0
        norms = c.recipe.norms if mixers and mlps else min(c.recipe.norms, 1)
        # Mixers or MLPs side by side are stacks of their own.
        pairs = zip_longest((MIXERS[m](c, i) for m in mixers), (MLPS[m](c, i) for m in mlps))
        for place, (mixer, mlp) in enumerate(pairs):
            mixer, mlp = mixer or nothing, mlp or nothing
            other = mixer.other + mlp.other + (norms * norm + extra if place == 0 else 0)
            fields = mixer.fields | mlp.fields | {"n_layers": 1, "other_params": other}
            stack = validate(Stack, fields, c.where)
            found[stack] = found.get(stack, 0) + 1
    return [stack.model_copy(update={"n_layers": count}) for stack, count in found.items()]
