"""What clients did and saw, and whether any order of it makes sense."""
