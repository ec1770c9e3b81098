"""A whole cluster on one machine: its files, its processes, and the ports that rest on them."""
