// Dialogs: data-dialog-open / data-dialog-close on buttons, and data-confirm="question" on anything that acts.

function askFirst(question, label) {
  const dialog = document.createElement("dialog");
  dialog.className = "dialog";
  dialog.setAttribute("aria-labelledby", "confirm-question");

  const body = document.createElement("div");
  body.className = "dialog__body";
  const text = document.createElement("p");
  text.id = "confirm-question";
  text.textContent = question;

  const actions = document.createElement("div");
  actions.className = "dialog__actions";
  const no = document.createElement("button");
  no.type = "button";
  no.className = "btn";
  no.textContent = "Go back";
  const yes = document.createElement("button");
  yes.type = "button";
  yes.className = "btn btn--danger";
  yes.textContent = label;
  actions.append(no, yes);
  body.append(text, actions);
  dialog.append(body);
  document.body.append(dialog);

  return new Promise((resolve) => {
    const finish = (answer) => () => {
      dialog.remove();
      resolve(answer);
    };
    no.addEventListener("click", finish(false));
    yes.addEventListener("click", finish(true));
    dialog.addEventListener("cancel", finish(false));
    dialog.showModal();
    no.focus();
  });
}

const confirmed = new WeakSet();

document.addEventListener(
  "click",
  async (event) => {
    const target = event.target.closest("[data-confirm]");
    if (!target || confirmed.delete(target)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (await askFirst(target.dataset.confirm, target.textContent.trim() || "Continue")) {
      confirmed.add(target);
      target.click();
    }
  },
  true,
);

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog-open]");
  if (opener) document.getElementById(opener.dataset.dialogOpen)?.showModal();
  event.target.closest("[data-dialog-close]")?.closest("dialog").close();
  if (event.target instanceof HTMLDialogElement && event.target.open) event.target.close();
});

// hx-confirm="question" uses the same dialog instead of the browser's own.
document.addEventListener("htmx:confirm", (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  const label = event.detail.elt.textContent.trim() || "Continue";
  askFirst(event.detail.question, label).then((yes) => yes && event.detail.issueRequest(true));
});
