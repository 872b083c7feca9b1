"""libp2p's DHT, /ipfs/kad/1.0.0 and its LAN variant, over the host's streams."""
