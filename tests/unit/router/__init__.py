"""Tests of the router package against fake members."""
