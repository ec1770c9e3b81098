"""Tests of a cluster on one machine: its files and its processes."""
