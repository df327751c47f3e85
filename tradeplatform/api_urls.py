"""Routes of the API: version 1, its schema and its documentation."""

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from tradeplatform.views.events import api_events

v1_urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/", include("brokers.api.urls")),
    path("v1/", include("portfolios.api.urls")),
    path("v1/", include("risk.api.urls")),
    path("v1/", include("orders.api.urls")),
    path("v1/events/", api_events, name="api_events"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    *v1_urlpatterns,
    path("schema/", SpectacularAPIView.as_view(), name="api_schema"),
    path(
        "docs/",
        SpectacularSwaggerSplitView.as_view(url_name="api_schema", template_name="api/docs.html"),
        name="api_docs",
    ),
]
