"""One module for each part of `make bench`; each runs in a process and a database of its own."""
