"""Benchmarks: what Paydesk costs, beside the peers and limits it is held against. `make bench` runs them.

Nothing here is a test: a figure depends on the machine. Every figure that is quoted is a ratio of two
measurements of one run, on the same servers (docs/performance.md).
"""
