"""Plugins: found by `registry`, their options checked by `options`, begun by `scaffold`."""
