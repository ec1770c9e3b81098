"""Tests of the replication core; each is named after the rule that it checks."""
