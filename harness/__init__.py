"""The instrument: what is declared, what is generated, what is observed, how it is judged."""
