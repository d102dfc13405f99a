"""How a graph runs: `reference` (NumPy, node by node) now; `native` and `xla` are further rooms of the same shape."""
