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
from scalablehub.description import OWN_IMAGE
from scalablehub.errors import PublicError
from scalablehub.spawner.form import PRESELECT, render_form
from scalablehub.spawner.ledger import Holder, Ledger
from scalablehub.storage.access import bucket_access
from scalablehub.storage.environment import bucket_environment

OWN_IMAGE_FIELD = "own_image"
"""The field of the spawn page with the name of a user's own image."""
_MOST_RECENT = 4


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

    refused_image = ""
    """Name of a user's own image that was refused just now, for the page to show again."""

    recent: tuple[dict[str, str], ...] = ()
    """What the user chose for this server before, the latest first."""

    _amount: Amount | None = None
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

    def render_options_form(self) -> str:
        """Return the fields of the spawn page as HTML, with the user's last choice or a link's selected."""
        decision = self.decision()
        if linked := getattr(self.handler, "preselected", None):
            selection, notes = remembered(decision, linked, "What the link asks for cannot be had")
        else:
            selection, notes = remembered(decision, self.user_options)
        base_url = self.hub.base_url.removesuffix("hub/")
        named = f"/{self.user.escaped_name}/{quote(self.name)}" if self.name else ""
        nodes = sorted(self.description.nodes.items(), key=lambda node: (node[1].order, node[0]))
        return render_form(
            decision,
            selection,
            notes=[*self.notes(), *notes],
            size_note=" ".join(filter(None, (self.size_note, self.not_enforced))),
            base_url=base_url,
            link=f"{self.hub.base_url}{PRESELECT}{named}",
            pools={name: pool.display_name or name for name, pool in nodes},
            recent=[
                earlier
                for options in self.recent
                if (earlier := _as_before(decision, options)) is not None and earlier != selection
            ],
            refused_image=self.refused_image,
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
        try:
            selection = choose(self.decision(), options)
        except Refusal as refusal:
            self._show_again(options)
            raise refused(refusal) from None
        try:
            await self.find_image(selection)
        except web.HTTPError:
            self._show_again(options)
            raise
        return options

    def _show_again(self, options: Mapping[str, Any]) -> None:
        """Have the page that shows a refusal select what was chosen, as far as it may be."""
        image = options.get("image")
        self.refused_image = str(image).removeprefix(f"{OWN_IMAGE}:") if _is_own(image) else ""
        selection, _ = remembered(self.decision(), options)
        self.user_options = selection.as_options() if selection else {}

    def hold(self, amount: Amount) -> None:
        """Enter what this server takes in the ledger, if its user and their groups may have that much.

        Raises:
            Refusal: it would be more than a cap.
        """
        holder = Holder(self.user.id, self.name)
        for bounds in self.decision_of_start().bounds:
            used = self.ledger.total(self._members(bounds), besides=holder)
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

    def _members(self, bounds: Bounds) -> Collection[int]:
        if bounds.group is None:
            return (self.user.id,)
        group = orm.Group.find(self.db, bounds.group)
        return {user.id for user in group.users} if group is not None else (self.user.id,)

    def get_env(self) -> dict[str, str]:
        """Return the server's environment: the hub's and the admin's, and over it what was decided."""
        environment: dict[str, str] = super().get_env()  # type: ignore[misc]
        return environment | self.decided_environment()

    def decided_environment(self) -> dict[str, str]:
        """Return the variables that follow from what the user might have when the start began."""
        decision = self.decision_of_start()
        return bucket_environment(
            bucket_access(decision, self.bucket_keys), decision.user.name
        ) | dask_environment(
            decision.dask,
            address=self.gateway_address,
            scheduler_address=self.gateway_scheduler_address,
            public_address=self.gateway_public_address,
            image=self.selection.image.name if self.selection else "",
        )

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


def _is_own(image: object) -> bool:
    return isinstance(image, str) and image.startswith(f"{OWN_IMAGE}:")


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
