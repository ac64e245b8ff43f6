"""URIs and IRIs exactly as RFC 3986 and 3987 define them, and the templates of RFC 6570."""

from __future__ import annotations

from dataclasses import dataclass

from .format_hosts import IPV6

_PERCENT = r"%[0-9A-Fa-f]{2}"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*"
_UNRESERVED = r"A-Za-z0-9._~\-"
_SUB_DELIMITERS = r"!$&'()*+,;="
_IP_LITERAL = rf"\[(({IPV6})|[Vv][0-9A-Fa-f]+\.[{_UNRESERVED}{_SUB_DELIMITERS}:]+)\]"

_UCS = (
    r"\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef"
    + "".join(rf"\u{{{plane:x}0000}}-\u{{{plane:x}fffd}}" for plane in range(1, 14))
    + r"\u{e1000}-\u{efffd}"
)
_PRIVATE = r"\ue000-\uf8ff\u{f0000}-\u{ffffd}\u{100000}-\u{10fffd}"


@dataclass(frozen=True, slots=True)
class _Syntax:
    """The grammar of appendix A; `ucs` and `private` are what an IRI may hold beyond ASCII."""

    ucs: str = ""
    private: str = ""

    def _char(self, more: str = "") -> str:
        return rf"([{_UNRESERVED}{self.ucs}{_SUB_DELIMITERS}{more}]|{_PERCENT})"

    @property
    def absolute(self) -> str:
        return rf"{_SCHEME}:({self._slashed}|{self._rootless(':@')}|){self._tail}"

    @property
    def reference(self) -> str:
        """Absolute or relative; what both can be is written once, which keeps automata small."""
        other = rf"{_SCHEME}:{self._rootless(':@')}|{self._rootless('@')}"
        return rf"((({_SCHEME}:)?({self._slashed}|))|{other}){self._tail}"

    @property
    def _slashed(self) -> str:
        """An authority and a path, or a path that begins with a slash."""
        char = self._char(":@")
        # an IPv4 address is a registered name, too
        host = rf"({_IP_LITERAL}|{self._char()}*)"
        authority = rf"//({self._char(':')}*@)?{host}(:\d*)?(/{char}*)*"
        return rf"({authority}|/({char}+(/{char}*)*)?)"

    def _rootless(self, first_segment: str) -> str:
        """A path without a slash before it; the marks are what its first segment may hold."""
        return rf"{self._char(first_segment)}+(/{self._char(':@')}*)*"

    @property
    def _tail(self) -> str:
        return rf"(\?{self._char(':@/?' + self.private)}*)?(#{self._char(':@/?')}*)?"


_ASCII, _INTERNATIONAL = _Syntax(), _Syntax(_UCS, _PRIVATE)

URI = _ASCII.absolute
URI_REFERENCE = _ASCII.reference
IRI = _INTERNATIONAL.absolute
IRI_REFERENCE = _INTERNATIONAL.reference

_LITERAL = rf"([!#$&-;=?-\[\]_a-z~{_UCS}{_PRIVATE}]|{_PERCENT})"


def _template(variable_char: str, prefix: str) -> str:
    name = rf"{variable_char}(\.?{variable_char})*"
    variable = rf"{name}(:{prefix}|\*)?"
    return rf"({_LITERAL}|\{{[+#./;?&]?{variable}(,{variable})*\}})*"


# a library in wide use knows neither encoded names nor prefixes of a thousand characters
URI_TEMPLATE = _template("[A-Za-z0-9_]", r"[1-9]\d{0,2}")
WHOLE_URI_TEMPLATE = _template(rf"([A-Za-z0-9_]|{_PERCENT})", r"[1-9]\d{0,3}")
