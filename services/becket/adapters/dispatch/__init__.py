"""From operations to their outcomes: what the router and the Python client share.

Takes lists of protobuf operations and gives lists of protobuf results, by PROTOCOL R26-R32, over
``Pipeline`` streams to the members. Must not know servers, settings files, logs or metrics.
"""
