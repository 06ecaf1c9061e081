"""The example that deploy/quickstart serves. Nothing in it knows about Saola."""

from fastapi import FastAPI, Request

application = FastAPI(title="Saola's example")


@application.get("/")
async def hello():
    return {"message": "Hello from FastAPI, served by Saola"}


@application.get("/items/{item_id}")
async def item(item_id: int, detail: bool = False):
    return {"item_id": item_id, "detail": detail}


@application.get("/connection")
async def connection(request: Request):
    """What the server says about this very request."""
    return {
        "client": request.client.host if request.client else None,
        "scheme": request.url.scheme,
        "http_version": request.scope["http_version"],
    }
