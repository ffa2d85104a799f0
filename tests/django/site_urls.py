"""The addresses of the tests' project."""

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path

urlpatterns = [
    path("tasty/", include("tasty_django.urls")),
    path("admin/", admin.site.urls),
    path("login/", LoginView.as_view(), name="login"),
]
