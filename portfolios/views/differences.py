"""Differences between a book and its broker or files: looked at, explained, closed. Never by trading."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from portfolios.enums import BreakChoice
from portfolios.forms import ResolveForm
from portfolios.models import Break
from portfolios.presentation import options_of, words_of
from portfolios.selectors import breaks_for, describe_breaks, get_break_for, same_cause_as
from portfolios.services.breaks import explain_break, resolve_break, resolve_breaks
from portfolios.views.common import find_portfolio, person, shell
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import NotFoundError, PlatformError
from tradeplatform.models import User

BREAKS_PER_PAGE = 50


@login_required
@require_GET
def differences(request: HttpRequest, portfolio_id: UUID) -> HttpResponse:
    """Open differences, oldest first; the resolved ones too when asked for."""
    portfolio = find_portfolio(request, portfolio_id)
    show_all = request.GET.get("show") == "all"
    found = breaks_for(person(request), portfolio=portfolio, include_resolved=show_all)
    page = Paginator(found, BREAKS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        **shell(request, portfolio, active="differences"),
        "page": page,
        "rows": describe_breaks(list(page.object_list), now=utc_now()),
        "show_all": show_all,
    }
    return render(request, "portfolios/differences.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def difference(request: HttpRequest, portfolio_id: UUID, break_id: int) -> HttpResponse:
    """One difference with both values, and what can be done about it."""
    portfolio = find_portfolio(request, portfolio_id)
    found = _find_break(person(request), portfolio_id, break_id)
    row = describe_breaks([found], now=utc_now())[0]
    of_one_cause = len(same_cause_as(found))
    form = ResolveForm(
        request.POST or None,
        can_adopt=row.can_adopt,
        of_one_cause=of_one_cause,
        initial={"text": row.explanation},
    )
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                messages.success(request, _act(person(request), found, **form.cleaned_data))
                return redirect("portfolios:differences", portfolio_id)
            except PlatformError as error:
                form.add_error(None, error.message)
                status = error.http_status
    context = {
        **shell(request, portfolio, active="differences"),
        "row": row,
        "words": words_of(row),
        "options": options_of(row, of_one_cause=of_one_cause),
        "chosen": form["choice"].value(),
        "form": form,
    }
    return render(request, "portfolios/difference.html", context, status=status)


def _act(user: User, found: Break, *, choice: str, text: str) -> str:
    """Do what was chosen and return the sentence that says so."""
    if choice == BreakChoice.EXPLAIN:
        explain_break(break_id=found.pk, explanation=text, actor=user.email, owner=user)
        return "The explanation is stored. The difference stays open until both sides agree or you close it."
    if choice == BreakChoice.CLOSE_CAUSE:
        closed = resolve_breaks(break_ids=same_cause_as(found), resolution=text, actor=user.email, owner=user)
        return f"{len(closed)} differences of this cause are closed. Your book was not changed."
    adopt = choice == BreakChoice.ADOPT
    resolve_break(break_id=found.pk, resolution=text, actor=user.email, owner=user, adopt=adopt)
    if adopt:
        return "Your book was corrected to the broker's value. Nothing was traded."
    return "The difference is closed. Your book was not changed."


def _find_break(user: User, portfolio_id: UUID, break_id: int) -> Break:
    try:
        found = get_break_for(user, break_id)
    except NotFoundError as error:
        raise Http404(error.message) from error
    if found.portfolio_id != portfolio_id:
        raise Http404("There is no such difference.")
    return found
