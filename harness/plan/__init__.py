"""The plan of a suite.

A suite expands into jobs and cells with keys; durations are estimated, new jobs are explained.
"""
