// Forms: a submit happens once; the idempotency key stays with the content it was made for.

function isBusy(form) {
  return form.dataset.busy === "true";
}

function setBusy(form, busy, submitter) {
  form.dataset.busy = String(busy);
  form.setAttribute("aria-busy", String(busy));
  const button = submitter ?? form.querySelector("button[type=submit], button:not([type])");
  if (!button) return;
  if (busy) button.dataset.busy = "";
  else delete button.dataset.busy;
}

// In the capture phase, so that neither the browser nor htmx sees the second submit.
document.addEventListener(
  "submit",
  (event) => {
    if (!isBusy(event.target)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  },
  true,
);

// The button stays enabled so that its name and value are sent.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method === "dialog" || form.hasAttribute("data-allow-repeat") || event.defaultPrevented) return;
  setBusy(form, true, event.submitter);
});

// A form that posts by htmx is busy from its submit to the reply; previews while typing do not count.
function isSubmit(event) {
  return event.target instanceof HTMLFormElement && event.detail.requestConfig?.triggeringEvent?.type === "submit";
}

document.addEventListener("htmx:beforeRequest", (event) => {
  if (isSubmit(event)) setBusy(event.target, true, event.detail.requestConfig.triggeringEvent.submitter);
});

document.addEventListener("htmx:afterRequest", (event) => {
  if (isSubmit(event)) setBusy(event.target, false, event.detail.requestConfig.triggeringEvent.submitter);
});

// Coming back with the back button restores the page as it was left: busy.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-busy=true]")) setBusy(form, false);
});

// <input type="hidden" name="idempotency_key" data-idempotency-key>: one key per distinct content.
// The same content sent again keeps its key (and is answered from the first), an edit gets a new one.
function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

function fillKeys(root) {
  for (const input of root.querySelectorAll?.("[data-idempotency-key]") ?? []) {
    if (!input.value) input.value = newKey();
  }
}

function renewKey(event) {
  const input = event.target.form?.querySelector("[data-idempotency-key]");
  if (input && event.target !== input) input.value = newKey();
}

document.addEventListener("input", renewKey);
document.addEventListener("change", renewKey);
document.addEventListener("htmx:load", (event) => fillKeys(event.detail.elt));
fillKeys(document);
