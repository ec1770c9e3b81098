"""Tests of the dispatch package against fake members."""
