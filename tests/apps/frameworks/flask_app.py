import hashlib

from flask import (Flask, Response, jsonify, make_response, redirect, request, session,
                   stream_with_context, url_for)

application = Flask(__name__)
application.secret_key = "only for tests"


@application.get("/")
def index():
    return "hello from Flask"


@application.get("/json")
def greet():
    return jsonify(hello=request.args.get("name", "nobody"))


@application.post("/json")
def mirror():
    return jsonify(received=request.get_json())


@application.get("/hello/<name>")
def hello(name):
    return jsonify(hello=name)


@application.post("/form")
def form():
    return jsonify(name=request.form["name"], tags=request.form.getlist("tag"))


@application.post("/upload")
def upload():
    file = request.files["file"]
    digest, size = hashlib.sha256(), 0
    while data := file.stream.read(65536):
        digest.update(data)
        size += len(data)
    return jsonify(filename=file.filename, size=size, sha256=digest.hexdigest(),
                   note=request.form["note"])


@application.get("/stream")
def stream():
    count = int(request.args["count"])

    def lines():
        for number in range(count):
            yield f"line {number}\n"

    return Response(stream_with_context(lines()), mimetype="text/plain")


@application.get("/error")
def error():
    raise RuntimeError("deliberate")


@application.get("/redirect")
def move():
    return redirect(url_for("greet", name="moved"))


@application.get("/cookies/set")
def set_cookie():
    response = make_response("set")
    response.set_cookie("flavour", "oat", path="/", httponly=True)
    return response


@application.get("/cookies")
def show_cookies():
    return jsonify(dict(request.cookies))


@application.get("/session")
def count_visits():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(visits=session["visits"])


@application.get("/duplicates")
def duplicates():
    response = make_response("two cookies")
    response.headers.add("Set-Cookie", "first=1; Path=/")
    response.headers.add("Set-Cookie", "second=2; Path=/")
    return response


@application.get("/echo")
def echo():
    return jsonify(method=request.method, path=request.path, query=request.query_string.decode(),
                   scheme=request.scheme, host=request.host, client=request.remote_addr,
                   headers={name.lower(): value for name, value in request.headers})
