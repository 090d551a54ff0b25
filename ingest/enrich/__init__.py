"""What the server knows of a client: address, visitor, agent, country."""
