"""What changes limits, halts and decisions."""
