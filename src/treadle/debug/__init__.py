"""Seeing inside of code that runs as a graph."""
