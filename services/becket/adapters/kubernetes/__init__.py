"""Kubernetes behind the ports: the ring object, the Lease, and mirrors of what the API tells."""
