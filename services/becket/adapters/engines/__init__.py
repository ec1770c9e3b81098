"""Engines behind the engine port, and the volume that holds one."""
