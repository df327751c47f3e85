"""Routes of the ticket and of the order pages."""

from django.urls import path

from orders.views import approval, market, order_list, order_page, review, ticket, unconfirmed

app_name = "orders"
urlpatterns = [
    path("trade/", ticket.ticket, name="ticket"),
    path("trade/preview/", ticket.preview, name="preview"),
    path("trade/prepare/", ticket.prepare, name="prepare"),
    path("trade/review/", review.review, name="review"),
    path("trade/place/", review.place, name="place"),
    path("trade/search/", market.search, name="search"),
    path("trade/quote/", market.quote, name="quote"),
    path("trade/chart/", market.chart, name="chart"),
    path("trade/bars/", market.bars, name="bars"),
    path("orders/", order_list.order_list, name="list"),
    path("orders/unconfirmed/", unconfirmed.unconfirmed, name="unconfirmed"),
    path("orders/<uuid:order_id>/settle/", unconfirmed.settle, name="settle"),
    path("orders/export.csv", order_list.export, name="export"),
    path("orders/<uuid:order_id>/", order_page.detail, name="detail"),
    path("orders/<uuid:order_id>/messages/", order_page.broker_messages, name="messages"),
    path("orders/<uuid:order_id>/approval/", approval.approval, name="approval"),
    path("orders/<uuid:order_id>/cancel/", order_page.cancel, name="cancel"),
    path("orders/<uuid:order_id>/change/", order_page.change, name="change"),
    path("orders/<uuid:order_id>/change/preview/", order_page.change_preview, name="change_preview"),
    path("orders/<uuid:order_id>/replace/", order_page.replace, name="replace"),
]
