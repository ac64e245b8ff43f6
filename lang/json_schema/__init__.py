"""JSON Schema to grammar rules."""
