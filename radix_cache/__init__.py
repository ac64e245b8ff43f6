"""The radix-tree prefix cache over a small KV-store protocol."""
