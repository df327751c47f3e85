"""Every HTML route of the site."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from brokers.urls import urlpatterns as broker_pages
from orders.urls import urlpatterns as order_pages
from tradeplatform.admin import hide_foreign_models
from tradeplatform.views import broker_accounts, events, health, onboarding, order_approval, public
from tradeplatform.views import dashboard as dashboard_page
from tradeplatform.views import operations as operations_page
from tradeplatform.views import settings as settings_pages

handler400 = "tradeplatform.views.errors.bad_request"
handler403 = "tradeplatform.views.errors.permission_denied"
handler404 = "tradeplatform.views.errors.not_found"
handler500 = "tradeplatform.views.errors.server_error"

hide_foreign_models()

# Broker pages that look at orders and books too, which the brokers app may not.
BROKER_ROUTES = [
    *broker_pages,
    path("accounts/<uuid:account_id>/sync/", broker_accounts.sync_now, name="sync"),
    path("accounts/<uuid:account_id>/arm/", broker_accounts.arm, name="arm"),
    path("accounts/<uuid:account_id>/disarm/", broker_accounts.disarm, name="disarm"),
    path("links/<uuid:connection_id>/unlink/", broker_accounts.unlink, name="unlink"),
]

# Answers that may need the second factor, which the orders app cannot ask for.
ORDER_ROUTES = [
    *order_pages,
    path("orders/<uuid:order_id>/approve/", order_approval.approve, name="approve"),
    path("orders/<uuid:order_id>/reject/", order_approval.reject, name="reject"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", public.landing, name="landing"),
    path("pricing/", public.pricing, name="pricing"),
    path("disclosures/", public.disclosures, name="disclosures"),
    path("status/", public.status, name="status"),
    path("demo/mail/", public.demo_mail, name="demo_mail"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics_page, name="metrics"),
    path("events/", events.page_events, name="events"),
    path("dashboard/", dashboard_page.dashboard, name="dashboard"),
    path("", include((ORDER_ROUTES, "orders"))),
    path("onboarding/", onboarding.onboarding, name="onboarding"),
    path("billing/", include("billing.urls")),
    path("brokers/", include((BROKER_ROUTES, "brokers"))),
    path("", include("portfolios.urls")),
    path("", include("risk.urls")),
    path("switch-account/", settings_pages.switch_account, name="switch_account"),
    path("settings/", include("tradeplatform.urls_settings")),
    path("accounts/", include("allauth.urls")),
    path("admin/operations/", operations_page.dashboard, name="operations"),
    path("admin/", admin.site.urls),
    path("api/", include("tradeplatform.api_urls")),
]
