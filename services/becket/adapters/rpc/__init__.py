"""gRPC at the edge: protobuf to the core's values and back, errors, channels."""
