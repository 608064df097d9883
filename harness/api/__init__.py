"""The Python interface: suites, results and single parts; the commands of `bench` are clients."""
