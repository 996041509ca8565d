"""From recorded runs to corrected constants: pure, rerunnable."""
