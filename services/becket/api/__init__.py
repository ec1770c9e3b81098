"""Generated from protos/ by `make proto`; see docs/design/protos.md. Do not edit."""
