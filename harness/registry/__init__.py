"""Plugins: entries and their origin in `registered`, found by `registry`, begun by `scaffold`.

`options` checks the options of an entry, `imports` finds the modules that a plugin file imports.
"""
