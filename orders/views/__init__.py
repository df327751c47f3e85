"""The pages where orders are made, listed and looked at."""
