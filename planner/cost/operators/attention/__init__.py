"""Kinds of layers by how they mix tokens, and the operators they are made of."""
