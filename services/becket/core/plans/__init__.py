"""Changing the ring: plans of small steps, and the writing of the ring object."""
