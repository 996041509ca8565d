"""What if: an operating curve, then the plan that serves 12 requests a second within a budget."""

import planner as pl

curve = pl.what_if(
    "llama-3.2-3b", ["model=llama-3.2-3b,surefire-3b", "concurrency=16,64"], on="h100-sxm"
)
for point in curve.points:
    speed, tpot = point.output_tokens_per_s, point.tpot_s
    print(f"{point.model:>12} at {point.concurrency:>2}: {speed.value:5.0f} tokens/s, "
          f"{1e3 * tpot.value:4.1f} ms a token, ${point.usd_per_output_mtok:.2f} a million")  # fmt: skip

answer = pl.budget("llama-3.2-3b", on=["h100-sxm"], tps=[1], ttft="300ms", tpot="20ms", rate="12/s")
plan = answer.cheapest
print(f"{plan.replicas} × {plan.configuration}, {plan.rate_per_s:.1f}/s each; "
      f"bound by {plan.binds}")  # fmt: skip
