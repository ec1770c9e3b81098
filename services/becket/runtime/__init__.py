"""The one skeleton of all services: settings, logs, server, health, guards, lifecycle."""
