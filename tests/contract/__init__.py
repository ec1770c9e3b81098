"""Contract suites: one for each port, run against every adapter."""
