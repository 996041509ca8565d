"""Training runs on record as the table the law's fitter reads."""

import csv
import io
from collections.abc import Sequence

from planner.errors import SpecError
from planner.inputs.measurement import Measurement
from planner_calibration.measure.shapes import Shape

COLUMNS = [
    "run_id", "n_params_non_embedding", "n_tokens", "loss", "n_layers", "d_model", "n_heads", "n_kv_heads",
    "head_dim", "mlp_attn_ratio", "d_over_sqrt_n", "seed", "dataset",
]  # fmt: skip
FIELDS = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "vocab_size")


def shape(row: Measurement) -> Shape:
    """Return the shape a training row is of."""
    return Shape(*(int(float(str(row.what[name]))) for name in FIELDS))


def trainings(rows: Sequence[Measurement]) -> list[Measurement]:
    """Return the finished trainings among `rows`.

    Raises:
        SpecError: there is none.

    """
    done = [r for r in rows if r.kind == "train" and r.status == "ok"]
    if not done:
        raise SpecError(
            "none of these runs is a finished training", hint="see planner calibrate train"
        )
    return done


def to_csv(rows: Sequence[Measurement]) -> str:
    """Return finished trainings as CSV, one a line, in the words of `planner law fit`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in trainings(rows):
        s = shape(row)
        writer.writerow(
            {
                "run_id": row.key,
                "n_params_non_embedding": s.n_params_non_embedding,
                "n_tokens": row.what["n_tokens"],
                "loss": row.values["heldout_nats_per_token"],
                "n_layers": s.n_layers,
                "d_model": s.d_model,
                "n_heads": s.n_heads,
                "n_kv_heads": s.n_kv_heads,
                "head_dim": s.head_dim,
                "mlp_attn_ratio": round(s.r, 5),
                "d_over_sqrt_n": round(s.x, 6),
                "seed": row.what["seed"],
                "dataset": row.what["data"],
            }
        )
    return text.getvalue()
