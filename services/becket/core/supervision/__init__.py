"""What a supervisor concludes from one snapshot: wishes for the ring, and reasons."""
