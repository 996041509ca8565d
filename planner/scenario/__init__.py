"""Every legal shape, evaluated in chunks, and the choice among them."""
