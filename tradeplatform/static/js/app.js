// Entry point of every page: small behaviours, and the two larger modules only where they are used.
import "./theme.js";
import "./menu.js";
import "./toast.js";
import "./confirm.js";
import "./copy.js";
import "./forms.js";

// Tabs scroll sideways on a phone: the chosen one is brought into view, without moving the page.
for (const tabs of document.querySelectorAll(".tabs")) {
  const chosen = tabs.querySelector("[aria-current]");
  if (chosen) tabs.scrollLeft = chosen.offsetLeft - (tabs.clientWidth - chosen.offsetWidth) / 2;
}

async function startCharts(root) {
  if (root.querySelector?.("[data-chart]") || root.matches?.("[data-chart]")) {
    const charts = await import("./charts.js");
    charts.mountAll(root);
  }
}

startCharts(document.body);
document.body.addEventListener("htmx:load", (event) => startCharts(event.detail.elt));

if (document.body.dataset.liveUrl) {
  const live = await import("./live.js");
  live.connect(document.body.dataset.liveUrl);
}
