"""Torch's builtins bound to Contracts, with the Faults that running them has shown."""
