"""The storage service: one member, with one disk."""
