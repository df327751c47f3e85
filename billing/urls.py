"""Routes of the billing pages, and the address that Stripe sends its events to."""

from django.urls import path

from billing import views, webhooks

app_name = "billing"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("status/", views.status_panel, name="status"),
    path("invoices/", views.invoices_panel, name="invoices"),
    path("checkout/", views.checkout, name="checkout"),
    path("portal/", views.portal, name="portal"),
    path("done/", views.done, name="done"),
    path("webhook/", webhooks.receive, name="webhook"),
]
