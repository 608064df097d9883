"""`bench schema`: the JSON Schema of suites, for editors."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON Schema of suites."""
    from harness.cli.output import print_json
    from harness.suite import Suite

    print_json({"$schema": "https://json-schema.org/draft/2020-12/schema"} | _schema(Suite))


def _schema(suite: type) -> dict[str, object]:
    found: dict[str, object] = suite.model_json_schema()  # type: ignore[attr-defined]
    return found
