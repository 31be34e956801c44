"""`key`: who may command a node that listens on tcp, and with which role.

While the node runs, it changes the list itself, so that the change counts at once and is in its history; otherwise the
files in its home are changed. A secret half is made here and never sent: the node gets to know public halves alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from msgspec import structs

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import connect
from supervisors.cli.discovery import places
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Column, Listing
from supervisors.node.access import Access, AccessError
from supervisors.requests import Arguments, GrantArguments, RevokeArguments
from supervisors.views import KeysView, KeyView
from transport.endpoints import Endpoints
from transport.errors import EndpointError
from transport.keystore import AccessFile, KeyStore, check_key_name, check_public, read_access, write_access
from transport.security import KeyPair, Role

app = typer.Typer()
key_app = typer.Typer(help="Say who may command a node over tcp, and with which role.", no_args_is_help=False)
app.add_typer(key_app, name="key", rich_help_panel=Panel.ACCESS.value)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the key is called.")]
RoleOption = Annotated[
    str, typer.Option("--role", metavar="ROLE", help="viewer (look), operator (and act on actors) or admin (all).")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the history.")]


@command(
    key_app,
    "list",
    panel=Panel.ACCESS,
    document="KeyList",
    shape=Shape.LIST,
    examples=("key list", "key list -o json"),
)
def list_keys(call: Call) -> Listing:
    """List the keys that may connect, with their roles."""
    keys = _Keys(call)
    return _listing(keys, keys.view().items)


@command(
    key_app,
    "show",
    panel=Panel.ACCESS,
    document="KeyList",
    shape=Shape.LIST,
    examples=("key show laptop", "key show laptop -o json", "key show server"),
)
def show(
    call: Call, name: Annotated[str, typer.Argument(metavar="NAME", help="`server` is the node's own.")]
) -> Listing:
    """Show the public half of a key."""
    keys = _Keys(call)
    if name == "server":
        return _listing(keys, (keys.own(),))
    found = [key for key in keys.view().items if key.name == name]
    if not found:
        raise CommandError("not_found", f"there is no key {name!r}", "actorctl key list")
    return _listing(keys, tuple(found))


@command(
    key_app,
    "new",
    panel=Panel.ACCESS,
    examples=("key new monitoring", "key new laptop --role operator --to laptop.json --host node1.example.org"),
)
def new(
    call: Call,
    name: Name,
    role: RoleOption = "viewer",
    to: Annotated[
        str, typer.Option("--to", metavar="FILE", help="Write an access file for another machine; else keep it here.")
    ] = "",
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="With --to: how the other machine calls this one.")
    ] = "",
    reason: Reason = "",
) -> None:
    """Make a key and let it connect.

    With --to, its owner needs that file alone: actorctl --endpoint FILE tree.
    """
    _check(name, role)
    if host and not to:
        raise usage("--host goes with --to", "actorctl key new NAME --to FILE --host HOST")
    if to and Path(to).exists():
        raise CommandError("conflict", f"{to} exists already", "name another file")
    keys = _Keys(call)
    if keys.is_elsewhere and not to:
        raise usage("the node is on another machine: its home cannot keep the key", "say where: --to FILE")
    pair = KeyPair.make()
    access = _access(keys, name, pair, host) if to else None
    keys.grant(name, role, pair.public, reason)
    try:
        if access is not None:
            write_access(Path(to), access)
        else:
            to = str(keys.store.save(name, pair))
    except (OSError, EndpointError) as error:
        keys.revoke(name, "its secret half could not be kept")
        raise CommandError("failed", f"the key cannot be kept: {error}") from None
    call.note(f"{name} may connect as {role}; its secret half is in {to} (mode 0600)")


@command(
    key_app,
    "add",
    panel=Panel.ACCESS,
    examples=("key add laptop --role operator --public 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'",),
)
def add(
    call: Call,
    name: Name,
    public: Annotated[str, typer.Option("--public", metavar="KEY", help="Its public half, 40 characters of Z85.")] = "",
    role: RoleOption = "viewer",
    reason: Reason = "",
) -> None:
    """Let a key connect that was made elsewhere."""
    _check(name, role)
    try:
        check_public(public)
    except ValueError as error:
        raise usage(f"--public: {error}", "actorctl key show NAME") from None
    _Keys(call).grant(name, role, public, reason)
    call.note(f"{name} may connect as {role}")


@command(key_app, "revoke", panel=Panel.ACCESS, examples=("key revoke laptop --reason lost",))
def revoke(call: Call, name: Name, reason: Reason = "") -> None:
    """Let a key connect no more.

    Commands end at once; a tap that is open ends when its connection does.
    """
    _Keys(call).revoke(name, reason)
    call.note(f"{name} may connect no more")


class _Keys:
    """The list of keys: the running node's, or where none runs, the one in the home."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._place = places(call.settings)[0]
        self.store = KeyStore(self._place.endpoints.parent)
        self.is_elsewhere = bool(call.settings.endpoint) and read_access(self._place.endpoints) is not None
        """Whether the node is known by an access file alone, so that its home is not here."""
        self._endpoints: Endpoints | None = None
        self._is_offline = False

    def view(self) -> KeysView:
        """Return the list."""
        return self._ask("keys", Arguments(), "", lambda access: access.view())

    def grant(self, name: str, role: str, public: str, reason: str) -> None:
        """Let a key connect."""
        arguments = GrantArguments(name=name, role=role, public=public)
        self._ask("grant", arguments, reason, lambda access: access.grant(name, role, public))

    def revoke(self, name: str, reason: str) -> None:
        """Let a key connect no more."""
        self._ask("revoke", RevokeArguments(name=name), reason, lambda access: access.revoke(name))

    def own(self) -> KeyView:
        """Return the node's own public key."""
        endpoints = self.endpoints()
        public = endpoints.server_key if endpoints is not None else ""
        if not public and (self.store.directory / "server.json").exists():
            public = self.store.client("server").public
        if not public:
            hint = 'it makes one when it starts with runtime.transport = "tcp"'
            raise CommandError("not_found", "the node has no key", hint)
        return KeyView(name="server", role="node", public=public)

    def endpoints(self) -> Endpoints | None:
        """Return where the running node listens, None where none runs."""
        if self._endpoints is None and not self._is_offline:
            self.view()
        return self._endpoints

    def _ask(self, word: str, arguments: Arguments, reason: str, offline: Callable[[Access], KeysView]) -> KeysView:
        """Ask the running node, or do `offline` where none runs."""
        if not self._is_offline:
            try:
                with connect(self._call) as node:
                    view: KeysView = node.request(word, arguments, KeysView, reason=reason)
                    self._endpoints = node.endpoints
            except CommandError as error:
                if error.code != "unreachable" or self._call.settings.endpoint or not self._place.home.is_dir():
                    raise
                self._is_offline = True
                self._call.note("no node runs here: these are the files of its home")
            else:
                if not view.is_guarded:
                    self._call.note('this node listens on ipc: keys count once runtime.transport is "tcp"')
                return view
        try:
            return offline(Access(self._place.endpoints.parent))
        except AccessError as error:
            raise CommandError(error.code, str(error), error.hint) from None


def _check(name: str, role: str) -> None:
    try:
        check_key_name(name)
        Role.parse(role)
    except ValueError as error:
        raise usage(str(error)) from None


def _access(keys: _Keys, name: str, pair: KeyPair, host: str) -> AccessFile:
    endpoints = keys.endpoints()
    if endpoints is None:
        raise CommandError("unreachable", "--to needs the running node: it knows where it listens", "actorctl run")
    if not endpoints.server_key:
        hint = 'set runtime.transport = "tcp" and runtime.control = "HOST:PORT", then start it anew'
        raise CommandError("condition", "the node listens on ipc, which ends at this machine", hint)
    return AccessFile(
        endpoints.name,
        endpoints.version,
        _called(endpoints.control, host),
        _called(endpoints.taps, host),
        endpoints.server_key,
        name,
        pair,
    )


def _called(endpoint: str, host: str) -> str:
    """Return `endpoint` as another machine calls it."""
    address, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    if not host and address in _EVERY_ADDRESS:
        raise usage("the node listens on every address", "say how the other machine calls this one: --host HOST")
    return f"tcp://{host or address}:{port}"


_EVERY_ADDRESS = frozenset({"0.0.0.0", "[::]", "*"})  # what a node was bound to; nothing is bound here


def _listing(keys: _Keys, items: tuple[KeyView, ...]) -> Listing:
    found = []
    for item in items:
        file = keys.store.directory / f"{item.name}.json"
        found.append(structs.replace(item, file=str(file)) if not keys.is_elsewhere and file.exists() else item)
    return Listing("KeyList", found, KEY_COLUMNS, lambda key: str(key.name))


KEY_COLUMNS = (
    Column("name", lambda key: key.name),
    Column("role", lambda key: key.role),
    Column("public", lambda key: key.public),
    Column("file", lambda key: key.file),
)
