"""Singular values of the Jacobians of flows: the whole Jacobian, or matrix-free."""
