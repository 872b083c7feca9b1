"""Values to bytes and back, for every network: bounded, and only ProtocolError on bad bytes."""
