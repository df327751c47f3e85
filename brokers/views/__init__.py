"""The pages on which brokers are linked, looked after and unlinked."""
