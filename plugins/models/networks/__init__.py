"""Networks behind the model entries, and the distributions of pixels that they share.

Results do not depend on `train()` or `eval()`, nor on other examples in the batch.
"""
