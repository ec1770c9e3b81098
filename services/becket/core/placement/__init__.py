"""Where copies belong: the pure planner of DESIGN section 4."""
