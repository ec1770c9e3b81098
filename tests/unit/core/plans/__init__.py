"""Tests of plans and of the writing of the ring object."""
