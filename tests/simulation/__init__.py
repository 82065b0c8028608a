"""Simulation: whole conversations with faults, in virtual time, each run the same."""
