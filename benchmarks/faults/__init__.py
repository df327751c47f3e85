"""The fault campaign: the real order path in simulated time, against brokers that fail in every known way.

One seeded scheduler drives everything: people, dispatchers, streams, the broker and its faults. The same
seed replays the same history. The broker's private book is the oracle; `python -m benchmarks.faults --help`.
"""
