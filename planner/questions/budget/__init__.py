"""What a latency budget buys: loads, plans, and where the milliseconds go."""
