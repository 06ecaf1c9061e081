"""wsgiref.validate around the WSGI application that VALIDATED names (module:attribute)."""

import importlib
import os
from wsgiref.validate import validator

module, _, attribute = os.environ["VALIDATED"].partition(":")
application = validator(getattr(importlib.import_module(module), attribute or "application"))
