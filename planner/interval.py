"""The interval every prediction is shown with: its share of outcomes, and where its ends lie."""

from statistics import NormalDist

INTERVAL = 0.8  # share of outcomes between `low` and `high`
ENDS = ((1 - INTERVAL) / 2, (1 + INTERVAL) / 2)  # quantiles
Z = NormalDist().inv_cdf(ENDS[1])  # standard deviations of a normal from its middle to an end
TIE_NATS = 0.01  # law and run noise: smaller differences of loss are unresolved
