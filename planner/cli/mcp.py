"""`planner mcp`: the questions as tools for agents, over stdio."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

List = Annotated[bool, typer.Option("--list", help="Print the tools with their schemas as JSON.")]
ASK = "Numbers come with 80 % intervals, warnings and what they rest on: pass those on."


def mcp(list_: List = False) -> None:
    """Serve the questions as tools to agents, over stdio; needs the extra `mcp`.

    Example: planner mcp --list
    """
    if list_:
        from planner.cli.output import as_json, write
        from planner.cli.tools import tools

        told = [
            {
                "name": t.name,
                "description": t.words,
                "inputSchema": t.takes,
                "outputSchema": t.returns,
            }
            for t in tools().values()
        ]
        return write(as_json(told), None, plain=True)
    import importlib.util

    from planner.errors import MissingExtra

    if importlib.util.find_spec("mcp") is None:
        raise MissingExtra.of("mcp", extra="mcp")
    import anyio
    from mcp.server.stdio import stdio_server

    async def serve() -> None:
        app = server()
        async with stdio_server() as (read, send):
            await app.run(read, send, app.create_initialization_options())

    anyio.run(serve)


def server() -> "Server[Any]":
    """Return the server: it lists the tools and calls them, one at a time."""
    import anyio
    import anyio.to_thread
    from mcp import types
    from mcp.server.lowlevel import Server

    from planner import __version__
    from planner.cli.tools import tools

    one = anyio.CapacityLimiter(1)  # an answer uses all cores

    async def listed(_: Any, __: Any) -> types.ListToolsResult:
        found = [
            types.Tool(
                name=t.name,
                description=t.words,
                input_schema=t.takes,
                output_schema=t.returns,
                annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
            )
            for t in tools().values()
        ]
        return types.ListToolsResult(tools=found)

    async def called(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        text, plain = await anyio.to_thread.run_sync(
            answer, params.name, params.arguments or {}, limiter=one
        )
        content: list[Any] = [types.TextContent(type="text", text=text)]
        return types.CallToolResult(
            content=content, structured_content=plain, is_error=plain is None
        )

    return Server(
        "planner", version=__version__, instructions=ASK, on_list_tools=listed, on_call_tool=called
    )


def answer(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Return an answer as text and as JSON; of an expected error its two lines, and None."""
    from planner.cli.tools import tools
    from planner.errors import PlannerError, SpecError, UnknownName
    from planner.report.render import as_text, render
    from planner.results import Result

    try:
        if name not in tools():
            raise UnknownName.among("tool", name, tools())
        tool = tools()[name]
        for given in arguments:
            if given not in tool.takes["properties"]:
                raise UnknownName.among("argument", given, tool.takes["properties"])
        for needed in tool.takes["required"]:
            if arguments.get(needed) is None:
                raise SpecError(
                    f"no {needed}", hint=tool.takes["properties"][needed]["description"]
                )
        plain, shown = tool.ask(**arguments)
        text = render(shown) if isinstance(shown, Result) else as_text(shown)
    except PlannerError as error:
        return f"error: {error}\nhint: {error.hint}".removesuffix("\nhint: "), None
    return text, plain
