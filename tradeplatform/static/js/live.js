// Live updates: one server-sent event stream, resumed after the last event that arrived.
//
// Every event becomes a DOM event `live:<kind>` on document with the decoded JSON as detail.
//   [data-live-quote="AAPL"]              text follows the quote; data-field = last (default), bid, ask
//   [data-live-refresh="order position"]  with hx-get: fetched again when such an event arrives
//   [data-live-status]                    shows the state of the connection
const KINDS = ["order", "execution", "position", "balance", "quote", "break", "halt", "link", "plan", "notification"];
const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 30000;
const REFRESH_AFTER_MS = 150;
const STATES = {
  connecting: "Connecting",
  open: "Live",
  lost: "Not live, reconnecting",
  ended: "Logged out: load the page again",
};

let base = "";
let stream = null;
let lastEventId = "";
let failures = 0;
let retryTimer = null;
let watched = "";
let wasOpen = false;
let hasEnded = false;

function setState(state) {
  for (const chip of document.querySelectorAll("[data-live-status]")) {
    chip.dataset.state = state;
    chip.title = state === "open" ? "Prices and orders update by themselves" : "Figures on this page may be out of date";
    const text = chip.querySelector(".live-chip__text") ?? chip;
    if (text.textContent !== STATES[state]) text.textContent = STATES[state];
  }
}

function symbolsOnPage() {
  const found = [...document.querySelectorAll("[data-live-quote]")].map((el) => el.dataset.liveQuote);
  const charts = [...document.querySelectorAll("[data-chart-symbol]")].map((el) => el.dataset.chartSymbol);
  return [...new Set([...found, ...charts])].filter(Boolean).sort().join(",");
}

function open() {
  if (hasEnded) return;
  clearTimeout(retryTimer);
  stream?.close();
  watched = symbolsOnPage();
  const url = new URL(base, location.origin);
  if (watched) url.searchParams.set("symbols", watched);
  if (lastEventId) url.searchParams.set("last_event_id", lastEventId);
  stream = new EventSource(url);
  stream.onopen = onOpen;
  stream.onerror = onError;
  stream.onmessage = (event) => receive(event, JSON.parse(event.data).kind);
  for (const kind of KINDS) stream.addEventListener(kind, (event) => receive(event, kind));
  stream.addEventListener("hello", remember);
  stream.addEventListener("reset", onReset);
}

function onOpen() {
  failures = 0;
  setState("open");
  if (wasOpen && !lastEventId) refreshRegions(() => true);
  wasOpen = true;
}

function remember(event) {
  if (event.lastEventId) lastEventId = event.lastEventId;
}

// Either the session has ended, or the server cannot resume from our last event and everything may be old.
function onReset(event) {
  remember(event);
  if (JSON.parse(event.data).reason === "signed_out") {
    stream.close();
    hasEnded = true;
    setState("ended");
    return;
  }
  refreshRegions(() => true);
}

function onError() {
  stream.close();
  failures += 1;
  setState(failures > 1 || wasOpen ? "lost" : "connecting");
  const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (failures - 1));
  // Full jitter over the upper half keeps many browsers from returning at one moment.
  retryTimer = setTimeout(open, ceiling / 2 + Math.random() * (ceiling / 2));
}

function receive(event, kind) {
  remember(event);
  let detail;
  try {
    detail = JSON.parse(event.data);
  } catch {
    return;
  }
  document.dispatchEvent(new CustomEvent(`live:${kind}`, { detail }));
  if (kind === "quote") updateQuotes(detail);
  else refreshRegions((kinds) => kinds.includes(kind));
}

// Prices are text: grouping is added, digits are never computed.
export function formatPrice(value, currency) {
  const [whole, fraction = ""] = String(value).replace(/^-/, "").split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const sign = String(value).startsWith("-") ? "\u2212" : "";
  const symbol = currency === "USD" ? "$" : currency ? `${currency}\u00a0` : "";
  return `${sign}${symbol}${grouped}.${fraction.padEnd(2, "0")}`;
}

function updateQuotes(quote) {
  for (const element of document.querySelectorAll(`[data-live-quote="${CSS.escape(quote.symbol)}"]`)) {
    const value = quote[element.dataset.field ?? "last"];
    if (value === undefined || value === null) continue;
    const before = element.dataset.value;
    if (before === String(value)) continue;
    element.dataset.value = value;
    element.textContent = formatPrice(value, element.dataset.currency ?? quote.currency);
    element.classList.remove("flash-up", "flash-down");
    if (before === undefined) continue;
    void element.offsetWidth; // restarts the animation
    element.classList.add(Number(value) > Number(before) ? "flash-up" : "flash-down");
  }
}

const pending = new Set();
let refreshTimer = null;

function refreshRegions(wants) {
  for (const region of document.querySelectorAll("[data-live-refresh]")) {
    if (wants(region.dataset.liveRefresh.split(/\s+/))) pending.add(region);
  }
  if (pending.size && !refreshTimer) refreshTimer = setTimeout(flush, REFRESH_AFTER_MS);
}

// Nobody's typing or open dialog is replaced under their hands: such regions wait.
function isInUse(region) {
  const active = document.activeElement;
  return (region.contains(active) && active.matches("input, select, textarea")) || region.querySelector("dialog[open]");
}

function flush() {
  refreshTimer = null;
  for (const region of [...pending]) {
    if (region.isConnected && isInUse(region)) continue;
    pending.delete(region);
    const url = region.getAttribute("hx-get");
    if (region.isConnected && url) window.htmx?.ajax("GET", url, { source: region });
  }
  if (pending.size) refreshTimer = setTimeout(flush, 1000);
}

export function connect(url) {
  base = url;
  // The newest event when the page was made: what happened since then is told first.
  lastEventId = document.body.dataset.liveFrom ?? "";
  setState("connecting");
  open();
  document.addEventListener("htmx:load", () => {
    if (!hasEnded) setState(stream.readyState === EventSource.OPEN ? "open" : failures ? "lost" : "connecting");
    if (symbolsOnPage() !== watched) open();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && stream.readyState === EventSource.CLOSED) open();
  });
  window.addEventListener("pagehide", () => stream.close());
  window.addEventListener("pageshow", (event) => event.persisted && open());
}
