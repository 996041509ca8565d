"""Which shape to train with 3 billion parameters and 100 billion tokens, and why."""

import planner as pl

result = pl.recommend(params="3B", tokens="100B", on="a100-sxm-80gb", batch=64)

for name, pick in result.picks.items():
    print(f"{name:13} d_model {pick.d_model:.0f}, d_ff {pick.d_ff:.0f}, GQA {pick.gqa:g}:", end=" ")
    print(f"loss {pick.loss.value:.3f}, {pick.output_tokens_per_s.value:,.0f} tokens/s")
print(result.picks["recommended"].why)
