"""Scenarios with recorded output: a command, a line of dashes, and what came out."""
