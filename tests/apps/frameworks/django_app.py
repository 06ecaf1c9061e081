"""One module with settings, views and both entry points: `application` (WSGI), `asgi_application`."""

import hashlib

from django.conf import settings

settings.configure(
    DEBUG=False,
    SECRET_KEY="only for tests, and longer than fifty characters, as it should be",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DEFAULT_CHARSET="utf-8",
    USE_TZ=True,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    LOGGING_CONFIG=None,
)

import django  # noqa: E402

django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import (HttpResponse, HttpResponseRedirect, JsonResponse,  # noqa: E402
                         StreamingHttpResponse)
from django.urls import path, reverse  # noqa: E402


def index(request):
    return HttpResponse("hello from Django")


def json_view(request):
    if request.method == "POST":
        import json
        return JsonResponse({"received": json.loads(request.body)})
    return JsonResponse({"hello": request.GET.get("name", "nobody")})


def hello(request, name):
    return JsonResponse({"hello": name})


def form(request):
    return JsonResponse({"name": request.POST["name"], "tags": request.POST.getlist("tag")})


def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return JsonResponse({"filename": file.name, "size": file.size, "sha256": digest.hexdigest(),
                         "note": request.POST["note"]})


def stream(request):
    count = int(request.GET["count"])
    return StreamingHttpResponse((f"line {number}\n" for number in range(count)),
                                 content_type="text/plain")


def error(request):
    raise RuntimeError("deliberate")


def move(request):
    return HttpResponseRedirect(reverse("json") + "?name=moved")


def set_cookie(request):
    response = HttpResponse("set")
    response.set_cookie("flavour", "oat", path="/", httponly=True)
    return response


def show_cookies(request):
    return JsonResponse(request.COOKIES)


def count_visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


def duplicates(request):
    response = HttpResponse("two cookies")
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


def echo(request):
    return JsonResponse({
        "method": request.method, "path": request.path, "query": request.META["QUERY_STRING"],
        "scheme": request.scheme, "host": request.get_host(),
        "client": request.META["REMOTE_ADDR"],
        "headers": {name.lower(): value for name, value in request.headers.items()},
    })


urlpatterns = [
    path("", index),
    path("json", json_view, name="json"),
    path("hello/<str:name>", hello),
    path("form", form),
    path("upload", upload),
    path("stream", stream),
    path("error", error),
    path("redirect", move),
    path("cookies/set", set_cookie),
    path("cookies", show_cookies),
    path("session", count_visits),
    path("duplicates", duplicates),
    path("echo", echo),
]

application = get_wsgi_application()
asgi_application = get_asgi_application()
