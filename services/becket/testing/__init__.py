"""A real cluster in your own tests: ``with Cluster() as cluster``, or the pytest fixtures.

See docs/testing.md. The fixtures are in ``becket.testing.fixtures``.
"""

from becket.testing.cluster import Cluster

__all__ = ["Cluster"]
