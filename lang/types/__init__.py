"""Python types as constraints: their schemas, and the values read back."""
