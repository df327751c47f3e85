"""Routes of the risk page."""

from django.urls import path

from risk import views

app_name = "risk"
urlpatterns = [
    path("risk/", views.overview, name="overview"),
    path("risk/halt/", views.halt, name="halt"),
    path("risk/halts/<uuid:halt_id>/resume/", views.resume, name="resume"),
]
