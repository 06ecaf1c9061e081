import hashlib
from typing import List

from fastapi import Body, FastAPI, File, Form, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.middleware.sessions import SessionMiddleware

application = FastAPI()
application.add_middleware(SessionMiddleware, secret_key="only for tests")


@application.get("/", response_class=PlainTextResponse)
async def index():
    return "hello from FastAPI"


@application.get("/json")
async def greet(name: str = "nobody"):
    return {"hello": name}


@application.post("/json")
async def mirror(received: dict = Body()):
    return {"received": received}


@application.get("/hello/{name}")
def hello(name: str):  # not async: runs in a thread
    return {"hello": name}


@application.post("/form")
async def form(name: str = Form(), tag: List[str] = Form()):
    return {"name": name, "tags": tag}


@application.post("/upload")
async def upload(file: UploadFile = File(), note: str = Form()):
    digest, size = hashlib.sha256(), 0
    while data := await file.read(65536):
        digest.update(data)
        size += len(data)
    return {"filename": file.filename, "size": size, "sha256": digest.hexdigest(), "note": note}


@application.get("/stream")
async def stream(count: int):
    async def lines():
        for number in range(count):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@application.get("/error")
async def error():
    raise RuntimeError("deliberate")


@application.get("/redirect")
async def move(request: Request):
    return RedirectResponse(f"{request.url_for('greet')}?name=moved")


@application.get("/cookies/set", response_class=PlainTextResponse)
async def set_cookie(response: Response):
    response.set_cookie("flavour", "oat", path="/", httponly=True)
    return "set"


@application.get("/cookies")
async def show_cookies(request: Request):
    return request.cookies


@application.get("/session")
async def count_visits(request: Request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return {"visits": request.session["visits"]}


@application.get("/duplicates", response_class=PlainTextResponse)
async def duplicates(response: Response):
    response.headers.append("set-cookie", "first=1; Path=/")
    response.headers.append("set-cookie", "second=2; Path=/")
    return "two cookies"


@application.get("/echo")
async def echo(request: Request):
    return {"method": request.method, "path": request.url.path, "query": request.url.query,
            "scheme": request.url.scheme, "host": request.headers["host"],
            "client": request.client.host, "headers": dict(request.headers)}
