"""Local stand-ins for the brokers: one market, one book, and each broker's own wire format.

Production code never imports this package.
"""
