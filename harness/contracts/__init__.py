"""One loss, one file: each module here holds one ``CONTRACT``, and variants derived from it. Imports no torch."""
