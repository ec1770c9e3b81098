"""Tests of membership: who is alive, and what follows from it."""
