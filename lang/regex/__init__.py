"""Regular expressions, read as grammar rules."""
