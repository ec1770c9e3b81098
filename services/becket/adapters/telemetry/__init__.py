"""Metrics and traces by OpenTelemetry, with the stable names of its conventions."""
