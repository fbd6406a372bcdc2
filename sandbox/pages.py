"""Pages."""

from aiohttp import web

from sandbox.server import Sandbox


async def handle(sandbox: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    """x"""
    return web.Response(status=404)
