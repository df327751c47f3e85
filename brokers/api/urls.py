from django.urls import path

from brokers.api.views import AccountDetail, AccountList

urlpatterns = [
    path("accounts/", AccountList.as_view(), name="api_account_list"),
    path("accounts/<uuid:account_id>/", AccountDetail.as_view(), name="api_account"),
]
