// Charts on lightweight-charts: theme-aware, resized with their box, with a table as text alternative.
//
// <figure data-chart="area|line|candles" data-chart-label="Equity" and one of
//         data-chart-source="id of a <script type=application/json>"  data-chart-url="/same/origin/json/">
//   <div class="chart" data-chart-canvas></div> <div data-chart-text></div>
// JSON: {"currency": "USD", "series": [{"name", "kind"?, "points": [{"time", "value"}
//        or {"time", "open", "high", "low", "close", "volume"?}]}]}
// time is "YYYY-MM-DD" or UNIX seconds, shown in the zone of <html data-zone>; numbers may be strings. Numbers are only drawn here, never computed with.
import * as lib from "../vendor/lightweight-charts-5.2.1.mjs";

const TABLE_ROWS = 120;
const mounted = new Map();

function colour(name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  probe.style.color = `var(${name})`;
  const value = getComputedStyle(probe).color;
  probe.remove();
  return toRgba(value);
}

// Browsers may answer with color(srgb ...); the library reads rgba(...) only.
function toRgba(value) {
  const context = document.createElement("canvas").getContext("2d");
  context.fillStyle = value;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
  return `rgba(${r}, ${g}, ${b}, ${a / 255})`;
}

function withAlpha(rgba, alpha) {
  return rgba.replace(/[\d.]+\)$/, `${alpha})`);
}

function palette() {
  return {
    text: colour("--text-2"),
    grid: colour("--grid"),
    border: colour("--border"),
    gain: colour("--candle-up"),
    loss: colour("--candle-down"),
    accent: colour("--link"),
    other: colour("--text-2"),
  };
}

function chartOptions(c) {
  return {
    autoSize: true,
    layout: {
      background: { type: lib.ColorType.Solid, color: "rgba(0, 0, 0, 0)" },
      textColor: c.text,
      fontFamily: getComputedStyle(document.body).fontFamily,
      fontSize: 12,
      attributionLogo: false,
    },
    grid: { vertLines: { color: c.grid }, horzLines: { color: c.grid } },
    rightPriceScale: { borderColor: c.border },
    timeScale: { borderColor: c.border, timeVisible: true, secondsVisible: false, rightOffset: 2 },
    crosshair: { mode: lib.CrosshairMode.Magnet },
    handleScroll: { vertTouchDrag: false },
  };
}

function seriesOptions(kind, c, isFirst) {
  if (kind === "candles") {
    return { upColor: c.gain, downColor: c.loss, wickUpColor: c.gain, wickDownColor: c.loss, borderVisible: false };
  }
  const line = isFirst ? c.accent : c.other;
  if (kind === "area") {
    return { lineColor: line, topColor: withAlpha(line, 0.28), bottomColor: withAlpha(line, 0.02), lineWidth: 2 };
  }
  return { color: line, lineWidth: 2, lineStyle: isFirst ? lib.LineStyle.Solid : lib.LineStyle.Dashed };
}

const SERIES = { area: lib.AreaSeries, line: lib.LineSeries, candles: lib.CandlestickSeries };

const zone = document.documentElement.dataset.zone || "UTC";
const CLOCK = { timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit" };
const wall = new Intl.DateTimeFormat("en-US", { ...CLOCK, hour: "2-digit", minute: "2-digit", second: "2-digit" });
const named = new Intl.DateTimeFormat("en-CA", {
  ...CLOCK,
  hour: "2-digit",
  minute: "2-digit",
  timeZoneName: "short",
});

// The library draws UTC: a moment is given to it as what the clock of the person's zone shows then. When the clock
// is set back, an hour comes twice; times must grow, so its second half stands right behind the first.
function placeTimes(points) {
  let before = -Infinity;
  for (const point of points) {
    if (typeof point.time !== "number") return;
    const part = Object.fromEntries(wall.formatToParts(point.time * 1000).map(({ type, value }) => [type, value]));
    const shown = Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) / 1000;
    before = point.shown = Math.max(shown, before + 1);
  }
}

function toDrawable(point) {
  const drawn = { time: point.shown ?? point.time };
  for (const key of ["value", "open", "high", "low", "close"]) {
    if (point[key] !== undefined && point[key] !== null) drawn[key] = Number(point[key]);
  }
  return drawn;
}

function precisionOf(points, kind) {
  const key = kind === "candles" ? "close" : "value";
  const places = points.slice(-200).map((p) => (String(p[key]).split(".")[1] ?? "").length);
  return Math.min(6, Math.max(2, ...places));
}

function grouped(places) {
  const format = new Intl.NumberFormat("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
  return (value) => format.format(value);
}

function addVolume(chart, points, c) {
  const volume = chart.addSeries(lib.HistogramSeries, {
    priceFormat: { type: "volume" },
    priceScaleId: "",
    lastValueVisible: false,
    priceLineVisible: false,
  });
  volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
  volume.setData(
    points.map((p) => ({
      time: p.shown ?? p.time,
      value: Number(p.volume),
      color: withAlpha(Number(p.close) >= Number(p.open) ? c.gain : c.loss, 0.4),
    })),
  );
}

function draw(figure, data) {
  const canvas = figure.querySelector("[data-chart-canvas]");
  const c = palette();
  canvas.replaceChildren();
  const chart = lib.createChart(canvas, chartOptions(c));
  const drawn = data.series.map((entry, index) => {
    const kind = entry.kind ?? figure.dataset.chart;
    const precision = precisionOf(entry.points, kind);
    const series = chart.addSeries(SERIES[kind], {
      ...seriesOptions(kind, c, index === 0),
      title: data.series.length > 1 ? entry.name : "",
      priceLineVisible: index === 0,
      priceFormat: { type: "custom", minMove: 1 / 10 ** precision, formatter: grouped(precision) },
    });
    series.setData(entry.points.map(toDrawable));
    if (kind === "candles" && entry.points.some((p) => p.volume !== undefined)) addVolume(chart, entry.points, c);
    return series;
  });
  chart.timeScale().fitContent();
  return { chart, series: drawn };
}

function describeTime(time) {
  if (typeof time !== "number") return String(time);
  return named.format(time * 1000).replace(", ", " ");
}

function cell(tag, text, className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function dataTable(entry, currency) {
  const isCandles = entry.points[0]?.close !== undefined;
  const keys = isCandles ? ["open", "high", "low", "close"] : ["value"];
  const table = document.createElement("table");
  table.className = "table";
  table.append(cell("caption", currency ? `${entry.name}, in ${currency}` : entry.name));
  const head = table.createTHead().insertRow();
  for (const [index, text] of ["Time", ...keys].entries()) {
    const th = cell("th", text[0].toUpperCase() + text.slice(1), index ? "num" : "");
    th.scope = "col";
    head.append(th);
  }
  const body = table.createTBody();
  for (const point of entry.points.slice(-TABLE_ROWS).reverse()) {
    const row = body.insertRow();
    row.append(cell("td", describeTime(point.time)), ...keys.map((key) => cell("td", String(point[key]), "num")));
  }
  return table;
}

function fillText(figure, data) {
  const target = figure.querySelector("[data-chart-text]");
  const first = data.series[0];
  const read = (point) => point.close ?? point.value;
  const start = first.points[0];
  const end = first.points[first.points.length - 1];
  const unit = data.currency ? ` ${data.currency}` : "";
  figure
    .querySelector("[data-chart-canvas]")
    .setAttribute(
      "aria-label",
      `${figure.dataset.chartLabel}: ${read(start)}${unit} on ${describeTime(start.time)}, ` +
        `${read(end)}${unit} on ${describeTime(end.time)}. The numbers follow as a table.`,
    );
  if (!target) return;
  const details = document.createElement("details");
  details.append(cell("summary", "Show the numbers as a table"));
  const scroll = document.createElement("div");
  scroll.className = "chart-data__scroll";
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", `${figure.dataset.chartLabel}, numbers`);
  scroll.append(...data.series.map((entry) => dataTable(entry, data.currency)));
  details.append(scroll);
  target.replaceChildren(details);
}

function showEmpty(figure, text) {
  const note = cell("p", text, "chart__empty");
  figure.querySelector("[data-chart-canvas]").replaceChildren(note);
  figure.querySelector("[data-chart-canvas]").removeAttribute("role");
}

async function load(figure) {
  const source = figure.dataset.chartSource;
  if (source) return JSON.parse(document.getElementById(source).textContent);
  const reply = await fetch(figure.dataset.chartUrl, { headers: { Accept: "application/json" } });
  if (!reply.ok) throw new Error(`chart data: HTTP ${reply.status}`);
  return reply.json();
}

async function mount(figure) {
  figure.dataset.chartMounted = "";
  let data;
  try {
    data = await load(figure);
  } catch {
    showEmpty(figure, "The chart's data could not be loaded. The figures elsewhere on this page are not affected.");
    return;
  }
  if (!data.series.some((entry) => entry.points.length)) {
    showEmpty(figure, figure.dataset.chartEmpty ?? "Nothing to draw yet.");
    return;
  }
  data.series = data.series.filter((entry) => entry.points.length);
  for (const entry of data.series) placeTimes(entry.points);
  fillText(figure, data);
  mounted.set(figure, { data, ...draw(figure, data) });
}

export function mountAll(root) {
  const found = [...root.querySelectorAll("[data-chart]:not([data-chart-mounted])")];
  if (root.matches?.("[data-chart]:not([data-chart-mounted])")) found.push(root);
  for (const figure of found) mount(figure);
  for (const [figure, { chart }] of mounted) {
    if (!figure.isConnected) {
      chart.remove();
      mounted.delete(figure);
    }
  }
}

document.addEventListener("theme:changed", () => {
  for (const [figure, entry] of mounted) {
    entry.chart.remove();
    mounted.set(figure, { data: entry.data, ...draw(figure, entry.data) });
  }
});

// A live quote moves the last bar of a chart marked with data-chart-symbol.
document.addEventListener("live:quote", (event) => {
  const { symbol, last } = event.detail;
  if (last === undefined || last === null) return;
  for (const [figure, { data, series }] of mounted) {
    if (figure.dataset.chartSymbol !== symbol) continue;
    const newest = data.series[0].points[data.series[0].points.length - 1];
    const point = toDrawable(newest);
    const price = Number(last);
    if (point.close === undefined) point.value = price;
    else {
      point.close = price;
      point.high = Math.max(point.high, price);
      point.low = Math.min(point.low, price);
    }
    Object.assign(newest, { ...point, time: newest.time });
    series[0].update(point);
  }
});
