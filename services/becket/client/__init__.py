"""The Python client: straight to the members, by the rules that make a write happen once."""
