"""Every test runs on real servers of its own session, PostgreSQL and Redis, started before Django's settings.

That is why `DJANGO_SETTINGS_MODULE` stands here and not in pyproject.toml: settings read addresses that are
only known once the servers run. `DATABASE_URL` and `REDIS_URL`, when set, name servers to use instead.
"""

from __future__ import annotations

import gc
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import Fernet

from stack.browser import ARGUMENTS, find_or_install_chromium
from stack.servers import NO_FSYNC, postgres_from_environment_or_start, redis_from_environment_or_start

if TYPE_CHECKING:
    from django.test import Client

    from web.core.models import Business, Profile

_TESTS = Path(__file__).parent
os.environ.setdefault(NO_FSYNC, "1")  # for every server that a test starts, too
_folder = Path(tempfile.mkdtemp(prefix="paydesk-tests-"))
_servers = [postgres_from_environment_or_start(_folder), redis_from_environment_or_start(_folder)]
# Where tests run in several processes these share the servers. pytest-django gives each a database of its own; each
# needs its own corner of Redis too, or the accounts of one use up, and shut, those of the same name of another.
_redis_url = _servers[1].url
if _process := os.environ.get("PYTEST_XDIST_WORKER"):
    _redis_url = urlsplit(_redis_url)._replace(path=f"/{int(_process.removeprefix('gw')) + 1}").geturl()
os.environ.update(
    {
        "DJANGO_SETTINGS_MODULE": "web.settings",
        "DATABASE_URL": _servers[0].url,
        "REDIS_URL": _redis_url,
        "SECRET_KEY": secrets.token_urlsafe(40),
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "PAYDESK_LOCAL": "true",
        "EMAIL_URL": "memorymail://",
        "LOG_LEVEL": "INFO",
    }
)
# What a developer's shell happens to say must not change what tests see.
for _name in (
    "DEBUG",
    "CELERY_BROKER_URL",
    "STRIPE_API_BASE",
    "PAYMENT_URL_PREFIX",
    "ALLOWED_HOSTS",
    "BEHIND_PROXY",
):
    os.environ.pop(_name, None)

import django  # noqa: E402  # settings read the environment above
from django.conf import settings as django_settings  # noqa: E402
from django.template.base import Template  # noqa: E402
from django.test.utils import _TestState  # noqa: E402

from tests import emptying, lock_order  # noqa: E402

django.setup()
emptying.instead_of_flush()
# Every test client loads the middleware anew: static files are looked up when asked for, not listed each time.
django_settings.WHITENOISE_AUTOREFRESH = True
# What is imported by now stays, and what a request leaves is freed without this; looking through it all is a
# fifteenth of a test that renders pages.
gc.collect()
gc.freeze()
gc.set_threshold(100_000, 50, 1_000)
# A real hash takes a quarter of a second, and hundreds of tests sign somebody in.
django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

HOST = (
    "sunrise.localhost"  # below .localhost: in ALLOWED_HOSTS, and a name that browsers resolve by themselves
)
OTHER_HOST = "moon.localhost"


@pytest.fixture(scope="session", autouse=True)
def _templates_render_as_they_do(django_test_environment: None) -> None:
    """Have templates keep no copies of their contexts, which nothing here asks for: a tenth of a page's time."""
    Template._render = _TestState.saved_data.template_render  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """How pytest-playwright starts its browser, for every test that wants one.

    Without chromium these are skipped, with a reason; PAYDESK_REQUIRE_BROWSER=1 makes that a failure.
    """
    chromium = find_or_install_chromium()
    if chromium is None:
        reason = "no chromium: install one, or see stack/browser.py"
        if os.environ.get("PAYDESK_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return {"executable_path": str(chromium), "args": list(ARGUMENTS)}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Have each process load settings of its own, by its own copy of this file and not before it."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


# Each of these shares a whole stack, which takes long to start: where tests run in several processes, it stays in one.
TOGETHER = {
    "tests/browser/": "studio",
    "tests/faults/test_chaos.py": "house",
    "tests/faults/test_drills.py": "house",
    "tests/faults/test_processes_die.py": "house",
    "tests/faults/test_rolling_restart.py": "house",
    "tests/stack/": "stack",
}


SHORT = ("tests/contract/", "tests/stack/", "tests/unit/")  # none of these takes long


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what is short come last: of several processes, one would otherwise end alone with what takes minutes.

    What asks for the database stays where pytest-django has put it, before every browser.
    """
    items.sort(
        key=lambda item: item.nodeid.startswith(SHORT) and item.get_closest_marker("django_db") is None
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give tests out in the order that they were found in: those with a database first, as pytest-django has it, for
    a browser's event loop stays behind in its process. By a scheduler of our own: xdist's groups are lost on pytest 9.
    """
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class ByStack(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((scope for path, scope in TOGETHER.items() if nodeid.startswith(path)), nodeid)

    config.option.loadscopereorder = False
    return ByStack(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers: at the very end, after pytest-django has dropped its database."""
    for server in _servers:
        server.stop()
    shutil.rmtree(_folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    """Forget what a process keeps between requests; the database is rolled back by pytest-django."""
    from web.core import tenancy

    tenancy.forget_hosts()


@pytest.fixture
def business(db: None) -> Business:
    """A business in New York, served at HOST."""
    from tests.factories import BusinessFactory

    return BusinessFactory.create(name="Sunrise Yoga", host=HOST)


@pytest.fixture
def other_business(db: None) -> Business:
    """Another business, in Seoul, served at OTHER_HOST: what is its must never be seen at HOST."""
    from tests.factories import BusinessFactory

    return BusinessFactory.create(
        name="달빛 요가", country="kr", currency="krw", time_zone="Asia/Seoul", host=OTHER_HOST
    )


@pytest.fixture
def client(business: Business) -> Client:
    """A signed-out browser at the business's host."""
    from django.test import Client

    return Client(SERVER_NAME=HOST)


@pytest.fixture
def sign_in() -> Callable[[Profile], Client]:
    """A browser of this person, signed in at their own business's host."""
    from django.test import Client

    from tests.recent import just_signed_in

    def sign_in(profile: Profile, host: str | None = None) -> Client:
        server_name = host or profile.business.hosts.values_list("host", flat=True)[0]
        browser = Client(SERVER_NAME=server_name)
        just_signed_in(browser, profile.user)
        return browser

    return sign_in


@pytest.fixture
def clean_cache(db: None) -> Iterator[None]:
    """An empty cache before and after: rate limits outlive a flush, for the cache is no model's table."""
    from django.core.cache import cache

    cache.clear()
    yield
    cache.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Watch the locks of every test whose transactions are real ones; in others all is one, the test's own."""
    marker = item.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction"):
        return (yield)
    with pytest.MonkeyPatch.context() as patch, lock_order.watched(patch) as watch:
        result = yield
    assert not watch.wrong, "locked out of order: " + "; ".join(watch.wrong[:3])
    return result
