"""The store: everything that runs compute and keep.

Modules: immutable `records` and their `layout` on disk, `contents`, `hashing`, `locks`,
`failures` and `timings`.
"""
