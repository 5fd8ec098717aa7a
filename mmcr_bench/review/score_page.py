"""The scoring page: an expert gives the judge's scores to the replies of one or two models, without their names."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from mmcr_bench.judge.rubric import DIMENSIONS
from mmcr_bench.review.accounts import Accounts, User
from mmcr_bench.review.forms import Form, Refused, first, read_form
from mmcr_bench.review.score_log import ScoreLog
from mmcr_bench.review.shown import to_shown_turns
from mmcr_bench.review.site_pages import Site, make_site

_BANDS = ("1-2", "3-4", "5-6", "7-8", "9-10")


class ScorePages(Site):
    """The request handlers, one method per page."""

    def __init__(self, log: ScoreLog, accounts: Accounts, public_url: str | None = None) -> None:
        super().__init__(accounts, public_url)
        self.log = log
        bands = {d.name: (d.title, tuple(zip(_BANDS, d.bands, strict=True))) for d in DIMENSIONS}
        plain = {name: (name.replace("_", " ").capitalize(), ()) for name in log.dimensions}
        self._dimensions = [(name, *{**plain, **bands}[name]) for name in log.dimensions]

    async def start(self, request: Request) -> Response:
        """An expert's next dialogue."""
        user = self.user(request)
        if user is None:
            return RedirectResponse("/login", 303)
        id_ = self.log.next_for(user.name)
        if id_ is None:
            return self.show("scored.html", user=user, **self._counts(user))
        return self._show(user, id_)

    async def dialogue(self, request: Request, id_: str) -> Response:
        """One dialogue by its id.

        Raises:
            Refused: the user is no expert, or there is no such dialogue.
        """
        user = self.user(request)
        if user is None or user.role != "expert":
            raise Refused(403, "Log in as an expert to score.")
        if self.log.asked(id_) is None:
            raise Refused(404, "This dialogue is not in the file.")
        return self._show(user, id_)

    def _show(self, user: User, id_: str, notice: str = "", form: Form | None = None) -> HTMLResponse:
        found = self.log.asked(id_)
        assert found is not None, f"{id_} was looked up before"
        dialogue, replies = found
        runs = self.log.shown_order(user.name, id_)
        before = {one.run: one.scores for one in self.log.given() if (one.id, one.expert) == (id_, user.name)}
        values: dict[str, str] = {}
        for number, run in enumerate(runs):
            for name in self.log.dimensions:
                field = f"{number}.{name}"
                values[field] = first(form, field) if form is not None else str(before.get(run, {}).get(name, ""))
        turns: list[dict[str, Any]] = [
            {**turn, "replies": [replies[run][place] for run in runs]}
            for place, turn in enumerate(to_shown_turns(dialogue))
        ]
        return self.show(
            "score.html",
            status=409 if notice else 200,
            user=user,
            id=id_,
            turns=turns,
            models=["Model A", "Model B"][: len(runs)] if len(runs) > 1 else ["Model"],
            dimensions=self._dimensions,
            values=values,
            seen=self._stamp(user, id_),
            notice=notice,
            has_image=lambda sha256: self.log.image(sha256) is not None,
            **self._counts(user),
        )

    def _stamp(self, user: User, id_: str) -> str:
        """Which scores of an expert a page shows: the time of the last ones, empty for none."""
        mine = [one.at for one in self.log.given() if (one.id, one.expert) == (id_, user.name)]
        return repr(max(mine)) if mine else ""

    def _counts(self, user: User) -> dict[str, int]:
        mine = {one.id for one in self.log.given() if one.expert == user.name}
        return {"num_mine": len(mine), "num_items": len(self.log.ids())}

    async def score(self, request: Request, id_: str) -> Response:
        """Store the scores of all models; a form with a missing score comes back with what was filled in."""
        form = await read_form(request, self.public_url)
        try:
            user = self._checked(request, form, "expert")
        except Refused as refused:
            filled = ", ".join(f"{name} {texts[0]}" for name, texts in form.items() if name[:1].isdigit() and texts[0])
            raise Refused(refused.status, f"{refused.message} Not stored: {filled or 'nothing'}") from refused
        if self.log.asked(id_) is None:
            raise Refused(404, "This dialogue is not in the file.")
        if "seen" in form and first(form, "seen") != self._stamp(user, id_):
            notice = (
                "Not stored: you scored this dialogue elsewhere after this page was loaded. Send it again to replace "
                "those scores by these."
            )
            return self._show(user, id_, notice, form)
        given: dict[str, dict[str, int]] = {}
        for number, run in enumerate(self.log.shown_order(user.name, id_)):
            texts = {name: first(form, f"{number}.{name}").strip() for name in self.log.dimensions}
            given[run] = {
                name: int(text) for name, text in texts.items() if text.isascii() and text.isdigit() and len(text) < 3
            }
        try:
            await run_in_threadpool(self.log.add, id_, user.name, given)
        except ValueError:
            return self._show(
                user, id_, "Nothing is stored yet: give each model an integer of 1 to 10 in each row.", form
            )
        return RedirectResponse(f"/?done={quote(id_, safe='')}", 303)

    async def image(self, request: Request, sha256: str) -> Response:
        """The unchanged bytes of an image.

        Raises:
            Refused: nobody is logged in, or the image is unknown or can't be decoded.
        """
        if self.user(request) is None:
            raise Refused(403, "Log in first.")
        return self.to_image(await run_in_threadpool(self.log.image, sha256))


def make_score_app(log: ScoreLog, accounts: Accounts, public_url: str | None = None) -> FastAPI:
    """The web application that collects scores.

    Args:
        log: the file of scores.
        accounts: its accounts.
        public_url: the page's address as browsers see it, behind a proxy that asks by another.
    """
    pages = ScorePages(log, accounts, public_url)
    return make_site(
        pages,
        (
            ("GET", "/", pages.start),
            ("GET", "/dialogue/{id_:path}", pages.dialogue),
            ("POST", "/dialogue/{id_:path}/score", pages.score),
            ("GET", "/image/{sha256}", pages.image),
        ),
    )
