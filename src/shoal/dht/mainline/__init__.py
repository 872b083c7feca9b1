"""BitTorrent's DHT: BEP 5, with 32 (IPv6), 42, 43, 44 and 51."""
