"""Text that is more than text to something else: HTML, scripts, Jinja, Markdown, spreadsheets, headers."""

from __future__ import annotations

MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "</script><script>alert(1)</script>",
    "`${alert(1)}`",
    "'];alert(1);//",
    "{{7*7}}",
    "{% raw %}",
    "{{cycler.__init__.__globals__.os.getpid()}}",
    "{#",
    "{{ {{",
    "[x](javascript:alert(1))",
    "![a](http://127.0.0.1:18999/beacon)",
    "$\\href{javascript:alert(1)}{x}$",
    ":red[x]",
    "\u202egnp.exe",
    "\0nul",
    "a\r\nSet-Cookie: x=1",
)
FORMULAS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    '=HYPERLINK("http://127.0.0.1/","x")',
    "=cmd|' /C calc'!A0",
    "\N{FULLWIDTH EQUALS SIGN}1+1",
)
STRINGS = (*MARKUP, *FORMULAS)


def plain(text: str) -> str:
    """As a page may show it: on one line, without signs that turn or end text."""
    return " ".join(text.replace("\u202e", "").replace("\0", "").split())
