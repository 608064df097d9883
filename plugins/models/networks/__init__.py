"""Networks behind the entries `pixelcnn` and `vae`, and the distributions of pixels they share.

Results do not depend on `train()` or `eval()`, nor on other examples in the batch.
"""
