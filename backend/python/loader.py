"""Finds the application that a target names, and what it is (app_loader.h).

LoadError carries a message for people; any other exception is the application's own.
"""
import ast
import difflib
import functools
import importlib
import inspect
import sys


class LoadError(Exception):
    pass


def split_target(target):
    """'module:expression' -> (module, expression or None)."""
    module, colon, expression = target.partition(":")
    if not module:
        raise LoadError(f"target {target!r} names no module; write 'module:attribute'")
    if colon and not expression:
        raise LoadError(f"target {target!r} names no attribute after ':'")
    return module, expression or None


def parse_expression(expression):
    """-> (dotted names, None or (args, kwargs))."""
    def bad(why):
        return LoadError(f"cannot read {expression!r} as an attribute or a call: {why}")

    try:
        node = ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise bad(error.msg) from None
    call = None
    if isinstance(node, ast.Call):
        try:
            args = [ast.literal_eval(argument) for argument in node.args]
            kwargs = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
        except ValueError:
            raise bad("arguments must be literals") from None
        if None in kwargs:
            raise bad("arguments must be literals")
        call = (args, kwargs)
        node = node.func
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise bad("only names, dots and one call are understood")
    names.append(node.id)
    return names[::-1], call


def import_module(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself (or a package it lies in), or something that it imports?
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            where = ", ".join(repr(entry) for entry in sys.path[:3])
            raise LoadError(f"there is no module {missing!r} (sys.path begins with {where})") from None
        raise


def find(module, names):
    owner, path = module, module.__name__
    for name in names:
        try:
            owner = getattr(owner, name)
        except AttributeError:
            close = difflib.get_close_matches(name, dir(owner), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise LoadError(f"{path!r} has no attribute {name!r}{hint}") from None
        path += (":" if owner is module else ".") + name
    return owner


def find_default(module):
    for name in ("application", "app"):
        if hasattr(module, name):
            return getattr(module, name)
    raise LoadError(f"module {module.__name__!r} has neither 'application' nor 'app'; "
                    f"name the attribute: '{module.__name__}:attribute'")


def load(target, factory):
    module_name, expression = split_target(target)
    names, call = parse_expression(expression) if expression else (None, None)
    module = import_module(module_name)
    found = find(module, names) if names else find_default(module)
    if call is None and factory:
        call = ([], {})
    if call is not None:
        if not callable(found):
            raise LoadError(f"{target!r} is to be called, but it is {describe(found)}")
        try:
            inspect.signature(found).bind(*call[0], **call[1])
        except TypeError as error:
            raise LoadError(f"factory {target!r} cannot be called so: {error}") from None
        except ValueError:
            pass  # built in: it has no signature to look at
        found = found(*call[0], **call[1])
        if inspect.iscoroutine(found):
            found.close()
            raise LoadError(f"factory {target!r} is a coroutine function; it must return the application")
    if not callable(found):
        raise LoadError(f"{target!r} is not callable: it is {describe(found)}")
    return found


def describe(value):
    return "None" if value is None else f"a {type(value).__name__}"


def layers(app):
    """The callable, and what partials and well-behaved decorators hide."""
    seen = []
    while app is not None and not any(app is other for other in seen):
        seen.append(app)
        app = app.func if isinstance(app, functools.partial) else getattr(app, "__wrapped__", None)
    return seen


def marked_async(function):
    # asyncio.iscoroutinefunction without importing asyncio into WSGI workers.
    if inspect.iscoroutinefunction(function):
        return True
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio.iscoroutinefunction(function)


def is_asgi3(app):
    for layer in layers(app):
        if inspect.isclass(layer):
            return False
        if marked_async(layer) or marked_async(getattr(layer, "__call__", None)):
            return True
    return False


def positional(function):
    """How many positional arguments a call must and may give; None if that cannot be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    fixed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in fixed)
    most = None if any(p.kind == p.VAR_POSITIONAL for p in parameters) else len(fixed)
    return required, most


def takes(app, count):
    """True if a call with `count` arguments is surely possible."""
    found = positional(app)
    if found is None:
        return False
    required, most = found
    return required <= count and (most is None or count <= most)


def is_asgi2(app):
    """Called with the scope alone, it gives a coroutine function of receive and send."""
    if takes(app, 2) or not takes(app, 1):
        return False
    if inspect.isclass(app):
        call = inspect.getattr_static(app, "__call__", None)
        return call is not None and marked_async(getattr(app, "__call__", None))
    return True


def adapt_asgi2(app):
    async def asgi3(scope, receive, send):
        await app(scope)(receive, send)

    return functools.update_wrapper(asgi3, app, updated=()) if hasattr(app, "__name__") else asgi3


def classify(app, wanted):
    """wanted: 'auto', 'wsgi', 'asgi' -> (callable, 'wsgi' or 'asgi')."""
    if wanted == "wsgi":
        return app, "wsgi"
    if is_asgi3(app):
        return app, "asgi"
    if is_asgi2(app):
        return adapt_asgi2(app), "asgi"
    if wanted == "asgi":
        # Neither async nor of ASGI 2's shape: a plain callable that returns an awaitable.
        return app, "asgi"
    found = positional(app)
    if found is not None and not takes(app, 2):
        if takes(app, 3):
            return app, "asgi"  # (scope, receive, send) -> awaitable
        required, most = found
        raise LoadError(
            f"{describe(app)} takes {required if most is None or required == most else f'{required} to {most}'} "
            "arguments: WSGI has 2 (environ, start_response), ASGI 3 (scope, receive, send)"
            + ("; is it a factory? then write 'module:name()'" if takes(app, 0) else ""))
    return app, "wsgi"
