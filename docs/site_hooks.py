"""Hooks of MkDocs: reStructuredText roles in docstrings become links of the site."""

from __future__ import annotations

import re
from typing import Any

ROLE = re.compile(r":(?:mod|func|class|meth|attr|data|exc):<code>~?([\w.]+)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """Replace ``:func:`a.b.c``` by a link to ``a.b.c``, and ``::`` before code by a colon."""

    def link(role: re.Match[str]) -> str:
        name = role.group(1)
        return f'<autoref optional identifier="{name}"><code>{name.split(".")[-1]}</code></autoref>'

    return ROLE.sub(link, html).replace("::</p>", ":</p>")
