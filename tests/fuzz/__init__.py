"""Fuzzing: what must hold no matter what octets come, from a server or a caller."""
