"""The HTTP endpoint: programs as typed routes, and OpenAI's API over the same engine and cache."""
