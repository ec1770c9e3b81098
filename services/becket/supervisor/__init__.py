"""The supervisor: watches members, and changes the ring when the pure part of it says so."""
