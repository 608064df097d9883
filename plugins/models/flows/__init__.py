"""Normalizing flows: the networks behind the entries `glow` and `glow-linear`.

Every layer maps (N, C, H, W) to `(y, ladj)`, with ladj = log|det dy/dx|, (N,), in nats, and has
an `inverse`. Results do not depend on `train()` or `eval()`, nor on other examples in the batch.
"""
