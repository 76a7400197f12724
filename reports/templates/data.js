// The recording as typed arrays, and what the page's parts share: the view in time, colours, words.

const R = JSON.parse(document.getElementById("recording-data").textContent);
const VIOLATIONS = JSON.parse(document.getElementById("violations-data").textContent);
const END = Math.max(R.end[0], 1);
const QUORUM_APIS = new Set([52, 53, 54, 55, 59, 80, 81, 82]);
const FONT = getComputedStyle(document.body).fontFamily;
const KINDS = ["produce", "consume", "replicate", "quorum", "control", "other"];
const CONTROL_APIS = new Set([56, 57, 58, 62, 63, 64, 67, 73]);

function kindOf(api, fromNode, toNode, isResponse) {
  const asksNode = isResponse ? toNode : fromNode;
  if (api === 0) return 0;
  if (api === 1) return asksNode ? 2 : 1;
  if (QUORUM_APIS.has(api)) return 3;
  return CONTROL_APIS.has(api) ? 4 : 5;
}

// Columns to arrays; see recording/columns.rs for what the differences are to.
const M = (() => {
  const c = R.messages,
    n = c.from.length;
  const m = {
    n,
    from: Uint16Array.from(c.from),
    to: Uint16Array.from(c.to),
    sent: new Float64Array(n),
    got: new Float64Array(n),
    event: new Float64Array(n),
    kind: new Uint8Array(n),
    api: Int16Array.from(c.api_key),
    blocks: [],
    // What passes the filters, how many did before each, and those of them that are always drawn.
    shown: new Uint8Array(n),
    before: new Uint32Array(n + 1),
    rare: [],
  };
  let us = 0,
    event = 0;
  for (let i = 0; i < n; i++) {
    us += c.sent_us[i];
    event += c.sent_event[i];
    m.sent[i] = us;
    m.event[i] = event;
    m.got[i] = c.took_us[i] < 0 ? -1 : us + c.took_us[i];
    const isNode = (lane) => R.lanes[lane] !== undefined && R.lanes[lane].node !== undefined;
    m.kind[i] = kindOf(m.api[i], isNode(m.from[i]), isNode(m.to[i]), c.is_response[i] === 1);
  }
  // The latest arrival of each block tells whether any of it can be seen.
  for (let b = 0; b < n; b += 256) {
    let last = 0;
    for (let i = b; i < Math.min(n, b + 256); i++) last = Math.max(last, m.got[i], m.sent[i]);
    m.blocks.push(last);
  }
  return m;
})();

// The first of the sorted numbers above the value.
function above(sorted, value) {
  let low = 0,
    high = sorted.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (sorted[mid] <= value) low = mid + 1;
    else high = mid;
  }
  return low;
}

// The part of simulated time that all diagrams show.
const view = {
  from: 0,
  to: END,
  listeners: [],
  set(from, to) {
    const span = Math.min(Math.max(to - from, 20), END * 1.02);
    const start = Math.min(Math.max(from, -END * 0.01), END * 1.01 - span);
    this.from = start;
    this.to = start + span;
    redraw();
  },
  zoom(at, factor) {
    this.set(at - (at - this.from) * factor, at + (this.to - at) * factor);
  },
  pan(us) {
    this.set(this.from + us, this.to + us);
  },
  show(at, span) {
    this.set(at - span / 2, at + span / 2);
  },
};

// Read once: asking for it between two changes of the page makes the browser lay it out again.
let pageWidth = 0;
function measure() {
  pageWidth = byId("lanes").parentElement.clientWidth;
}

let frame = 0;
function redraw() {
  if (frame) return;
  frame = requestAnimationFrame(() => {
    frame = 0;
    const began = performance.now();
    if (!pageWidth) measure();
    view.listeners.forEach((draw) => draw());
    window.trialFrameMs = performance.now() - began;
  });
}

let palette = {};
function readPalette() {
  const style = getComputedStyle(document.documentElement);
  palette = new Proxy({}, { get: (seen, name) => (seen[name] ??= style.getPropertyValue("--" + name).trim()) });
}
readPalette();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  readPalette();
  redraw();
});

function epochColour(epoch) {
  return palette["e" + (((epoch % 6) + 6) % 6)];
}
function faultColour(kind) {
  for (const family of ["network", "disk", "process", "clock"]) if (kind.startsWith(family)) return palette[family];
  return kind.startsWith("frame") ? palette.network : palette.operation;
}
function seconds(us, digits = 3) {
  return (us / 1e6).toFixed(digits) + " s";
}
function grouped(n) {
  return String(n).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}
function took(us) {
  return us >= 1e6 ? (us / 1e6).toFixed(2) + " s" : us >= 1e3 ? (us / 1e3).toFixed(2) + " ms" : us + " µs";
}
function laneName(lane) {
  return R.lanes[lane] ? R.lanes[lane].name : "?";
}
function byId(id) {
  return document.getElementById(id);
}

// A canvas at the screen's resolution; gives its context and its size in CSS pixels.
function canvasOf(canvas, height) {
  const ratio = Math.min(devicePixelRatio || 1, 2),
    width = pageWidth;
  const w = Math.round(width * ratio),
    h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.height = height + "px";
  }
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  return { g, width, height };
}

// Steps of 1, 2 or 5 so that about `count` fit.
function ticks(from, to, count) {
  const raw = (to - from) / Math.max(count, 1),
    base = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * base).find((s) => s >= raw);
  const all = [];
  for (let t = Math.ceil(from / step) * step; t <= to; t += step) all.push(t);
  return { all, step };
}

function timeAxis(g, gutter, width, y, height) {
  const { all, step } = ticks(view.from, view.to, (width - gutter) / 90);
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step / 1e6) + 1e-9)));
  g.font = "11.5px " + FONT;
  g.textAlign = "center";
  g.textBaseline = "alphabetic";
  g.lineWidth = 1;
  for (const t of all) {
    if (t < 0) continue;
    const x = Math.round(gutter + ((t - view.from) / (view.to - view.from)) * (width - gutter)) + 0.5;
    g.strokeStyle = palette.faint;
    g.beginPath();
    g.moveTo(x, 0);
    g.lineTo(x, height);
    g.stroke();
    g.fillStyle = palette.dim;
    if (x > gutter + 14 && x < width - 18) g.fillText((t / 1e6).toFixed(digits) + " s", x, y);
  }
}
