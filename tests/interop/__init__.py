"""Servers that other people wrote, run for real on loopback."""
