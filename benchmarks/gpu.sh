#!/usr/bin/env bash
# Everything that only a GPU can tell, in at most ten minutes; see `benchmarks/gpu.py`.
#   benchmarks/gpu.sh --out FOLDER              on a GPU
#   benchmarks/gpu.sh --miniature --out FOLDER  on the CPU: proves that the script works
# $PYTHON is the interpreter of an environment with the package; by default that of the clone.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD:$PWD/benchmarks${PYTHONPATH:+:$PYTHONPATH}"
exec timeout 600 "${PYTHON:-.venv/bin/python}" benchmarks/gpu.py "$@"
