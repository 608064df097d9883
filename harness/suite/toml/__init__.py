"""TOML files of a suite: read, merged, changed by `--set`, with file and line of each value."""
