"""Float64 truth: oracles, reductions and the mpmath definitions that certify them. Never imports torch."""
