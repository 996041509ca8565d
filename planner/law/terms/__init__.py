"""The terms of the loss law, a file each."""
