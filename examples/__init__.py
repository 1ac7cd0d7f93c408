"""Losses of every signature, each declared and judged; run one with ``python -m examples.segmentation``."""
