"""Squared norms of layer gradients for many groups in one forward and backward pass."""
