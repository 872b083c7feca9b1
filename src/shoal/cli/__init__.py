"""The shoal command: arguments in, sentences and JSON out, and no decision about peers."""
