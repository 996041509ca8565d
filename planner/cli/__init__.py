"""The command line: one file a command; each is parse → one library call → render."""
