"""`/v1/programs`: the served file's programs, with typed parameters, run on the shared engine."""

from __future__ import annotations

from typing import Any

import anyio
from fastapi import APIRouter, Request
from starlette.responses import Response

from ...lang.program import Program
from ..parameters import Parameters
from .errors import ApiError
from .events import EventStream, answer
from .program_run import Run, RunRequest
from .service import Service


def router(service: Service) -> APIRouter:
    """The routes of one service. Raises ProgramError for a program with unusable annotations."""
    routes = APIRouter()
    parameters = {name: Parameters(program) for name, program in service.programs.items()}
    # a run holds its thread until it ends, so runs have a limit of their own
    threads = anyio.CapacityLimiter(service.gate.max_requests)

    @routes.get("/v1/programs")
    def list_programs() -> dict[str, Any]:
        data = [describe(name) for name in service.programs]
        return {"object": "list", "data": data}

    @routes.get("/v1/programs/{name}")
    def get_program(name: str) -> dict[str, Any]:
        find(name)
        return describe(name)

    @routes.post("/v1/programs/{name}/run")
    async def run_program(name: str, body: RunRequest, request: Request) -> Response:
        run = Run(service, name, find(name), parameters[name], body, threads)
        if body.stream:
            return EventStream(run.events())
        return await answer(request, run.whole())

    def find(name: str) -> Program:
        if name not in service.programs:
            known = ", ".join(service.programs) or "none"
            raise ApiError(
                404,
                f"no program {name!r} here; this server has: {known}",
                type="not_found_error",
                param="name",
                code="program_not_found",
            )
        return service.programs[name]

    def describe(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "object": "program",
            "doc": service.programs[name].doc,
            "parameters": parameters[name].describe(),
        }

    return routes
