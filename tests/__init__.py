"""The proofs of Becket, by kind."""
