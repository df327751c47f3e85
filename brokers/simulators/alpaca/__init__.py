"""Alpaca's wire format over the simulated book, as its documentation of November 2026 describes it."""
