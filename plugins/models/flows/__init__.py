"""Normalizing flows: the networks behind the entries `glow` and `glow-linear`.

Every layer maps (N, C, H, W) to `(y, ladj)`, with ladj = log|det dy/dx| of shape (N,), in nats,
and has an `inverse`. Nothing depends on `train()` or `eval()`, nor on the rest of the batch.
"""
