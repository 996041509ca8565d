"""Results as terminal text, Markdown, JSON and HTML."""
