"""Records to what a person reads: html, terminal, markdown. Every page is a pure function of :mod:`harness.records`."""
