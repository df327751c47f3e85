// Popover menus and the phone drawer open and close without script; this adds the keyboard comforts:
// focus moves into an opened menu, arrow keys move inside it, Escape also dismisses tooltips.

const ITEMS = "a[href], button:not([disabled])";

function isMenu(element) {
  return element instanceof HTMLElement && element.matches(".menu[popover], .drawer[popover]");
}

document.addEventListener(
  "toggle",
  (event) => {
    const menu = event.target;
    if (!isMenu(menu)) return;
    for (const opener of document.querySelectorAll(`[popovertarget="${menu.id}"][aria-haspopup]`)) {
      opener.setAttribute("aria-expanded", String(event.newState === "open"));
    }
    if (event.newState === "open") menu.querySelector(ITEMS)?.focus();
  },
  true,
);

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const tip of document.querySelectorAll("[data-tip]")) tip.dataset.dismissed = "";
    return;
  }
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const menu = event.target.closest?.(".menu[popover], .drawer[popover]");
  if (!menu) return;
  const items = [...menu.querySelectorAll(ITEMS)];
  const step = event.key === "ArrowDown" ? 1 : -1;
  const next = (items.indexOf(document.activeElement) + step + items.length) % items.length;
  items[next]?.focus();
  event.preventDefault();
});

for (const name of ["pointerover", "focusin"]) {
  document.addEventListener(name, (event) => {
    const tip = event.target.closest?.("[data-tip]");
    if (tip) delete tip.dataset.dismissed;
  });
}
