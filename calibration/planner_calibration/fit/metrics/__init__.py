"""Constants of a running server, from what it publishes."""
