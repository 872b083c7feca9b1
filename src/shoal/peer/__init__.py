"""Who a peer is and where it can be reached."""
