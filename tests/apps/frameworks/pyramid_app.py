import hashlib

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory


def index(request):
    return Response("hello from Pyramid", content_type="text/plain")


def greet(request):
    return {"hello": request.params.get("name", "nobody")}


def mirror(request):
    return {"received": request.json_body}


def hello(request):
    return {"hello": request.matchdict["name"]}


def form(request):
    return {"name": request.POST["name"], "tags": request.POST.getall("tag")}


def upload(request):
    file = request.POST["file"]
    digest, size = hashlib.sha256(), 0
    while data := file.file.read(65536):
        digest.update(data)
        size += len(data)
    return {"filename": file.filename, "size": size, "sha256": digest.hexdigest(),
            "note": request.POST["note"]}


def stream(request):
    count = int(request.params["count"])
    lines = (f"line {number}\n".encode() for number in range(count))
    return Response(app_iter=lines, content_type="text/plain")


def error(request):
    raise RuntimeError("deliberate")


def move(request):
    return HTTPFound(location=request.route_url("json", _query={"name": "moved"}))


def set_cookie(request):
    response = Response("set")
    response.set_cookie("flavour", "oat", path="/", httponly=True)
    return response


def show_cookies(request):
    return dict(request.cookies)


def count_visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return {"visits": request.session["visits"]}


def duplicates(request):
    response = Response("two cookies")
    response.headers.add("Set-Cookie", "first=1; Path=/")
    response.headers.add("Set-Cookie", "second=2; Path=/")
    return response


def echo(request):
    return {"method": request.method, "path": request.path, "query": request.query_string,
            "scheme": request.scheme, "host": request.host, "client": request.remote_addr,
            "headers": {name.lower(): value for name, value in request.headers.items()}}


def make_application():
    sessions = SignedCookieSessionFactory("only for tests")
    with Configurator(session_factory=sessions) as config:
        for name, path, views in [
            ("index", "/", {"GET": index}), ("json", "/json", {"GET": greet, "POST": mirror}),
            ("hello", "/hello/{name}", {"GET": hello}), ("form", "/form", {"POST": form}),
            ("upload", "/upload", {"POST": upload}), ("stream", "/stream", {"GET": stream}),
            ("error", "/error", {"GET": error}), ("redirect", "/redirect", {"GET": move}),
            ("set", "/cookies/set", {"GET": set_cookie}),
            ("cookies", "/cookies", {"GET": show_cookies}),
            ("session", "/session", {"GET": count_visits}),
            ("duplicates", "/duplicates", {"GET": duplicates}), ("echo", "/echo", {"GET": echo}),
        ]:
            config.add_route(name, path)
            for method, view in views.items():
                config.add_view(view, route_name=name, request_method=method, renderer="json")
        return config.make_wsgi_app()


application = make_application()
