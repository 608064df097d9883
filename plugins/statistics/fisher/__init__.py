"""Fisher information of the layers, from gradients of the fit examples."""
