"""Tensor, Graph, Primitive, tracing, trees, dtypes, shapes and errors. Knows nothing of how anything is computed."""
