"""The look that all pages of the simulators share: light and dark, phone and desktop, no outside asset."""

from html import escape

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6676;--line:#d8dee7;
--back:#f3f5f8;--card:#fff;--go:#1f6f54;--press:#1f6f54}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf2;--soft:#9aa6b6;--line:#333d4a;
--back:#11161d;--card:#1a212b;--go:#3aa983;--press:#237a5b}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
.banner{background:#7a4a00;color:#fff;text-align:center;padding:.5rem 1rem;font-size:.9rem}
main{max-width:34rem;margin:2.5rem auto;padding:0 1rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.75rem}
h1{font-size:1.35rem;margin:0 0 .5rem}p{margin:.25rem 0 1rem;color:var(--soft)}
fieldset{border:0;padding:0;margin:0 0 1.25rem}legend{font-weight:600;padding:0;margin-bottom:.5rem}
label.row{display:flex;gap:.75rem;align-items:flex-start;border:1px solid var(--line);border-radius:8px;
padding:.7rem .85rem;margin-bottom:.5rem;cursor:pointer}label.row small{display:block;color:var(--soft)}
input[type=text],input[type=email],select{width:100%;padding:.55rem .7rem;border:1px solid var(--line);
border-radius:8px;background:transparent;color:inherit;font:inherit;margin-top:.25rem}
ul{margin:.25rem 0 1.25rem;padding-left:1.2rem;color:var(--soft)}
.actions{display:flex;gap:.75rem}button{flex:1;padding:.75rem;border-radius:8px;font:inherit;font-weight:600;
border:1px solid var(--line);background:transparent;color:inherit;cursor:pointer}
button.allow{background:var(--press);border-color:var(--press);color:#fff}
::placeholder{color:var(--soft);opacity:1}
.problem{border-left:4px solid #b3261e;padding:.5rem .75rem;margin-bottom:1rem;color:inherit}
"""


def page_frame(title: str, content: str, *, banner: str, style: str = "") -> str:
    """A whole page. ``content`` and ``style`` are trusted; ``title`` and ``banner`` are escaped."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body>"
        f'<div class="banner" role="note">{escape(banner)}</div>'
        f"<main>{content}</main></body></html>"
    )
