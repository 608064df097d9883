"""Singular values for flow Jacobians: from the whole Jacobian, or matrix-free."""
