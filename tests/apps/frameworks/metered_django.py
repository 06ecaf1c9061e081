"""Django with django-prometheus as its README says."""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import include, path

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["django_prometheus"],
    MIDDLEWARE=["django_prometheus.middleware.PrometheusBeforeMiddleware",
                "django_prometheus.middleware.PrometheusAfterMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="not secret",
)

urlpatterns = [
    path("hit", lambda request: JsonResponse({}), name="hit"),
    path("", include("django_prometheus.urls")),
]
django.setup()
application = get_wsgi_application()
