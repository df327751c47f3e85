from django.urls import path

from risk.api.views import HaltDetail, HaltList

urlpatterns = [
    path("halts/", HaltList.as_view(), name="api_halts"),
    path("halts/<uuid:halt_id>/", HaltDetail.as_view(), name="api_halt"),
]
