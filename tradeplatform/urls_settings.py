"""Routes of the settings pages."""

from django.urls import path

from tradeplatform.views import settings as pages

app_name = "settings"
urlpatterns = [
    path("", pages.profile, name="profile"),
    path("orders/", pages.order_defaults, name="order_defaults"),
    path("api-keys/", pages.api_keys, name="api_keys"),
    path("api-keys/<int:key_id>/revoke/", pages.api_key_revoke, name="api_key_revoke"),
    path("disclosures/", pages.disclosures, name="disclosures"),
    path("data/", pages.data, name="data"),
    path("data/export/", pages.export, name="export"),
    path("data/close/", pages.close, name="close"),
]
