"""How fast a known model runs on known hardware, and where its time goes."""

import planner as pl

p = pl.predict("llama-3.1-8b", on="h100-sxm").candidate

print(f"{p.output_tokens_per_s.value:,.0f} output tokens/s", end=" ")
print(f"({p.output_tokens_per_s.low:,.0f} – {p.output_tokens_per_s.high:,.0f}, 80 %)")
print(f"TTFT {p.ttft_s.value * 1e3:.0f} ms, TPOT {p.tpot_s.value * 1e3:.1f} ms, bound by {p.bound}")
decode = p.breakdown["decode"]["operators"]
for name, operator in sorted(decode.items(), key=lambda item: -item[1]["seconds"])[:3]:
    print(f"  {name}: {operator['share']:.0%} of a decode step, bound by {operator['bound']}")
