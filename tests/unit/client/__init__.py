"""Tests of the client package against fake members."""
