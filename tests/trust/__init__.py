"""The lane of trust: evidence about the instrument itself that takes too long for every change."""
