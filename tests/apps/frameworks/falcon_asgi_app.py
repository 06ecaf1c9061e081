import hashlib

import falcon
import falcon.asgi

from falcon_app import add_routes, sign, signed_value


class Index:
    async def on_get(self, request, response):
        response.content_type = falcon.MEDIA_TEXT
        response.text = "hello from Falcon, asynchronously"


class Json:
    async def on_get(self, request, response):
        response.media = {"hello": request.get_param("name", default="nobody")}

    async def on_post(self, request, response):
        response.media = {"received": await request.get_media()}


class Hello:
    async def on_get(self, request, response, name):
        response.media = {"hello": name}


class Form:
    async def on_post(self, request, response):
        fields = await request.get_media()
        response.media = {"name": fields["name"], "tags": fields["tag"]}


class Upload:
    async def on_post(self, request, response):
        answer = {}
        async for part in await request.get_media():
            if part.name == "file":
                digest, size = hashlib.sha256(), 0
                while data := await part.stream.read(65536):
                    digest.update(data)
                    size += len(data)
                answer |= {"filename": part.filename, "size": size, "sha256": digest.hexdigest()}
            else:
                answer[part.name] = await part.text
        response.media = answer


class Stream:
    async def on_get(self, request, response):
        count = request.get_param_as_int("count")

        async def lines():
            for number in range(count):
                yield f"line {number}\n".encode()

        response.content_type = falcon.MEDIA_TEXT
        response.stream = lines()


class Error:
    async def on_get(self, request, response):
        raise RuntimeError("deliberate")


class Move:
    async def on_get(self, request, response):
        raise falcon.HTTPFound("/json?name=moved")


class SetCookie:
    async def on_get(self, request, response):
        response.set_cookie("flavour", "oat", path="/", http_only=True, secure=True)
        response.text = "set"


class Cookies:
    async def on_get(self, request, response):
        response.media = request.cookies


class Session:
    async def on_get(self, request, response):
        visits = int(signed_value(request.cookies.get("visits")) or 0) + 1
        response.set_cookie("visits", sign(str(visits)), path="/", secure=True)
        response.media = {"visits": visits}


class Duplicates:
    async def on_get(self, request, response):
        response.set_cookie("first", "1", path="/")
        response.set_cookie("second", "2", path="/")
        response.text = "two cookies"


class Echo:
    async def on_get(self, request, response):
        response.media = {
            "method": request.method, "path": request.path, "query": request.query_string,
            "scheme": request.scheme, "host": request.get_header("Host"),
            "client": request.remote_addr,
            "headers": {name.lower(): value for name, value in request.headers.items()}}


application = add_routes(falcon.asgi.App(), {
    "/": Index, "/json": Json, "/hello/{name}": Hello, "/form": Form, "/upload": Upload,
    "/stream": Stream, "/error": Error, "/redirect": Move, "/cookies/set": SetCookie,
    "/cookies": Cookies, "/session": Session, "/duplicates": Duplicates, "/echo": Echo,
})
