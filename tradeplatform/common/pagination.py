"""How lists of the API are paged: opaque cursors, 50 items, at most 200."""

from rest_framework.pagination import CursorPagination


class DefaultCursorPagination(CursorPagination):
    """Newest first unless a view sets its own `ordering`, which must be unique together with the id."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    cursor_query_param = "cursor"
    ordering = "-created_at"
