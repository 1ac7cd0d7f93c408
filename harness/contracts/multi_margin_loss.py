"""Being written by another colleague right now: leave this loss to them."""
