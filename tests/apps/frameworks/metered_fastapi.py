"""FastAPI with prometheus_fastapi_instrumentator as its README says."""

from fastapi import FastAPI
from prometheus_fastapi_instrumentator import Instrumentator

application = FastAPI()


@application.get("/hit")
async def hit():
    return {}


Instrumentator(should_instrument_requests_inprogress=True,
               inprogress_labels=True).instrument(application).expose(application)
