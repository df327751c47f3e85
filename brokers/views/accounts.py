"""The list of linked accounts, what brokers can do, names, and the access log."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from brokers.forms import RenameForm
from brokers.presentation import LinkCard, broker_name, broker_profiles, link_cards
from brokers.selectors import accesses_for, connections_for
from brokers.services.connections import rename_account
from brokers.views.guards import find_account, find_connection, person
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import InvalidRequest

ACCESSES_PER_PAGE = 50


@login_required
@require_GET
def broker_list(request: HttpRequest) -> HttpResponse:
    """Linked accounts with their health, and what each broker can do."""
    context = {"links": _links(request), "profiles": broker_profiles()}
    return render(request, "brokers/list.html", context)


@login_required
@require_GET
def accounts_panel(request: HttpRequest) -> HttpResponse:
    """The accounts alone, fetched again when a balance or a link changes."""
    return render(request, "brokers/_accounts.html", {"links": _links(request)})


@login_required
@require_http_methods(["GET", "POST"])
def rename(request: HttpRequest, account_id: UUID) -> HttpResponse:
    account = find_account(request, account_id)
    form = RenameForm(request.POST or None, initial={"label": account.label})
    if request.method == "POST" and form.is_valid():
        try:
            renamed = rename_account(
                user=person(request), account_id=account_id, label=form.cleaned_data["label"]
            )
        except InvalidRequest as error:
            form.add_error("label", error.message)
        else:
            messages.success(request, f"The account is now called {renamed.label}.")
            return redirect("brokers:list")
    status = 422 if form.errors else 200
    return render(request, "brokers/rename.html", {"account": account, "form": form}, status=status)


@login_required
@require_GET
def access_log(request: HttpRequest, connection_id: UUID) -> HttpResponse:
    """When, why and by which part of this site a link's credentials were used."""
    connection = find_connection(request, connection_id)
    pages = Paginator(accesses_for(person(request), connection), ACCESSES_PER_PAGE)
    context = {
        "connection": connection,
        "broker_name": broker_name(connection.broker),
        "page": pages.get_page(request.GET.get("page")),
    }
    return render(request, "brokers/access_log.html", context)


def _links(request: HttpRequest) -> list[LinkCard]:
    return link_cards(list(connections_for(person(request))), now=utc_now())
