"""Loss and accuracy: the reference law, the conditional law, corrections, the accuracy link."""
