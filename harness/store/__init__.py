"""The store.

Immutable `records`, their `layout` on disk, `hashing`, `locks`, `failures`, `timings`.
"""
