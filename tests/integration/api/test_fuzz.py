"""schemathesis over the API's own document, against the real application and PostgreSQL.

What it generates is bounded here; PAYDESK_FUZZ=long (`make fuzz`) asks far more of it. Each request is undone, so that
one cannot lean on another: what is to be found is a 500, an answer of no documented kind, or one that is not as described.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pytest_django.plugin import DjangoDbBlocker

from tests.integration.access.asking import undone
from tests.integration.access.world import PRICE, World
from tests.integration.api.conftest import token_of
from web.api import openapi
from web.api.urls import V1
from web.core import tenancy

IS_LONG = os.environ.get("PAYDESK_FUZZ") == "long"
EXAMPLES = 400 if IS_LONG else 12  # of each operation
SCHEMA = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application(), headers={"Host": "localhost"}) if False else schemathesis.openapi.from_dict(openapi.document(V1))
