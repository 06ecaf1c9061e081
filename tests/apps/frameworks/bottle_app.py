import hashlib

from bottle import Bottle, redirect, request, response

application = Bottle()
SECRET = "only for tests"


@application.get("/")
def index():
    return "hello from Bottle"


@application.get("/json")
def greet():
    return {"hello": request.query.getunicode("name", "nobody")}


@application.post("/json")
def mirror():
    return {"received": request.json}


@application.get("/hello/<name>")
def hello(name):
    return {"hello": name}


@application.post("/form")
def form():
    return {"name": request.forms.getunicode("name"),
            "tags": [tag for tag in request.forms.getall("tag")]}


@application.post("/upload")
def upload():
    file = request.files.get("file")
    digest, size = hashlib.sha256(), 0
    while data := file.file.read(65536):
        digest.update(data)
        size += len(data)
    return {"filename": file.filename, "size": size, "sha256": digest.hexdigest(),
            "note": request.forms.getunicode("note")}


@application.get("/stream")
def stream():
    response.content_type = "text/plain"
    for number in range(int(request.query.count)):
        yield f"line {number}\n".encode()


@application.get("/error")
def error():
    raise RuntimeError("deliberate")


@application.get("/redirect")
def move():
    redirect("/json?name=moved", 302)


@application.get("/cookies/set")
def set_cookie():
    response.set_cookie("flavour", "oat", path="/", httponly=True)
    return "set"


@application.get("/cookies")
def show_cookies():
    return dict(request.cookies)


@application.get("/session")
def count_visits():
    visits = int(request.get_cookie("visits", 0, secret=SECRET)) + 1
    response.set_cookie("visits", str(visits), secret=SECRET, path="/")
    return {"visits": visits}


@application.get("/duplicates")
def duplicates():
    response.set_cookie("first", "1", path="/")
    response.set_cookie("second", "2", path="/")
    return "two cookies"


@application.get("/echo")
def echo():
    return {"method": request.method, "path": request.path, "query": request.query_string,
            "scheme": request.urlparts.scheme, "host": request.urlparts.netloc,
            "client": request.remote_addr,
            "headers": {name.lower(): value for name, value in request.headers.items()}}
