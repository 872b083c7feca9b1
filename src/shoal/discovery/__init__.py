"""Where peers come from."""
