"""The router: any key, from any gRPC client, at one address."""
