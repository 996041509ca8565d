"""Which few runs to do: those expected to shrink what the decision is unsure of, within a budget."""
