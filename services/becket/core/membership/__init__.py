"""Who is alive: heartbeats between members, and what a supervisor may conclude from them."""
