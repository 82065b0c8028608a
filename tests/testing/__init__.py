"""The servers that the client is tested against, tested themselves."""
