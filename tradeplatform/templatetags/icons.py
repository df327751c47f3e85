"""The icon set: simple strokes on a 24 x 24 grid, drawn for this site, rendered inline.

Inline SVG needs no request, follows the text colour and works under a strict content security policy.
"""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

ICONS: dict[str, str] = {
    "dashboard": '<path d="M4 4h7v9H4zM13 4h7v5h-7zM13 11h7v9h-7zM4 15h7v5H4z"/>',
    "trade": '<path d="M8 4v16m0-16L4 8m4-4 4 4M16 20V4m0 16 4-4m-4 4-4-4"/>',
    "orders": '<path d="M5 4h14v16H5zM9 9h6M9 13h6M9 17h3"/>',
    "portfolio": '<path d="M12 3v9h9a9 9 0 1 1-9-9zM15.5 3.7a9 9 0 0 1 4.8 4.8h-4.8z"/>',
    "brokers": '<path d="M3 10 12 4l9 6zM5 10v8m4.7-8v8m4.6-8v8M19 10v8M3 20h18"/>',
    "import": '<path d="M12 3v12m0 0-4.5-4.5M12 15l4.5-4.5M4 16v4h16v-4"/>',
    "download": '<path d="M12 4v11m0 0-4-4m4 4 4-4M5 20h14"/>',
    "export": '<path d="M12 15V3m0 0L7.5 7.5M12 3l4.5 4.5M4 16v4h16v-4"/>',
    "settings": (
        '<path d="M4 7h9m5 0h2M4 17h3m5 0h8"/><circle cx="15.5" cy="7" r="2.5"/>'
        '<circle cx="9.5" cy="17" r="2.5"/>'
    ),
    "admin": '<path d="M12 3 5 6v5c0 4.6 2.9 7.9 7 10 4.1-2.1 7-5.4 7-10V6zM9 12l2 2 4-4.5"/>',
    "shield": '<path d="M12 3 5 6v5c0 4.6 2.9 7.9 7 10 4.1-2.1 7-5.4 7-10V6z"/>',
    "lock": '<path d="M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3"/>',
    "key": '<circle cx="8" cy="14" r="4"/><path d="m11 11 8-8m-3 3 3 3m-6 0 2 2"/>',
    "user": '<circle cx="12" cy="8" r="4"/><path d="M4.5 20.5c1-4 4-6 7.5-6s6.5 2 7.5 6"/>',
    "mail": '<path d="M3 5.5h18v13H3zM3 7l9 6 9-6"/>',
    "phone": '<path d="M7 3h10v18H7zM11 18h2"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h16"/>',
    "more": '<path d="M5 12h.01M12 12h.01M19 12h.01"/>',
    "close": '<path d="m6 6 12 12M18 6 6 18"/>',
    "check": '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
    "check-circle": '<circle cx="12" cy="12" r="9"/><path d="m8 12.3 2.8 2.7L16 9.5"/>',
    "warning": '<path d="M12 4 2.5 20h19zM12 10v4.5M12 17.3v.01"/>',
    "error": '<circle cx="12" cy="12" r="9"/><path d="M12 7.5v5.5M12 16.2v.01"/>',
    "info": '<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5M12 7.8v.01"/>',
    "help": (
        '<circle cx="12" cy="12" r="9"/><path d="M9.5 9.3a2.6 2.6 0 1 1 3.6 2.4c-.8.4-1.1.9-1.1'
        ' 1.8M12 16.6v.01"/>'
    ),
    "stop": '<path d="M8.3 3h7.4L21 8.3v7.4L15.7 21H8.3L3 15.7V8.3zM8 12h8"/>',
    "clock": '<circle cx="12" cy="12" r="9"/><path d="M12 7v5.2l3.4 2"/>',
    "refresh": (
        '<path d="M20 11a8 8 0 0 0-14.3-4L3.5 9.5M4 13a8 8 0 0 0 14.3 4l2.2-2.5M3.5 4.5v5h5M20.5'
        ' 19.5v-5h-5"/>'
    ),
    "search": '<circle cx="11" cy="11" r="6.5"/><path d="m16 16 4.5 4.5"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "minus": '<path d="M5 12h14"/>',
    "up": '<path d="M12 19V5m-6 6 6-6 6 6"/>',
    "down": '<path d="M12 5v14m-6-6 6 6 6-6"/>',
    "right": '<path d="M5 12h14m-6-6 6 6-6 6"/>',
    "left": '<path d="M19 12H5m6-6-6 6 6 6"/>',
    "chevron-down": '<path d="m6 9.5 6 6 6-6"/>',
    "chevron-right": '<path d="m9.5 6 6 6-6 6"/>',
    "external": '<path d="M13 4h7v7M20 4l-9 9M17 14v6H4V7h6"/>',
    "copy": '<path d="M9 9h11v11H9zM15 9V4H4v11h5"/>',
    "sign-out": '<path d="M14 4H5v16h9M10 12h11m-4-4 4 4-4 4"/>',
    "sun": (
        '<circle cx="12" cy="12" r="4"/><path d="M12 2.5V5M12 19v2.5M2.5 12H5M19 12h2.5M5.3 5.3 7 7M17 17'
        'l1.7 1.7M5.3 18.7 7 17M17 7l1.7-1.7"/>'
    ),
    "moon": '<path d="M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z"/>',
    "theme": '<circle cx="12" cy="12" r="9"/><path d="M12 3a9 9 0 0 1 0 18z" fill="currentColor"/>',
    "chart": '<path d="M4 4v16h16M8 15l3.5-4.5 3 2.5L20 7"/>',
    "ledger": '<path d="M5 3h12a2 2 0 0 1 2 2v16H7a2 2 0 0 1-2-2zM5 18a2 2 0 0 1 2-2h12M9 7.5h6"/>',
    "eye": (
        '<path d="M2.5 12C5 7.5 8.3 5.5 12 5.5s7 2 9.5 6.5c-2.5 4.5-5.8 6.5-9.5 6.5S5 16.5 2.5'
        ' 12z"/><circle cx="12" cy="12" r="2.8"/>'
    ),
    "exit": '<path d="M14 4h6v16h-6M3.5 12H15m-4-4 4 4-4 4"/>',
    "bell": '<path d="M6 17V11a6 6 0 0 1 12 0v6l1.5 2h-15zM10 21h4"/>',
    "calendar": '<path d="M4 6h16v14H4zM4 10.5h16M8.5 3.5V7M15.5 3.5V7"/>',
    "filter": '<path d="M4 5h16l-6 7.5V19l-4 1.5v-8z"/>',
    "play": '<path d="M7 4.5 19 12 7 19.5z"/>',
    "pause": '<path d="M8 5v14M16 5v14"/>',
    "server": '<path d="M4 4h16v7H4zM4 13h16v7H4zM8 7.5h.01M8 16.5h.01"/>',
    "file": '<path d="M6 3h8l4.5 4.5V21H6zM14 3v5h4.5M9.5 13h5.5M9.5 17h5.5"/>',
    "link": (
        '<path d="M10 14a4 4 0 0 0 5.7 0l3.5-3.5a4 4 0 0 0-5.7-5.7L12 6.3M14 10a4 4 0 0 0-5.7'
        ' 0l-3.5 3.5a4 4 0 0 0 5.7 5.7L12 17.7"/>'
    ),
    "trash": '<path d="M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13M10 11v5.5M14 11v5.5"/>',
    "edit": '<path d="m4 20 1-4.5L16.5 4 20 7.5 8.5 19zM14 6.5l3.5 3.5"/>',
}


@register.simple_tag
def icon(name: str, size: int = 18, label: str = "", extra_class: str = "") -> SafeString:
    """An inline icon. Decorative unless `label` is given, which then is its accessible name."""
    body = mark_safe(ICONS[name])  # noqa: S308 - constants of this module
    hidden = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html(
        '<svg class="icon {}" width="{}" height="{}" viewBox="0 0 24 24" {}>{}</svg>',
        extra_class,
        size,
        size,
        hidden,
        body,
    )
