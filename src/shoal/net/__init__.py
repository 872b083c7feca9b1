"""A secure stream between two peers."""
