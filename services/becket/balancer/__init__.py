"""The balancer: weights by reported load. A hint in every respect."""
