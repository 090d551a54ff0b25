"""Puts the routes together, and turns every error into an answer in words.

Answers are JSON, except for the files of the page. An error is `{"error": SENTENCE}`, with status 400 if the question can't be asked, and
503 or 504 if there is no answer now. No URL, filter or key is written to a log.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable
from typing import Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from dashboard.access.entry import asked_of
from dashboard.access.guard import Door
from dashboard.access.parts import Access
from dashboard.access.viewer import Forbidden, Unknown
from dashboard.body import BODY_BYTES_MAX
from dashboard.catalogue.contract import Refused, Unanswered
from dashboard.metrics import Metrics
from dashboard.sites.records import Sites
from dashboard.web.pages import SECURITY
from dashboard.web.problems import problem

HEAD_BYTES_MAX = 16 << 10
_log = logging.getLogger("dashboard.web")


class Routes(Protocol):
    """Adds routes to an application."""

    def add_to(self, app: web.Application) -> None:
        """Adds them."""


def application(*, metrics: Metrics, access: Access, sites: Sites, parts: Iterable[Routes]) -> web.Application:
    """Returns the application with the routes of all parts, and the forms of `access`."""
    middlewares = [_guarded(metrics, access.door), _answered, access.entry.middleware(), _knowing(sites)]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_BYTES_MAX)
    app.on_response_prepare.append(_secure)
    for part in (access.forms, *parts):
        part.add_to(app)
    return app


def _guarded(metrics: Metrics, door: Door) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        refused = door.refusal(asked_of(request))
        if refused is None:
            return await handler(request)
        metrics.refused.labels(refused.why).inc()
        response = problem(refused.status, refused.sentence)
        response.force_close()  # or a page with many names for this machine holds all connections that there may be
        return response

    return guarded


def _knowing(sites: Sites) -> Middleware:
    """Reads the sites before each request to an API."""

    @web.middleware
    async def knowing(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/api/"):
            await sites.read()
        return await handler(request)

    return knowing


def _has_left(request: web.Request) -> bool:
    """Returns whether the browser closed the connection, as it does when another period is chosen: nobody reads the answer."""
    return request.transport is None or request.transport.is_closing()


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as error:
        return problem(400, str(error))
    except Unknown as error:
        return problem(404, str(error))
    except Forbidden as error:
        return problem(403, str(error))
    except Unanswered as error:
        wait = {"Retry_After": str(error.retry_after)} if error.retry_after else {}
        return problem(error.status, str(error), **wait)
    except web.RequestPayloadError:
        return problem(400, "The body can't be read: its length, chunks or Content-Encoding are wrong.")
    except web.HTTPRequestEntityTooLarge:
        return problem(413, f"A request has at most {BODY_BYTES_MAX >> 10} KiB.")
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return problem(405, f"{request.method} is not answered here.", Allow=allowed)
    except web.HTTPException as error:
        return problem(error.status, "There is nothing here." if error.status == 404 else error.reason)
    except Exception as error:  # the outermost loop: a fault of ours costs one request
        if isinstance(error, ConnectionResetError) and _has_left(request):
            return problem(400, "The connection was closed before the request was answered.")
        places = "".join(traceback.format_tb(error.__traceback__))
        _log.error("a request could not be answered: %s\n%s", type(error).__name__, places)
        return problem(500, "Something is wrong in the dashboard; its log says what.")


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    """Adds the headers that every answer has, and removes the one that names our server software."""
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    response.headers.pop(hdrs.SERVER, None)
