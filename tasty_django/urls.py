"""The addresses of the pages: `path("portfolio/", include("tasty_django.urls"))` in the application's own."""

from django.urls import path

from tasty_django import views

app_name = "tasty"

urlpatterns = [
    path("", views.portfolio, name="portfolio"),
    path("transactions/", views.transactions, name="transactions"),
    path("transactions.csv", views.transactions_csv, name="transactions_csv"),
    path("connections/", views.connections, name="connections"),
    path("connections/connect/", views.connect, name="connect"),
    # an operator may give a connection any name, one with a slash too
    path("connections/reconnect/<path:connection_id>/", views.reconnect, name="reconnect"),
    path("connections/disconnect/<path:connection_id>/", views.disconnect, name="disconnect"),
    path("sync/", views.sync, name="sync"),
    path("sync/status/", views.sync_status, name="sync_status"),
]
