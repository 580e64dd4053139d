"""What an inference costs: events counted exactly, and energy and time estimated from published constants."""
