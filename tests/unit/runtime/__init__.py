"""Tests of the skeleton that all services share."""
