"""The one-INSERT view."""

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

INSERT = "INSERT INTO one_row (text) VALUES (%s)"


def insert(_request: HttpRequest) -> HttpResponse:
    """Store one row in one commit."""
    with connection.cursor() as cursor:
        cursor.execute(INSERT, ["x" * 100])
    return HttpResponse(b"ok", content_type="text/plain", headers={"Content-Length": "2"})


urlpatterns = [path("", insert)]
