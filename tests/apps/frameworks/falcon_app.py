import hashlib
import hmac
import json

import falcon

SECRET = b"only for tests"


def sign(text):
    return text + "." + hmac.new(SECRET, text.encode(), "sha256").hexdigest()


def signed_value(text):
    value = (text or "").rpartition(".")[0]
    return value if value and hmac.compare_digest(sign(value), text) else None


class Index:
    def on_get(self, request, response):
        response.content_type = falcon.MEDIA_TEXT
        response.text = "hello from Falcon"


class Json:
    def on_get(self, request, response):
        response.media = {"hello": request.get_param("name", default="nobody")}

    def on_post(self, request, response):
        response.media = {"received": request.get_media()}


class Hello:
    def on_get(self, request, response, name):
        response.media = {"hello": name}


class Form:
    def on_post(self, request, response):
        fields = request.get_media()
        response.media = {"name": fields["name"], "tags": fields["tag"]}


class Upload:
    def on_post(self, request, response):
        answer = {}
        for part in request.get_media():
            if part.name == "file":
                digest, size = hashlib.sha256(), 0
                while data := part.stream.read(65536):
                    digest.update(data)
                    size += len(data)
                answer |= {"filename": part.filename, "size": size, "sha256": digest.hexdigest()}
            else:
                answer[part.name] = part.text
        response.media = answer


class Stream:
    def on_get(self, request, response):
        count = request.get_param_as_int("count")
        response.content_type = falcon.MEDIA_TEXT
        response.stream = (f"line {number}\n".encode() for number in range(count))


class Error:
    def on_get(self, request, response):
        raise RuntimeError("deliberate")


class Move:
    def on_get(self, request, response):
        raise falcon.HTTPFound("/json?name=moved")


class SetCookie:
    def on_get(self, request, response):
        response.set_cookie("flavour", "oat", path="/", http_only=True, secure=True)
        response.text = "set"


class Cookies:
    def on_get(self, request, response):
        response.media = request.cookies


class Session:
    def on_get(self, request, response):
        visits = int(signed_value(request.cookies.get("visits")) or 0) + 1
        response.set_cookie("visits", sign(str(visits)), path="/", secure=True)
        response.media = {"visits": visits}


class Duplicates:
    def on_get(self, request, response):
        response.set_cookie("first", "1", path="/")
        response.set_cookie("second", "2", path="/")
        response.text = "two cookies"


class Echo:
    def on_get(self, request, response):
        response.media = {
            "method": request.method, "path": request.path, "query": request.query_string,
            "scheme": request.scheme, "host": request.get_header("Host"),
            "client": request.remote_addr,
            "headers": {name.lower(): value for name, value in request.headers.items()}}


def add_routes(app, resources):
    for path, resource in resources.items():
        app.add_route(path, resource())
    return app


application = add_routes(falcon.App(), {
    "/": Index, "/json": Json, "/hello/{name}": Hello, "/form": Form, "/upload": Upload,
    "/stream": Stream, "/error": Error, "/redirect": Move, "/cookies/set": SetCookie,
    "/cookies": Cookies, "/session": Session, "/duplicates": Duplicates, "/echo": Echo,
})
