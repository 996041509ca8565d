"""Where a number comes from: its derivation, closed forms, and one shape against another."""
