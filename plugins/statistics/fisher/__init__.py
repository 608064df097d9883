"""Fisher information for each layer, estimated from the fit examples' gradients."""
