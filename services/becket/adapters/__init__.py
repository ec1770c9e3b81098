"""Implementations of the ports; each knows one library or one system."""
