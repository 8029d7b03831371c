"""What every spawner of ours does alike: offer what the user may have, and hold them to it at the start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any, ClassVar
from urllib.parse import quote

from jupyterhub import orm
from tornado import web
from traitlets import Any as AnyTrait
from traitlets import Dict, Unicode, default
from traitlets.config import LoggingConfigurable

from scalablehub.dask.environment import dask_environment
from scalablehub.decisions import (
    Amount,
    Bounds,
    Decision,
    Refusal,
    Selection,
    User,
    choose,
    decide,
    excess,
    remembered,
)
from scalablehub.decisions.choosing import KINDS
from scalablehub.description import OWN_IMAGE
from scalablehub.errors import PublicError
from scalablehub.spawner.form import render_form, sentence
from scalablehub.spawner.ledger import Holder, Ledger
from scalablehub.spawner.offering import beside, used_up
from scalablehub.spawner.ready import Readiness
from scalablehub.storage.access import Asking, data_environment, needs_keys, without_conflicts
from scalablehub.storage.catalogue import VARIABLE as CATALOGUE
from scalablehub.storage.catalogue import catalogue_address

OWN_IMAGE_FIELD = "own_image"
"""The field of the spawn page with the name of a user's own image."""
_MOST_RECENT = 4
_NOT_A_CHOICE = frozenset({"next", "_xsrf", "display_name"})
"""What JupyterHub has in the address of its spawn page."""


class ChoosingSpawner(LoggingConfigurable):
    """What makes a JupyterHub Spawner, named after it in a class's bases, decide with the hub's description.

    * Its page offers what `decide` gives this user, and nothing else.
    * Whatever path a start comes by, `select` refuses what the page would not have offered.
    * The server's environment has the user's buckets and the way to their Dask clusters.
    """

    description = AnyTrait(help="The hub's validated Description; set by scalablehub's drop-ins.").tag(
        config=True
    )

    lacks = Dict(
        help="What cannot be had where this hub runs: a place of the description, such as "
        "'interfaces.rstudio', to the reason that the page shows."
    ).tag(config=True)

    not_enforced = Unicode(
        help="A sentence on the spawn page that says which promises of a size this hub cannot keep."
    ).tag(config=True)

    gateway_address = Unicode(
        help="Address of the hub's dask-gateway service as user servers reach it, such as "
        "'http://proxy-public/services/dask-gateway'. Empty: Dask's own configuration decides."
    ).tag(config=True)

    gateway_scheduler_address = Unicode(
        help="Address where user servers reach Dask schedulers, such as 'gateway://traefik:80'."
    ).tag(config=True)

    gateway_public_address = Unicode(
        help="Address of the dask-gateway service as browsers reach it, for dashboard links."
    ).tag(config=True)

    bucket_keys = Dict(
        help="Static keys for buckets with an endpoint of one's own: the endpoint to "
        "{'access_key': …, 'secret_key': …}."
    ).tag(config=True)

    size_note: ClassVar[str] = ""
    """A sentence on the spawn page that says what a size promises."""

    handler: Any = None

    ledger: ClassVar[Ledger] = Ledger()
    """What all servers of this hub's process take."""

    selection: Selection | None = None
    image_of_server: tuple[str, str] | None = None
    """Name of the server's image in the description, and the container image that runs, if it is one."""

    again: Mapping[str, Any] | None = None
    """What was sent just now, for the page that shows a refusal to select."""

    refused_why = ""
    """What is wrong with its image."""

    linked: Mapping[str, str] | None = None
    """What the address of the spawn page selects, if it does."""

    recent: tuple[dict[str, str], ...] = ()
    """What the user chose for this server before, the latest first."""

    _amount: Amount | None = None
    _readiness: Mapping[str, Readiness] | None = None
    _decision_of_start: Decision | None = None

    # What the Spawner beside it brings.
    user: Any
    name: str
    hub: Any
    db: Any
    orm_spawner: Any
    user_options: Any
    _log_name: str

    @default("options_form")
    def _default_options_form(self) -> Callable[[ChoosingSpawner], str]:
        return lambda spawner: spawner.render_options_form()

    @default("options_from_form")
    def _default_options_from_form(self) -> Callable[..., Awaitable[dict[str, Any]]]:
        async def options_from_form(form_data: Any, spawner: ChoosingSpawner) -> dict[str, Any]:
            return await spawner.choose_from_form(form_data)

        return options_from_form

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Callable[[ChoosingSpawner, Any], None]:
        return lambda spawner, options: None  # `select` applies them, on every path

    def asker(self) -> User:
        """Return the user with the groups that they are in at this moment."""
        groups = frozenset(group.name for group in self.user.groups)
        return User(self.user.name, groups, admin=bool(self.user.admin))

    def decision(self) -> Decision:
        """Return what this user may have at this moment."""
        return decide(self.description, self.asker(), self.lacks)

    def decision_of_start(self) -> Decision:
        """Return what the user might have when `select` was asked last: one start follows one decision."""
        return self._decision_of_start or self.decision()

    async def run_auth_state_hook(self, auth_state: Any) -> None:
        """Take a link's choice out of the address before JupyterHub sees it: a link selects, starts nothing.

        JupyterHub starts a server for whoever follows a link such as ``/hub/spawn?opt-size=large``, which any
        page can have. Of its two versions' ways to the spawn page, this is what comes before that.
        """
        if self.handler is not None:
            here = take_choice(self.handler.request.query_arguments)
            self.linked = here
            self.again, self.refused_why = None, ""
        await super().run_auth_state_hook(auth_state)  # type: ignore[misc]

    @property
    def starting(self) -> str:
        """What starts, in one line for the page of a start; empty where nothing was selected."""
        return sentence(self.selection, self.decision_of_start().currency) if self.selection else ""

    async def readiness(self) -> Mapping[str, Readiness]:
        """Return how soon a server of each size could run, by its name; nothing where that is not known."""
        return {}

    async def get_options_form(self) -> Any:
        """Return the fields of the spawn page, with what is known of how soon servers start."""
        self._readiness = await self.readiness()
        return await super().get_options_form()  # type: ignore[misc]

    def render_options_form(self) -> str:
        """Return the fields of the spawn page as HTML, with the user's last choice or a link's selected."""
        decided = self.decision()
        decision = beside(decided, [(bounds, self._used(bounds)) for bounds in decided.bounds])
        if self.again is not None:
            selection, notes = remembered(decision, self.again)
            notes = []  # the page says already what was refused
        elif self.linked:
            selection, notes = remembered(decision, self.linked, "What the link asks for cannot be had")
        else:
            selection, notes = remembered(decision, self.user_options)
        if none_left := used_up(decided, decision):
            notes = [none_left]
        base_url = self.hub.base_url.removesuffix("hub/")
        named = f"/{self.user.escaped_name}/{quote(self.name)}" if self.name else ""
        nodes = sorted(self.description.nodes.items(), key=lambda node: (node[1].order, node[0]))
        return render_form(
            decision,
            selection,
            notes=[*self.notes(), *notes],
            size_note=" ".join(filter(None, (self.size_note, self.not_enforced))),
            base_url=base_url,
            link=f"{self.hub.base_url}spawn{named}",
            pools={name: pool.display_name or name for name, pool in nodes},
            recent=[
                earlier
                for options in self.recent
                if (earlier := _as_before(decision, options)) is not None and earlier != selection
            ],
            refused_image=_own_name((self.again or {}).get("image")),
            refused_why=self.refused_why,
            readiness=self._readiness or {},
        )

    def notes(self) -> list[str]:
        """Return what the user should know before they choose; none here."""
        return []

    def select(self) -> Selection:
        """Set and return the selection that the user's options stand for.

        Raises:
            tornado.web.HTTPError: the user may not have it; the sentence is for them.
        """
        self.selection = None
        decision = self._decision_of_start = self.decision()
        try:
            self.selection = choose(decision, self.user_options)
            self.hold(self.selection.size.amount)
            self.image_of_server = (self.selection.image.name, self.selection.image.image or "")
        except Refusal as refusal:
            self._forget_refused(decision)
            raise refused(refusal) from None
        return self.selection

    async def find_image(self, selection: Selection) -> str:
        """Return the container image that the selection runs; empty where images are something else.

        Raises:
            tornado.web.HTTPError: it cannot be had.
        """
        return ""

    async def choose_from_form(self, fields: Mapping[str, list[str]]) -> dict[str, Any]:
        """Return a form's fields as options, if a server could start with them: else the page says why not.

        Raises:
            tornado.web.HTTPError: the user may not have it, or it cannot be had; the sentence is for them.
        """
        options = options_from_fields(fields)
        self._show_again(options)
        try:
            selection = choose(self.decision(), options)
        except Refusal as refusal:
            self._show_again(options, refusal.message if refusal.code.startswith("image-") else "")
            raise refused(refusal) from None
        try:
            await self.find_image(selection)
        except web.HTTPError as error:
            self._show_again(options, error.log_message or "")
            raise
        return options

    def _show_again(self, options: Mapping[str, Any], why: str = "") -> None:
        """Have the page that shows a refusal select what was chosen, as far as it may be.

        Args:
            options: what was chosen.
            why: what is wrong with its image, if something is.
        """
        # JupyterHub shows the page of the user's own server, also where a named one was refused.
        for spawner in {self, getattr(self.user, "spawner", self)}:
            spawner.again, spawner.refused_why = options, why

    def hold(self, amount: Amount) -> None:
        """Enter what this server takes in the ledger, if its user and their groups may have that much.

        Raises:
            Refusal: it would be more than a cap.
        """
        holder = Holder(self.user.id, self.name)
        for bounds in self.decision_of_start().bounds:
            used = self._used(bounds)
            if (found := excess(bounds, used, amount)) is not None:
                self.log.info("%s is not granted: %s", self._log_name, found.place)
                raise Refusal("cap-reached", f"{found.sentence}. {_remedy(bounds, used)}", 403)
        self.ledger.hold(holder, amount)
        self._amount = amount

    def get_state(self) -> dict[str, Any]:
        """Return what the hub has to know of the server after a restart, with what it takes."""
        state: dict[str, Any] = super().get_state()  # type: ignore[misc]
        if self._amount is not None:
            state["amount"] = asdict(self._amount)
            if self.selection is not None:
                self._remember(self.selection.as_options())
        if self.recent:
            state["recent"] = list(self.recent)
        if self.image_of_server is not None:
            state["image_of_server"] = list(self.image_of_server)
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what the hub knew of the server, and enter what it takes."""
        super().load_state(state)  # type: ignore[misc]
        if (amount := state.get("amount")) is not None:
            self._amount = Amount(**amount)
            self.ledger.hold(Holder(self.user.id, self.name), self._amount)
        self.recent = tuple(options for options in state.get("recent", ()) if isinstance(options, dict))
        if (image := state.get("image_of_server")) is not None:
            self.image_of_server = (str(image[0]), str(image[1]))

    def clear_state(self) -> None:
        """Forget the server, which has ended or is about to start anew."""
        super().clear_state()  # type: ignore[misc]
        self._amount = self.image_of_server = None
        self.ledger.release(Holder(self.user.id, self.name))

    def _remember(self, options: dict[str, str]) -> None:
        others = [earlier for earlier in self.recent if earlier != options]
        self.recent = (options, *others[: _MOST_RECENT - 1])

    def _used(self, bounds: Bounds) -> Amount:
        """Return what all other servers of those take for whom the bounds are."""
        return self.ledger.total(self._members(bounds), besides=Holder(self.user.id, self.name))

    def _members(self, bounds: Bounds) -> Collection[int]:
        if bounds.group is None:
            return (self.user.id,)
        group = orm.Group.find(self.db, bounds.group)
        return {user.id for user in group.users} if group is not None else (self.user.id,)

    def get_env(self) -> dict[str, str]:
        """Return the server's environment: the hub's and the admin's, and over it what was decided."""
        environment: dict[str, str] = super().get_env()  # type: ignore[misc]
        if self.asks_for_keys:
            environment = without_conflicts(environment)
        return environment | self.decided_environment(environment.get("JUPYTERHUB_SERVICE_PREFIX", ""))

    def decided_environment(self, server_path: str = "") -> dict[str, str]:
        """Return the variables that follow from what the user might have when the start began.

        Args:
            server_path: of the server's address.
        """
        decision = self.decision_of_start()
        catalogue = catalogue_address(decision)
        return (
            ({CATALOGUE: catalogue} if catalogue else {})
            | data_environment(self.description, decision, self.bucket_keys, self.asking())
            | dask_environment(
                decision.dask,
                address=self.gateway_address,
                scheduler_address=self.gateway_scheduler_address,
                public_address=self.gateway_public_address,
                image=self.selection.image.name if self.selection else "",
                server_path=server_path,
            )
        )

    @property
    def asks_for_keys(self) -> bool:
        """Whether the server's processes ask the credential service for keys."""
        return needs_keys(self.description.credentials, self.decision_of_start())

    def asking(self) -> Asking | None:
        """Return where the server's processes ask for keys, if the hub has some to give."""
        return None

    def _forget_refused(self, decision: Decision) -> None:
        """Keep what was refused from being the user's next default.

        The page that shows the refusal selects what of it was allowed, and does not say it all twice.
        """
        selection, _ = remembered(decision, self.user_options)
        self.user_options = selection.as_options() if selection else {}
        self.orm_spawner.user_options = None
        self.db.commit()


def refused(refusal: PublicError) -> web.HTTPError:
    """Return the error that JupyterHub shows in the refusal's words, on its page and over REST."""
    error = web.HTTPError(refusal.status, refusal.message)
    error.jupyterhub_message = refusal.message  # type: ignore[attr-defined]
    return error


def take_choice(arguments: dict[str, list[bytes]]) -> dict[str, str]:
    """Return the choice in the query of an address, and take it out of there.

    Names have the prefix ``opt-``, as in JupyterHub 6, or where none has it, none, as before.
    """
    found = {name: values[-1].decode(errors="replace") for name, values in arguments.items() if values}
    for name in found.keys() - _NOT_A_CHOICE:
        del arguments[name]
    prefixed = {kind: found[f"opt-{kind}"] for kind in KINDS if f"opt-{kind}" in found}
    return prefixed or {kind: found[kind] for kind in KINDS if kind in found}


def _own_name(image: object) -> str | None:
    """Return what a user wrote as the name of their own image, or None if they chose another."""
    if isinstance(image, str) and image.partition(":")[0] == OWN_IMAGE:
        return image.partition(":")[2]
    return None


def _as_before(decision: Decision, options: Mapping[str, str]) -> Selection | None:
    """Return what was chosen before, if it may still be."""
    try:
        return choose(decision, options)
    except Refusal:
        return None


def _remedy(bounds: Bounds, used: Amount) -> str:
    if not used.servers:
        return "Choose a smaller size."
    return "Stop a server first, or choose a smaller size." if bounds.group is None else "Try again later."


def options_from_fields(fields: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return form fields as user options; one that was sent twice stays a list, for `choose` to refuse.

    The name that a user wrote beside "another image" becomes the image; beside any other it means nothing.
    """
    options = {
        name: values[0] if len(values) == 1 else list(values)
        for name, values in fields.items()
        if name != "_xsrf"
    }
    reference = options.pop(OWN_IMAGE_FIELD, "")
    if options.get("image") == OWN_IMAGE and isinstance(reference, str):
        options["image"] = f"{OWN_IMAGE}:{reference.strip()}"
    return options
