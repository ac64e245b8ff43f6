"""treegram: structured-generation programs on local GGUF models."""
