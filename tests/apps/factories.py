"""Targets of every spelling that the loader takes. Each answers with its own target."""


def wsgi(name):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"factories:{name}".encode()]

    return application


def asgi(name):
    async def application(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"factories:{name}".encode()})

    return application


def make_wsgi():
    return wsgi("make_wsgi()")


def make_asgi():
    return asgi("make_asgi()")


class Holder:
    wsgi = staticmethod(wsgi("holder.wsgi"))


holder = Holder()


class AsgiClass:
    """ASGI 2: called with the scope, gives a coroutine function."""

    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        await asgi("AsgiClass")(self.scope, receive, send)
