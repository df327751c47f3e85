"""Routes of the broker pages, below /brokers/.

Pages that must look at orders or books as well (unlink, sync, arm) are added by the site's own routes.
"""

from django.urls import path

from brokers.views import accounts, linking

app_name = "brokers"
urlpatterns = [
    path("", accounts.broker_list, name="list"),
    path("accounts/", accounts.accounts_panel, name="accounts_panel"),
    path("accounts/<uuid:account_id>/rename/", accounts.rename, name="rename"),
    path("links/<uuid:connection_id>/access/", accounts.access_log, name="access_log"),
    path("links/<uuid:connection_id>/relink/", linking.relink, name="relink"),
    path("practice-account/", linking.open_practice, name="open_practice"),
    path("<slug:key>/link/", linking.link, name="link"),
    path("<slug:key>/link/keys/", linking.link_keys, name="link_keys"),
    path("<slug:key>/link/sign-in/", linking.oauth_start, name="oauth_start"),
    path("<slug:key>/callback/", linking.oauth_callback, name="oauth_callback"),
]
