// Toasts: short messages in a live region. Errors and warnings stay until dismissed.

const SHOWN_FOR_MS = 8000;
const STAYS = ["error", "bad", "warning", "warn"];

function expire(toast) {
  if (STAYS.some((tone) => toast.classList.contains(`toast--${tone}`))) return;
  let timer = setTimeout(() => toast.remove(), SHOWN_FOR_MS);
  toast.addEventListener("pointerenter", () => clearTimeout(timer));
  toast.addEventListener("pointerleave", () => {
    timer = setTimeout(() => toast.remove(), SHOWN_FOR_MS);
  });
}

export function showToast(text, tone = "info") {
  const region = document.querySelector("[data-toasts]");
  const template = document.querySelector("[data-toast-template]");
  if (!region || !template) return;
  const toast = template.content.firstElementChild.cloneNode(true);
  toast.classList.add(`toast--${tone}`);
  toast.querySelector(".toast__text").textContent = text;
  region.append(toast);
  expire(toast);
}

document.addEventListener("click", (event) => {
  event.target.closest("[data-toast-close]")?.closest("[data-toast]").remove();
});

// A server reply may carry a toast in its HX-Trigger header: {"toast": {"text": "...", "tone": "good"}}.
document.addEventListener("toast", (event) => showToast(event.detail.text, event.detail.tone));

document.addEventListener("htmx:sendError", () => {
  showToast("The server could not be reached, so this page may be out of date. Check Orders before you repeat anything.", "error");
});

document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  if (status >= 500) {
    showToast("The server reported an error. Check Orders before you repeat anything.", "error");
  }
});

for (const toast of document.querySelectorAll("[data-toast]")) expire(toast);
