"""In Google's place, since there is no account."""
