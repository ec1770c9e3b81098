"""Tests of load: sketches, weights, wide keys."""
