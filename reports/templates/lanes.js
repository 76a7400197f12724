// The space-time diagram: a lane per host, time to the right, messages as lines from sending to arrival.

const spacetime = (() => {
  const canvas = byId("lanes"), GUTTER = () => (pageWidth < 560 ? 66 : 104);
  const ARROWS_MAX = 3000, HEADS_MAX = 700, AXIS = 26;
  const show = { kinds: KINDS.map(() => true), lost: true, api: -1, lanes: R.lanes.map(() => true), partition: 0 };
  let lanes = [], height = 0, hover = null, drawn = { arrows: 0, of: 0 };
  const marks = notable();

  function layout() {
    lanes = []; let y = AXIS;
    R.lanes.forEach((lane, i) => {
      if (!show.lanes[i]) return;
      const isNode = lane.node !== undefined, h = isNode ? (R.lanes.length > 10 ? 56 : 72) : R.lanes.length > 14 ? 24 : 34;
      lanes[i] = { top: y, mid: y + (isNode ? h - 34 : h / 2), h, isNode };
      y += h;
    });
    height = Math.max(y + 8, 120);
  }
  function x(us, width) { return GUTTER() + (us - view.from) / (view.to - view.from) * (width - GUTTER()); }

  // What the keys n and p go to, in order.
  function notable() {
    const all = VIOLATIONS.map((v) => ({ us: v.us, text: `${v.invariant} ${v.anomaly}: ${v.detail}`, event: v.event, violation: true }));
    for (const f of R.faults) all.push({ us: f.begin[0], event: f.begin[1], text: "fault: " + f.what });
    for (const l of R.leaderships) all.push({ us: l.begin[0], event: l.begin[1], text: leads(l) });
    return all.sort((a, b) => a.us - b.us);
  }
  function leads(l) { return `${laneName(l.lane)} leads ${R.partitions[l.partition]} in epoch ${l.epoch}` + (l.end ? ` until ${seconds(l.end[0])}` : ""); }
  function names(list) { return "[" + list.map(laneName).join(", ") + "]"; }
  function registered(r) {
    return `${R.partitions[r.partition]}: leader ${r.leader === null ? "none" : laneName(r.leader)}, epoch ${r.leader_epoch}, ISR ${names(r.isr)} of ${names(r.replicas)}` +
      (r.elr.length ? `, ELR ${names(r.elr)}` : "") + `, partition epoch ${r.partition_epoch}`;
  }
  // Run when a filter changes, not for each frame.
  function filter() {
    M.rare = [];
    for (let i = 0; i < M.n; i++) {
      const passes = M.from[i] !== M.to[i] && (M.got[i] >= 0 || show.lost) && show.kinds[M.kind[i]] && (show.api < 0 || M.api[i] === show.api) && show.lanes[M.from[i]] && show.lanes[M.to[i]];
      M.shown[i] = passes ? 1 : 0; M.before[i + 1] = M.before[i] + M.shown[i];
      if (passes && (M.got[i] < 0 || M.kind[i] === 3)) M.rare.push(i);
    }
    redraw();
  }
  function inView(i) { return M.sent[i] <= view.to && (M.got[i] >= view.from || M.sent[i] >= view.from); }
  // Calls back for every stride-th message in view that passes the filters.
  function each(body, stride = 1) {
    for (let b = 0; b < M.blocks.length; b++) {
      if (M.blocks[b] < view.from) continue;
      const first = b * 256, last = Math.min(M.n, first + 256);
      if (M.sent[first] > view.to) return;
      for (let i = Math.ceil(first / stride) * stride; i < last; i += stride) if (M.shown[i] && inView(i)) body(i);
    }
  }

  function draw() {
    layout();
    const { g, width } = canvasOf(canvas, height), gutter = GUTTER();
    g.save(); g.beginPath(); g.rect(gutter, 0, width - gutter, height); g.clip();
    timeAxis(g, gutter, width, 15, height);
    drawFaults(g, width); drawMessages(g, width); drawFaultNames(g, width); drawProcesses(g, width); drawOffices(g, width); drawViolations(g, width);
    g.restore();
    drawLabels(g, gutter, width);
    const all = drawn.arrows >= drawn.of;
    byId("drawn").textContent = all ? `${grouped(drawn.of)} messages in view` : `${grouped(drawn.arrows)} of ${grouped(drawn.of)} messages in view are drawn; zoom in for all`;
  }

  function drawLabels(g, gutter, width) {
    g.textAlign = "left"; g.textBaseline = "middle";
    lanes.forEach((lane, i) => {
      g.fillStyle = palette.ink; g.font = (lane.isNode ? "600 " : "") + "12.5px " + FONT;
      g.fillText(R.lanes[i].name, 10, lane.mid);
      if (lane.isNode && gutter > 80) { g.fillStyle = palette.dim; g.font = "10.5px " + FONT; g.fillText(R.lanes[i].role, 10, lane.mid + 15, gutter - 14); }
      g.strokeStyle = palette.faint; g.beginPath(); g.moveTo(0, lane.top + lane.h + 0.5); g.lineTo(width, lane.top + lane.h + 0.5); g.stroke();
    });
    g.strokeStyle = palette.line; g.beginPath(); g.moveTo(gutter - 0.5, 0); g.lineTo(gutter - 0.5, height); g.stroke();
  }

  function drawFaults(g, width) {
    for (const f of R.faults) {
      const a = x(f.begin[0], width), b = x(f.end ? f.end[0] : END, width);
      if (b < 0 || a > width) continue;
      const wide = Math.max(b - a, 2), struck = f.lanes.length ? f.lanes : R.lanes.map((_, i) => i);
      g.fillStyle = faultColour(f.kind);
      for (const l of struck) {
        const lane = lanes[l]; if (!lane) continue;
        g.globalAlpha = 0.14; g.fillRect(a, lane.top + 1, wide, lane.h - 1);
        g.globalAlpha = 0.9; g.fillRect(a, lane.top + 1, wide, 2);
      }
      g.globalAlpha = 1;
    }
  }
  function drawFaultNames(g, width) {
    for (const f of R.faults) {
      const a = x(f.begin[0], width), b = x(f.end ? f.end[0] : END, width), wide = b - a;
      if (b < 0 || a > width) continue;
      g.fillStyle = faultColour(f.kind);
      const first = (f.lanes.length ? f.lanes : R.lanes.map((_, i) => i)).map((l) => lanes[l]).find((lane) => lane);
      if (first && wide > 60) {
        g.font = "10.5px " + FONT; g.textAlign = "left"; g.textBaseline = "top";
        g.fillText(f.kind, Math.max(a, GUTTER()) + 4, first.top + 4, wide - 8);
      }
    }
  }

  function drawMessages(g, width) {
    const count = M.before[above(M.sent, view.to)] - M.before[above(M.sent, view.from)];
    let stride = 1; while (count / stride > ARROWS_MAX / (stride > 8 ? 2 : 1)) stride *= 2;
    const paths = KINDS.map(() => new Path2D()), lost = new Path2D(), heads = count <= HEADS_MAX ? KINDS.map(() => new Path2D()) : null;
    const upright = new Set(), bars = KINDS.map(() => []);
    let arrows = 0;
    const line = (i) => {
      const a = lanes[M.from[i]], b = lanes[M.to[i]], xa = x(M.sent[i], width); arrows++;
      if (M.got[i] < 0) {
        const half = a.mid + (b.mid - a.mid) * 0.35;
        lost.moveTo(xa, a.mid); lost.lineTo(xa, half); lost.moveTo(xa - 3, half - 3); lost.lineTo(xa + 3, half + 3); lost.moveTo(xa + 3, half - 3); lost.lineTo(xa - 3, half + 3);
        return;
      }
      const xb = x(M.got[i], width);
      // Upright to a pixel's eye: rectangles are many times faster to draw, and one of a kind in a column is enough.
      if (xb - xa < 1.2) {
        const column = ((Math.round(xa) + 4) * KINDS.length + M.kind[i]) * 4096 + Math.min(M.from[i], M.to[i]) * 64 + Math.max(M.from[i], M.to[i]);
        if (!upright.has(column)) { upright.add(column); bars[M.kind[i]].push(Math.round(xa), Math.min(a.mid, b.mid), Math.abs(b.mid - a.mid)); }
        return;
      }
      paths[M.kind[i]].moveTo(xa, a.mid); paths[M.kind[i]].lineTo(xb, b.mid);
      if (heads) head(heads[M.kind[i]], xa, a.mid, xb, b.mid);
    };
    // Rare kinds are drawn as long as there is room; of the others every n-th, the same ones wherever the view is.
    each((i) => { if (stride === 1 || (M.got[i] >= 0 && M.kind[i] !== 3)) line(i); }, stride);
    if (stride > 1) {
      let rare = 0; for (const i of M.rare) if (inView(i)) rare++;
      const step = Math.max(1, Math.ceil(rare / 400)); let k = 0;
      for (const i of M.rare) if (inView(i) && k++ % step === 0) line(i);
    }
    drawn = { arrows, of: count };
    const dense = Math.min(1, 250 / Math.max(arrows, 1)) * 0.6;
    g.lineWidth = 1;
    KINDS.forEach((kind, k) => {
      g.strokeStyle = g.fillStyle = palette[kind]; g.globalAlpha = k === 3 && stride === 1 ? 0.8 : 0.18 + dense; g.stroke(paths[k]);
      for (let j = 0; j < bars[k].length; j += 3) g.fillRect(bars[k][j], bars[k][j + 1], 1, bars[k][j + 2]);
      if (heads) { g.globalAlpha = 0.9; g.fill(heads[k]); }
    });
    g.globalAlpha = 0.9; g.strokeStyle = palette.violated; g.stroke(lost); g.globalAlpha = 1;
  }
  function head(path, xa, ya, xb, yb) {
    const length = Math.hypot(xb - xa, yb - ya); if (length < 8) return;
    const ux = (xb - xa) / length, uy = (yb - ya) / length;
    path.moveTo(xb, yb); path.lineTo(xb - 6 * ux + 2.6 * uy, yb - 6 * uy - 2.6 * ux); path.lineTo(xb - 6 * ux - 2.6 * uy, yb - 6 * uy + 2.6 * ux); path.closePath();
  }

  function drawProcesses(g, width) {
    lanes.forEach((lane, i) => {
      let since = lane.isNode ? null : 0, paused = false;
      const line = (from, to) => {
        g.strokeStyle = palette.ink; g.lineWidth = 1.5; g.setLineDash(paused ? [2, 4] : []);
        g.beginPath(); g.moveTo(x(from, width), lane.mid); g.lineTo(x(to, width), lane.mid); g.stroke(); g.setLineDash([]);
      };
      for (const p of R.processes) {
        if (p.lane !== i) continue;
        if (since !== null) line(since, p.at[0]);
        const what = typeof p.what === "string" ? p.what : "failed";
        paused = what === "paused";
        since = what === "started" || what === "paused" || what === "resumed" ? p.at[0] : null;
        const at = x(p.at[0], width);
        g.fillStyle = what === "started" || what === "resumed" ? palette.held : palette.process;
        g.beginPath(); g.arc(at, lane.mid, 3.5, 0, 7); g.fill();
      }
      if (since !== null) line(since, END);
      g.lineWidth = 1;
    });
  }

  function strip(lane, partition) { return lane.top + lane.h - (partition === 0 ? 11 : 21); }
  function drawOffices(g, width) {
    for (const l of R.leaderships) {
      const lane = lanes[l.lane]; if (!lane || (l.partition !== 0 && l.partition !== show.partition)) continue;
      const a = x(l.begin[0], width), b = x(l.end ? l.end[0] : END, width); if (b < 0 || a > width) continue;
      g.fillStyle = epochColour(l.epoch); g.fillRect(a, strip(lane, l.partition), Math.max(b - a, 1.5), 7);
      const visibleFrom = Math.max(a, GUTTER());
      if (b - visibleFrom > 46) {
        g.fillStyle = palette.panel; g.font = "600 9px " + FONT; g.textAlign = "left"; g.textBaseline = "middle";
        g.fillText((l.partition === 0 ? "quorum " : "") + "epoch " + l.epoch, visibleFrom + 9, strip(lane, l.partition) + 4, b - visibleFrom - 11);
      }
    }
    for (const r of R.registrations) {
      if (r.partition !== show.partition) continue;
      const lane = lanes[r.leader === null ? r.lane : r.leader], at = x(r.at[0], width); if (!lane || at < 0 || at > width) continue;
      g.fillStyle = r.isr.length < r.replicas.length ? palette.violated : palette.held; g.strokeStyle = palette.panel;
      const y = strip(lane, 1) + 3.5;
      g.beginPath(); g.moveTo(at, y - 6); g.lineTo(at + 5, y); g.lineTo(at, y + 6); g.lineTo(at - 5, y); g.closePath(); g.fill(); g.stroke();
    }
  }

  function drawViolations(g, width) {
    let end = -1e9;
    for (const v of VIOLATIONS) {
      const at = Math.round(x(v.us, width)) + 0.5; if (at < 0 || at > width) continue;
      g.strokeStyle = g.fillStyle = palette.violated; g.lineWidth = 1.5; g.beginPath(); g.moveTo(at, 18); g.lineTo(at, height); g.stroke();
      if (at < end) continue;
      g.font = "600 11px " + FONT; g.textBaseline = "alphabetic";
      const w = g.measureText(v.invariant).width, left = at + w + 12 > width;
      g.fillRect(left ? at - w - 8 : at, 14, w + 8, 15); g.fillStyle = palette.panel; g.textAlign = "left"; g.fillText(v.invariant, (left ? at - w - 8 : at) + 4, 25.5);
      end = at + w + 10;
    }
    g.lineWidth = 1;
  }

  // What is under the pointer, as text; the rarest first.
  function find(px, py) {
    const width = pageWidth, us = view.from + (px - GUTTER()) / (width - GUTTER()) * (view.to - view.from), near = 5 * (view.to - view.from) / (width - GUTTER());
    const lane = lanes.findIndex((l) => l && py >= l.top && py < l.top + l.h), place = lanes[lane];
    for (const v of VIOLATIONS) if (Math.abs(v.us - us) < near) return [`${v.invariant} ${v.anomaly} at ${v.node || "the clients"}: ${v.detail}`, v.us, v.event];
    if (place && place.isNode && py > place.top + place.h - 25) {
      for (const r of R.registrations) if (r.partition === show.partition && (r.leader === null ? r.lane : r.leader) === lane && Math.abs(r.at[0] - us) < near) return [registered(r), r.at[0], r.at[1]];
      const partition = py > place.top + place.h - 13 ? 0 : show.partition;
      for (const l of R.leaderships) if (l.lane === lane && l.partition === partition && l.begin[0] <= us && us <= (l.end ? l.end[0] : END)) return [leads(l), l.begin[0], l.begin[1]];
    }
    if (place) for (const p of R.processes) if (p.lane === lane && Math.abs(p.at[0] - us) < near && Math.abs(py - place.mid) < 7) return [`${laneName(lane)}: ${typeof p.what === "string" ? p.what : "failed: " + p.what.failed}`, p.at[0], p.at[1]];
    const message = nearest(px, py, width); if (message) return message;
    for (const f of R.faults) if ((!f.lanes.length || f.lanes.includes(lane)) && f.begin[0] - near <= us && us <= (f.end ? f.end[0] : END) + near) return [`fault: ${f.what}` + (f.end && f.end[0] > f.begin[0] ? `, healed at ${seconds(f.end[0])}` : f.end ? "" : ", not healed"), f.begin[0], f.begin[1]];
    return null;
  }
  function nearest(px, py, width) {
    let best = 6, found = -1;
    each((i) => {
      if (M.got[i] < 0 ? Math.abs(x(M.sent[i], width) - px) > best : (x(M.sent[i], width) > px + best || x(M.got[i], width) < px - best)) return;
      const a = lanes[M.from[i]].mid, b = lanes[M.to[i]].mid; if (py < Math.min(a, b) - 4 || py > Math.max(a, b) + 4) return;
      const t = (py - a) / (b - a), at = M.got[i] < 0 ? x(M.sent[i], width) : x(M.sent[i] + (M.got[i] - M.sent[i]) * t, width), d = Math.abs(at - px);
      if (d < best) { best = d; found = i; }
    });
    return found < 0 ? null : [describe(found), M.sent[found], M.event[found]];
  }
  function describe(i) {
    const c = R.messages, name = R.apis[M.api[i]] || "unknown api";
    return `${name} ${c.is_response[i] ? "response" : "request"} v${c.version[i]} #${c.correlation_id[i]}, ${laneName(M.from[i])} → ${laneName(M.to[i])}, ${grouped(c.sizes[i])} bytes, ` +
      (M.got[i] < 0 ? "never arrived" : `took ${took(M.got[i] - M.sent[i])}`);
  }
  function inspect(found) {
    hover = found;
    const out = byId("inspect"); out.replaceChildren();
    if (!found) { out.append("Point at or tap something to see what it is; Previous and Next go through faults, leaderships and violations."); return; }
    out.append(found[0]); const when = document.createElement("div"); when.className = "mono"; when.textContent = `${seconds(found[1], 6)} · event ${found[2]}`; out.append(when);
  }
  function step(direction) {
    const middle = (view.from + view.to) / 2, edge = 1e-3;
    const next = direction > 0 ? marks.find((m) => m.us > middle + edge) : [...marks].reverse().find((m) => m.us < middle - edge);
    if (!next) return;
    view.show(next.us, Math.min(view.to - view.from, END / 8)); inspect([next.text, next.us, next.event]);
  }
  return { canvas, show, draw, filter, find, inspect, step, gutter: GUTTER, each };
})();
