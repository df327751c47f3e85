"""Routes of the portfolio and import pages."""

from django.urls import path

from portfolios.views import book, differences, imports

app_name = "portfolios"
urlpatterns = [
    path("portfolio/", book.overview, name="overview"),
    path("portfolio/<uuid:portfolio_id>/", book.detail, name="detail"),
    path("portfolio/<uuid:portfolio_id>/holdings/", book.holdings_panel, name="holdings_panel"),
    path("portfolio/<uuid:portfolio_id>/performance/", book.performance, name="performance"),
    path("portfolio/<uuid:portfolio_id>/realised/", book.realised, name="realised"),
    path("portfolio/<uuid:portfolio_id>/activity/", book.activity, name="activity"),
    path("portfolio/<uuid:portfolio_id>/lots/<str:symbol>/", book.lots, name="lots"),
    path("portfolio/<uuid:portfolio_id>/export/<slug:kind>.csv", book.export, name="export"),
    path("portfolio/<uuid:portfolio_id>/differences/", differences.differences, name="differences"),
    path(
        "portfolio/<uuid:portfolio_id>/differences/<int:break_id>/", differences.difference, name="difference"
    ),
    path("import/", imports.import_files, name="import"),
    path("import/samples/<str:name>", imports.sample, name="import_sample"),
    path("import/<uuid:batch_id>/", imports.import_detail, name="import_detail"),
    path("import/<uuid:batch_id>/apply/", imports.import_apply, name="import_apply"),
    path("import/<uuid:batch_id>/discard/", imports.import_discard, name="import_discard"),
    path("import/<uuid:batch_id>/undo/", imports.import_undo, name="import_undo"),
]
