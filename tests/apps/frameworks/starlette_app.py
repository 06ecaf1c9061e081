import hashlib

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import (JSONResponse, PlainTextResponse, RedirectResponse,
                                 StreamingResponse)
from starlette.routing import Route


async def index(request):
    return PlainTextResponse("hello from Starlette")


async def json_view(request):
    if request.method == "POST":
        return JSONResponse({"received": await request.json()})
    return JSONResponse({"hello": request.query_params.get("name", "nobody")})


async def hello(request):
    return JSONResponse({"hello": request.path_params["name"]})


async def form(request):
    fields = await request.form()
    return JSONResponse({"name": fields["name"], "tags": fields.getlist("tag")})


async def upload(request):
    fields = await request.form()
    file = fields["file"]
    digest, size = hashlib.sha256(), 0
    while data := await file.read(65536):
        digest.update(data)
        size += len(data)
    return JSONResponse({"filename": file.filename, "size": size, "sha256": digest.hexdigest(),
                         "note": fields["note"]})


async def stream(request):
    async def lines():
        for number in range(int(request.query_params["count"])):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def error(request):
    raise RuntimeError("deliberate")


async def move(request):
    return RedirectResponse(f"{request.url_for('json')}?name=moved")


async def set_cookie(request):
    response = PlainTextResponse("set")
    response.set_cookie("flavour", "oat", path="/", httponly=True)
    return response


async def show_cookies(request):
    return JSONResponse(request.cookies)


async def count_visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse({"visits": request.session["visits"]})


async def duplicates(request):
    response = PlainTextResponse("two cookies")
    response.headers.append("set-cookie", "first=1; Path=/")
    response.headers.append("set-cookie", "second=2; Path=/")
    return response


async def echo(request):
    return JSONResponse({
        "method": request.method, "path": request.url.path, "query": request.url.query,
        "scheme": request.url.scheme, "host": request.headers["host"],
        "client": request.client.host, "headers": dict(request.headers)})


application = Starlette(
    routes=[
        Route("/", index),
        Route("/json", json_view, methods=["GET", "POST"], name="json"),
        Route("/hello/{name}", hello),
        Route("/form", form, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/error", error),
        Route("/redirect", move),
        Route("/cookies/set", set_cookie),
        Route("/cookies", show_cookies),
        Route("/session", count_visits),
        Route("/duplicates", duplicates),
        Route("/echo", echo),
    ],
    middleware=[Middleware(SessionMiddleware, secret_key="only for tests")],
)
