"""Networks behind the entry `pixelcnn`, and distributions of pixels.

Results do not depend on `train()` or `eval()`, nor on other examples in the batch.
"""
