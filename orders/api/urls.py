from django.urls import path

from orders.api.views import (
    OrderApprove,
    OrderCancel,
    OrderDetail,
    OrderList,
    OrderPreview,
    OrderReject,
    OrderTimeline,
)

urlpatterns = [
    path("orders/", OrderList.as_view(), name="api_order_list"),
    path("orders/preview/", OrderPreview.as_view(), name="api_order_preview"),
    path("orders/<uuid:order_id>/", OrderDetail.as_view(), name="api_order"),
    path("orders/<uuid:order_id>/cancel/", OrderCancel.as_view(), name="api_order_cancel"),
    path("orders/<uuid:order_id>/approve/", OrderApprove.as_view(), name="api_order_approve"),
    path("orders/<uuid:order_id>/reject/", OrderReject.as_view(), name="api_order_reject"),
    path("orders/<uuid:order_id>/timeline/", OrderTimeline.as_view(), name="api_order_timeline"),
]
