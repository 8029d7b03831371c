"""Data: from buckets in the description to what a user's clients need."""
