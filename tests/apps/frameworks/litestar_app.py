import hashlib
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.response import Redirect, Stream

sessions = CookieBackendConfig(secret=b"only for tests!!")


@get("/", media_type=MediaType.TEXT)
async def index() -> str:
    return "hello from Litestar"


@get("/json")
async def greet(name: str = "nobody") -> dict[str, str]:
    return {"hello": name}


@post("/json", status_code=200)
async def mirror(data: dict[str, Any]) -> dict[str, Any]:
    return {"received": data}


@get("/hello/{name:str}", sync_to_thread=True)
def hello(name: str) -> dict[str, str]:
    return {"hello": name}


@post("/form", status_code=200)
async def form(request: Request) -> dict[str, Any]:
    fields = await request.form()
    return {"name": fields["name"], "tags": fields.getall("tag")}


@post("/upload", status_code=200, request_max_body_size=None)
async def upload(request: Request) -> dict[str, Any]:
    fields = await request.form()
    file = fields["file"]
    digest, size = hashlib.sha256(), 0
    while data := await file.read(65536):
        digest.update(data)
        size += len(data)
    return {"filename": file.filename, "size": size, "sha256": digest.hexdigest(),
            "note": fields["note"]}


@get("/stream")
async def stream(count: int) -> Stream:
    async def lines():
        for number in range(count):
            yield f"line {number}\n"

    return Stream(lines(), media_type="text/plain")


@get("/error")
async def error() -> None:
    raise RuntimeError("deliberate")


@get("/redirect")
async def move() -> Redirect:
    return Redirect("/json?name=moved")


@get("/cookies/set")
async def set_cookie() -> Response[str]:
    response = Response("set", media_type=MediaType.TEXT)
    response.set_cookie("flavour", "oat", path="/", httponly=True)
    return response


@get("/cookies")
async def show_cookies(request: Request) -> dict[str, str]:
    return dict(request.cookies)


@get("/session")
async def count_visits(request: Request) -> dict[str, int]:
    visits = request.session.get("visits", 0) + 1
    request.set_session({"visits": visits})
    return {"visits": visits}


@get("/duplicates")
async def duplicates() -> Response[str]:
    response = Response("two cookies", media_type=MediaType.TEXT)
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


@get("/echo")
async def echo(request: Request) -> dict[str, Any]:
    return {"method": request.method, "path": request.url.path, "query": request.url.query,
            "scheme": request.url.scheme, "host": request.headers["host"],
            "client": request.client.host, "headers": dict(request.headers)}


application = Litestar(
    route_handlers=[index, greet, mirror, hello, form, upload, stream, error, move, set_cookie,
                    show_cookies, count_visits, duplicates, echo],
    middleware=[sessions.middleware],
)
