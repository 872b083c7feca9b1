"""Call a named service."""
