"""What the core and the services need from the world, as protocols with stated guarantees."""
