"""The pages of the book: what is held, how it did, what differs, and imports."""
