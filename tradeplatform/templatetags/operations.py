"""Parts of the operations dashboard: lengths of time and bars drawn as SVG.

{{ 12.34|milliseconds }}         12.3 ms, 1.25 s, 2 min
{{ span|exact_span }}            the same of a timedelta
{% stage_bar figures %}          the 50th, 95th and 99th percentile on a scale from 0.1 ms to 100 s
{% share_bar part whole %}       how much of the whole a part is
"""

from datetime import timedelta
from math import log10

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orders.latency import Percentiles
from tradeplatform.templatetags.formats import format_duration

register = template.Library()

# Decades of milliseconds that the scale spans: 0.1 ms to 100 s.
_LOWEST, _DECADES = -1, 6
_MARK = 1.6


@register.filter
def milliseconds(value: float) -> str:
    """Write a length of time with three digits that count."""
    if value >= 120_000:
        return format_duration(timedelta(milliseconds=value))
    number, unit = (value / 1000, "s") if value >= 1000 else (value, "ms")
    places = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:.{places}f}\u00a0{unit}"


@register.filter
def exact_span(span: timedelta) -> str:
    """Write a span as exactly as it matters for a measured one."""
    return milliseconds(span / timedelta(milliseconds=1))


@register.simple_tag
def stage_bar(figures: Percentiles) -> SafeString:
    """Draw three percentiles; the numbers stand beside it, so it is hidden from screen readers."""
    p50, p95, p99 = (_place(value) for value in (figures.p50, figures.p95, figures.p99))
    return format_html(
        '<svg class="ops-stage" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="ops-stage__track" x="0" y="4" width="100" height="2"/>'
        '<rect class="ops-stage__range" x="{}" y="3.5" width="{}" height="3"/>'
        '<rect class="ops-stage__p50" x="{}" y="0" width="{}" height="10"/>'
        '<rect class="ops-stage__p95" x="{}" y="1" width="{}" height="8"/>'
        '<rect class="ops-stage__p99" x="{}" y="1" width="{}" height="8"/></svg>',
        f"{p50:.2f}",
        f"{max(p99 - p50, 0.5):.2f}",
        f"{p50:.2f}",
        _MARK,
        f"{p95:.2f}",
        _MARK / 2,
        f"{p99:.2f}",
        _MARK / 2,
    )


def _place(value: float) -> float:
    """Return where a length of time stands on the logarithmic scale, from 0 to 100 less the mark's width."""
    decades = log10(max(value, 10**_LOWEST)) - _LOWEST
    return min(decades / _DECADES, 1.0) * (100 - _MARK)


@register.simple_tag
def share_bar(part: int, whole: int) -> SafeString:
    """Draw a part of a whole."""
    width = 100 * part / whole if whole else 0
    return format_html(
        '<svg class="ops-share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="ops-share__part" width="{}" height="8"/></svg>',
        f"{width:.1f}",
    )
