"""Load: which keys are hot, and how much each member can still take."""
