"""The plan of a suite.

Expanded into jobs and cells, each with its key; estimated and explained.
"""
