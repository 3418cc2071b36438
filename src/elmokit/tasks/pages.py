"""Pages that people open from a file, in the explorer's style: light and dark, with nothing loaded from elsewhere."""

import re
from html import escape
from importlib import resources


def whole_page(title: str, body: str, *, style: str = "", scripts: bool = False) -> str:
    """An HTML document of a title (escaped here) and a body; its policy forbids whatever it does not hold itself.

    Its colours are those of the explorer's style sheet, light or dark as the reader's system is.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    policy += "; script-src 'unsafe-inline'" if scripts else ""
    sheet = resources.files("elmokit").joinpath("server/page/page.css").read_text(encoding="utf-8")
    light = re.search(r":root \{(.*?)\}", sheet, re.DOTALL)
    dark = re.search(r"\[data-theme=\"dark\"\] \{(.*?)\}", sheet, re.DOTALL)
    assert light and dark, "page.css names its colours"  # noqa: PT018
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{{light[1]}}}
@media (prefers-color-scheme: dark) {{ :root {{{dark[1]}}} }}
*, *::before, *::after {{ box-sizing: border-box }}
body {{ margin: 0; font: 16px/1.55 var(--sans); color: var(--ink); background: var(--paper) }}
h1 {{ font-size: 1.125rem; font-weight: 650; margin: 0; overflow-wrap: anywhere }}
h2 {{ font-size: 1rem; font-weight: 650 }}
input, button {{ font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
 border-radius: 10px; padding: .3rem .7rem }}
:focus-visible {{ outline: 2.5px solid var(--accent); outline-offset: 2px }}
{style}</style></head>
<body>
{body}
</body></html>
"""
