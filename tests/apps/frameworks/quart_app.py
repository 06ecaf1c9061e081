import hashlib

from quart import Quart, jsonify, make_response, redirect, request, session, url_for

application = Quart(__name__)
application.secret_key = "only for tests"


@application.get("/")
async def index():
    return "hello from Quart"


@application.get("/json")
async def greet():
    return jsonify(hello=request.args.get("name", "nobody"))


@application.post("/json")
async def mirror():
    return jsonify(received=await request.get_json())


@application.get("/hello/<name>")
async def hello(name):
    return jsonify(hello=name)


@application.post("/form")
async def form():
    fields = await request.form
    return jsonify(name=fields["name"], tags=fields.getlist("tag"))


@application.post("/upload")
async def upload():
    file, fields = (await request.files)["file"], await request.form
    digest, size = hashlib.sha256(), 0
    while data := file.stream.read(65536):
        digest.update(data)
        size += len(data)
    return jsonify(filename=file.filename, size=size, sha256=digest.hexdigest(),
                   note=fields["note"])


@application.get("/stream")
async def stream():
    count = int(request.args["count"])

    async def lines():
        for number in range(count):
            yield f"line {number}\n".encode()

    return lines(), 200, {"Content-Type": "text/plain"}


@application.get("/error")
async def error():
    raise RuntimeError("deliberate")


@application.get("/redirect")
async def move():
    return redirect(url_for("greet", name="moved"))


@application.get("/cookies/set")
async def set_cookie():
    response = await make_response("set")
    response.set_cookie("flavour", "oat", path="/", httponly=True)
    return response


@application.get("/cookies")
async def show_cookies():
    return jsonify(dict(request.cookies))


@application.get("/session")
async def count_visits():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(visits=session["visits"])


@application.get("/duplicates")
async def duplicates():
    response = await make_response("two cookies")
    response.headers.add("Set-Cookie", "first=1; Path=/")
    response.headers.add("Set-Cookie", "second=2; Path=/")
    return response


@application.get("/echo")
async def echo():
    return jsonify(method=request.method, path=request.path, query=request.query_string.decode(),
                   scheme=request.scheme, host=request.host, client=request.remote_addr,
                   headers={name.lower(): value for name, value in request.headers})
