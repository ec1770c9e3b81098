"""Tests of the adapters, one module at a time."""
