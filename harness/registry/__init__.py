"""Plugins: found by `registry`, options checked by `options`, new plugins begun by `scaffold`."""
