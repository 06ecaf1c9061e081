"""Starlette with starlette_exporter as its README says."""

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette_exporter import PrometheusMiddleware, handle_metrics


async def hit(request):
    return JSONResponse({})


application = Starlette(routes=[Route("/hit", hit)])
application.add_middleware(PrometheusMiddleware)
application.add_route("/metrics", handle_metrics)
