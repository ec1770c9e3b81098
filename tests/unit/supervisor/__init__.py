"""Tests of the supervisor: its shells, with members and stores as stand-ins."""
