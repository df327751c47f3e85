from django.urls import path

from portfolios.api.breaks import BreakList, BreakResolve
from portfolios.api.views import AccountPerformance, AccountPositions

urlpatterns = [
    path("accounts/<uuid:account_id>/positions/", AccountPositions.as_view(), name="api_positions"),
    path("accounts/<uuid:account_id>/performance/", AccountPerformance.as_view(), name="api_performance"),
    path("breaks/", BreakList.as_view(), name="api_breaks"),
    path("breaks/<int:break_id>/resolve/", BreakResolve.as_view(), name="api_break_resolve"),
]
