"""How GBNF writes a control token: by its text, as in `<think>`, or its number, as in `<[12]>`."""

from __future__ import annotations

import re

TOKEN = re.compile(r"<\[[0-9]{1,9}\]>|<[^\[>\r\n][^>\r\n]*>")
