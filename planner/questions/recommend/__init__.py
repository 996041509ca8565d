"""Which shape to train: every legal shape of a size, and the choice among them."""
