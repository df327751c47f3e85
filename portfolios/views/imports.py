"""Importing CSV histories: choose files, look at what would happen, confirm, undo."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from portfolios.enums import ImportStatus
from portfolios.forms import MAX_MEGABYTES, ImportForm
from portfolios.import_presentation import import_view, problem_lines
from portfolios.imports import sample_files
from portfolios.imports.decode import MAX_BYTES
from portfolios.imports.samples import SAMPLE_OPENING_CASH
from portfolios.models import ImportBatch
from portfolios.selectors import get_import_for, imports_for
from portfolios.services.imports import (
    MAX_FILES,
    apply_import,
    discard_preview,
    preview_import,
    undo_import,
)
from portfolios.views.common import person
from tradeplatform.common.exceptions import NotFoundError, PlatformError

TRADES_PER_PAGE = 50
BATCHES_SHOWN = 20


@login_required
@require_http_methods(["GET", "POST"])
def import_files(request: HttpRequest) -> HttpResponse:
    """Choose files; a POST reads them and leads to the preview. Nothing is booked by it."""
    form = ImportForm(request.POST or None, request.FILES or None)
    context: dict[str, Any] = {}
    status = 200
    if request.method == "POST":
        form = ImportForm(request.POST, request.FILES)
        if form.is_valid():
            try:
                return redirect("portfolios:import_detail", _preview(request, form).pk)
            except PlatformError as error:
                status = error.http_status
                context["problems"] = problem_lines(error.details.get("problems", []))
                _add_errors(form, error, listed=bool(context["problems"]))
        else:
            status = 413 if form.has_error("csv_files", "too_large") else 422
    context |= {
        "form": form,
        "samples": [name for name, _ in sample_files()],
        "sample_cash": SAMPLE_OPENING_CASH,
        "batches": imports_for(person(request))[:BATCHES_SHOWN],
        "max_bytes": MAX_BYTES,
        "max_megabytes": MAX_MEGABYTES,
        "max_files": MAX_FILES,
    }
    return render(request, "portfolios/import.html", context, status=status)


@login_required
@require_GET
def import_detail(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """What an import read and would do, or has done."""
    batch = _find_import(request, batch_id)
    view = import_view(batch)
    context = {
        "batch": batch,
        "view": view,
        "trades": Paginator(view.trades, TRADES_PER_PAGE).get_page(request.GET.get("page")),
        "is_preview": batch.status == ImportStatus.PREVIEWED,
        "is_applied": batch.status == ImportStatus.APPLIED,
    }
    return render(request, "portfolios/import_detail.html", context)


@login_required
@require_POST
def import_apply(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    _find_import(request, batch_id)
    try:
        result = apply_import(user=person(request), batch_id=batch_id)
    except PlatformError as error:
        messages.error(request, error.message)
    else:
        notify = messages.info if result.already_imported else messages.success
        notify(request, result.message)
    return redirect("portfolios:import_detail", batch_id)


@login_required
@require_POST
def import_discard(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """Throw a preview away; nothing of it was ever booked."""
    _find_import(request, batch_id)
    try:
        discard_preview(user=person(request), batch_id=batch_id)
    except PlatformError as error:
        messages.error(request, error.message)
        return redirect("portfolios:import_detail", batch_id)
    messages.success(request, "The preview is discarded. Nothing was booked.")
    return redirect("portfolios:import")


@login_required
@require_http_methods(["GET", "POST"])
def import_undo(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """Ask, then take an import out of its book again."""
    batch = _find_import(request, batch_id)
    if request.method == "GET":
        if batch.status != ImportStatus.APPLIED:
            return redirect("portfolios:import_detail", batch_id)
        return render(request, "portfolios/import_undo.html", {"batch": batch, "view": import_view(batch)})
    try:
        messages.success(request, undo_import(user=person(request), batch_id=batch_id).message)
    except PlatformError as error:
        messages.error(request, error.message)
        return redirect("portfolios:import_detail", batch_id)
    return redirect("portfolios:import")


@login_required
@require_GET
def sample(request: HttpRequest, name: str) -> HttpResponse:
    """A small example file to try the import with."""
    content = dict(sample_files()).get(name)
    if content is None:
        raise Http404("There is no such sample.")
    response = HttpResponse(content, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _preview(request: HttpRequest, form: ImportForm) -> ImportBatch:
    values = form.cleaned_data
    return preview_import(
        user=person(request),
        files=[(str(file.name), file.read()) for file in values["csv_files"]],
        portfolio_name=values["portfolio_name"],
        opening_cash=values["opening_cash"],
        as_of=values["as_of"],
    )


def _find_import(request: HttpRequest, batch_id: UUID) -> ImportBatch:
    try:
        return get_import_for(person(request), batch_id)
    except NotFoundError as error:
        raise Http404(error.message) from error


def _add_errors(form: ImportForm, error: PlatformError, *, listed: bool) -> None:
    """Put a refusal onto the form; problems that are listed with file and line are not said twice."""
    fields = error.details.get("fields") or {}
    texts = dict(fields)
    if about_files := texts.pop("files", None):
        texts["csv_files"] = ["None of the files could be used."] if listed else about_files
    known = {name: lines for name, lines in texts.items() if name in form.fields}
    for name, lines in known.items():
        form.add_error(name, lines)
    if not known:
        form.add_error(None, error.message)
