"""The sans-IO protocol, proved without a transport."""
