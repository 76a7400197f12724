// The space-time diagram: a lane per host, time to the right, messages as lines from sending to arrival.

const spacetime = (() => {
  const canvas = byId("lanes"),
    GUTTER = () => (pageWidth < 560 ? 66 : 104);
  const ARROWS_MAX = 3000,
    HEADS_MAX = 700,
    AXIS = 26;
  const show = { kinds: KINDS.map(() => true), lost: true, api: -1, lanes: R.lanes.map(() => true), partition: 0 };
  let lanes = [],
    height = 0,
    drawn = { arrows: 0, of: 0 };

  function layout() {
    lanes = [];
    let y = AXIS;
    R.lanes.forEach((lane, i) => {
      if (!show.lanes[i]) return;
      const isNode = lane.node !== undefined,
        h = isNode ? (R.lanes.length > 10 ? 56 : 72) : R.lanes.length > 14 ? 24 : 34;
      lanes[i] = { top: y, mid: y + (isNode ? h - 34 : h / 2), h, isNode };
      y += h;
    });
    height = Math.max(y + 8, 120);
  }
  function x(us, width) {
    return GUTTER() + ((us - view.from) / (view.to - view.from)) * (width - GUTTER());
  }

  // Run when a filter changes, not for each frame.
  function filter() {
    M.rare = [];
    for (let i = 0; i < M.n; i++) {
      const passes =
        M.from[i] !== M.to[i] &&
        (M.got[i] >= 0 || show.lost) &&
        show.kinds[M.kind[i]] &&
        (show.api < 0 || M.api[i] === show.api) &&
        show.lanes[M.from[i]] &&
        show.lanes[M.to[i]];
      M.shown[i] = passes ? 1 : 0;
      M.before[i + 1] = M.before[i] + M.shown[i];
      if (passes && (M.got[i] < 0 || M.kind[i] === 3)) M.rare.push(i);
    }
    redraw();
  }
  function inView(i) {
    return M.sent[i] <= view.to && (M.got[i] >= view.from || M.sent[i] >= view.from);
  }
  // Calls back for every stride-th message in view that passes the filters.
  function each(body, stride = 1) {
    for (let b = 0; b < M.blocks.length; b++) {
      if (M.blocks[b] < view.from) continue;
      const first = b * 256,
        last = Math.min(M.n, first + 256);
      if (M.sent[first] > view.to) return;
      for (let i = Math.ceil(first / stride) * stride; i < last; i += stride) if (M.shown[i] && inView(i)) body(i);
    }
  }

  function draw() {
    layout();
    const { g, width } = canvasOf(canvas, height),
      gutter = GUTTER();
    g.save();
    g.beginPath();
    g.rect(gutter, 0, width - gutter, height);
    g.clip();
    timeAxis(g, gutter, width, 15, height);
    drawFaults(g, width);
    drawMessages(g, width);
    drawFaultNames(g, width);
    drawProcesses(g, width);
    drawOffices(g, width);
    drawViolations(g, width);
    g.restore();
    drawLabels(g, gutter, width);
    const all = drawn.arrows >= drawn.of;
    byId("drawn").textContent = all
      ? `${grouped(drawn.of)} messages in view`
      : `${grouped(drawn.arrows)} of ${grouped(drawn.of)} messages in view are drawn; zoom in for all`;
  }

  function drawLabels(g, gutter, width) {
    g.textAlign = "left";
    g.textBaseline = "middle";
    lanes.forEach((lane, i) => {
      g.fillStyle = palette.ink;
      g.font = (lane.isNode ? "600 " : "") + "12.5px " + FONT;
      g.fillText(R.lanes[i].name, 10, lane.mid);
      if (lane.isNode && gutter > 80) {
        g.fillStyle = palette.dim;
        g.font = "10.5px " + FONT;
        g.fillText(R.lanes[i].role, 10, lane.mid + 15, gutter - 14);
      }
      g.strokeStyle = palette.faint;
      g.beginPath();
      g.moveTo(0, lane.top + lane.h + 0.5);
      g.lineTo(width, lane.top + lane.h + 0.5);
      g.stroke();
    });
    g.strokeStyle = palette.line;
    g.beginPath();
    g.moveTo(gutter - 0.5, 0);
    g.lineTo(gutter - 0.5, height);
    g.stroke();
  }

  function drawFaults(g, width) {
    for (const f of R.faults) {
      const a = x(f.begin[0], width),
        b = x(f.end ? f.end[0] : END, width);
      if (b < 0 || a > width) continue;
      const wide = Math.max(b - a, 2),
        struck = f.lanes.length ? f.lanes : R.lanes.map((_, i) => i);
      g.fillStyle = faultColour(f.kind);
      for (const l of struck) {
        const lane = lanes[l];
        if (!lane) continue;
        g.globalAlpha = 0.14;
        g.fillRect(a, lane.top + 1, wide, lane.h - 1);
        g.globalAlpha = 0.9;
        g.fillRect(a, lane.top + 1, wide, 2);
      }
      g.globalAlpha = 1;
    }
  }
  function drawFaultNames(g, width) {
    for (const f of R.faults) {
      const a = x(f.begin[0], width),
        b = x(f.end ? f.end[0] : END, width),
        wide = b - a;
      if (b < 0 || a > width) continue;
      g.fillStyle = faultColour(f.kind);
      const first = (f.lanes.length ? f.lanes : R.lanes.map((_, i) => i)).map((l) => lanes[l]).find((lane) => lane);
      if (first && wide > 60) {
        g.font = "10.5px " + FONT;
        g.textAlign = "left";
        g.textBaseline = "top";
        g.fillText(f.kind, Math.max(a, GUTTER()) + 4, first.top + 4, wide - 8);
      }
    }
  }

  function drawMessages(g, width) {
    const count = M.before[above(M.sent, view.to)] - M.before[above(M.sent, view.from)];
    let stride = 1;
    while (count / stride > ARROWS_MAX / (stride > 8 ? 2 : 1)) stride *= 2;
    const paths = KINDS.map(() => new Path2D()),
      lost = new Path2D(),
      heads = count <= HEADS_MAX ? KINDS.map(() => new Path2D()) : null;
    const upright = new Set(),
      bars = KINDS.map(() => []);
    let arrows = 0;
    const line = (i) => {
      const a = lanes[M.from[i]],
        b = lanes[M.to[i]],
        xa = x(M.sent[i], width);
      arrows++;
      if (M.got[i] < 0) {
        const half = a.mid + (b.mid - a.mid) * 0.35;
        lost.moveTo(xa, a.mid);
        lost.lineTo(xa, half);
        lost.moveTo(xa - 3, half - 3);
        lost.lineTo(xa + 3, half + 3);
        lost.moveTo(xa + 3, half - 3);
        lost.lineTo(xa - 3, half + 3);
        return;
      }
      const xb = x(M.got[i], width);
      // Upright to a pixel's eye: rectangles are many times faster to draw, and one of a kind in a column is enough.
      if (xb - xa < 1.2) {
        const column =
          ((Math.round(xa) + 4) * KINDS.length + M.kind[i]) * 4096 +
          Math.min(M.from[i], M.to[i]) * 64 +
          Math.max(M.from[i], M.to[i]);
        if (!upright.has(column)) {
          upright.add(column);
          bars[M.kind[i]].push(Math.round(xa), Math.min(a.mid, b.mid), Math.abs(b.mid - a.mid));
        }
        return;
      }
      paths[M.kind[i]].moveTo(xa, a.mid);
      paths[M.kind[i]].lineTo(xb, b.mid);
      if (heads) head(heads[M.kind[i]], xa, a.mid, xb, b.mid);
    };
    // Rare kinds are drawn as long as there is room; of the others every n-th, the same ones wherever the view is.
    each((i) => {
      if (stride === 1 || (M.got[i] >= 0 && M.kind[i] !== 3)) line(i);
    }, stride);
    if (stride > 1) {
      let rare = 0;
      for (const i of M.rare) if (inView(i)) rare++;
      const step = Math.max(1, Math.ceil(rare / 400));
      let k = 0;
      for (const i of M.rare) if (inView(i) && k++ % step === 0) line(i);
    }
    drawn = { arrows, of: count };
    const dense = Math.min(1, 250 / Math.max(arrows, 1)) * 0.6;
    g.lineWidth = 1;
    KINDS.forEach((kind, k) => {
      g.strokeStyle = g.fillStyle = palette[kind];
      g.globalAlpha = k === 3 && stride === 1 ? 0.8 : 0.18 + dense;
      g.stroke(paths[k]);
      for (let j = 0; j < bars[k].length; j += 3) g.fillRect(bars[k][j], bars[k][j + 1], 1, bars[k][j + 2]);
      if (heads) {
        g.globalAlpha = 0.9;
        g.fill(heads[k]);
      }
    });
    g.globalAlpha = 0.9;
    g.strokeStyle = palette.violated;
    g.stroke(lost);
    g.globalAlpha = 1;
  }
  function head(path, xa, ya, xb, yb) {
    const length = Math.hypot(xb - xa, yb - ya);
    if (length < 8) return;
    const ux = (xb - xa) / length,
      uy = (yb - ya) / length;
    path.moveTo(xb, yb);
    path.lineTo(xb - 6 * ux + 2.6 * uy, yb - 6 * uy - 2.6 * ux);
    path.lineTo(xb - 6 * ux - 2.6 * uy, yb - 6 * uy + 2.6 * ux);
    path.closePath();
  }

  function drawProcesses(g, width) {
    lanes.forEach((lane, i) => {
      let since = lane.isNode ? null : 0,
        paused = false;
      const line = (from, to) => {
        g.strokeStyle = palette.ink;
        g.lineWidth = 1.5;
        g.setLineDash(paused ? [2, 4] : []);
        g.beginPath();
        g.moveTo(x(from, width), lane.mid);
        g.lineTo(x(to, width), lane.mid);
        g.stroke();
        g.setLineDash([]);
      };
      for (const p of R.processes) {
        if (p.lane !== i) continue;
        if (since !== null) line(since, p.at[0]);
        const what = typeof p.what === "string" ? p.what : "failed";
        paused = what === "paused";
        since = what === "started" || what === "paused" || what === "resumed" ? p.at[0] : null;
        const at = x(p.at[0], width);
        g.fillStyle = what === "started" || what === "resumed" ? palette.held : palette.process;
        g.beginPath();
        g.arc(at, lane.mid, 3.5, 0, 7);
        g.fill();
      }
      if (since !== null) line(since, END);
      g.lineWidth = 1;
    });
  }

  function strip(lane, partition) {
    return lane.top + lane.h - (partition === 0 ? 11 : 21);
  }
  function drawOffices(g, width) {
    for (const l of R.leaderships) {
      const lane = lanes[l.lane];
      if (!lane || (l.partition !== 0 && l.partition !== show.partition)) continue;
      const a = x(l.begin[0], width),
        b = x(l.end ? l.end[0] : END, width);
      if (b < 0 || a > width) continue;
      g.fillStyle = epochColour(l.epoch);
      g.fillRect(a, strip(lane, l.partition), Math.max(b - a, 1.5), 7);
      const visibleFrom = Math.max(a, GUTTER());
      if (b - visibleFrom > 46) {
        g.fillStyle = palette.panel;
        g.font = "600 9px " + FONT;
        g.textAlign = "left";
        g.textBaseline = "middle";
        g.fillText(
          (l.partition === 0 ? "quorum " : "") + "epoch " + l.epoch,
          visibleFrom + 9,
          strip(lane, l.partition) + 4,
          b - visibleFrom - 11,
        );
      }
    }
    for (const r of R.registrations) {
      if (r.partition !== show.partition) continue;
      const lane = lanes[r.leader === null ? r.lane : r.leader],
        at = x(r.at[0], width);
      if (!lane || at < 0 || at > width) continue;
      g.fillStyle = r.isr.length < r.replicas.length ? palette.violated : palette.held;
      g.strokeStyle = palette.panel;
      const y = strip(lane, 1) + 3.5;
      g.beginPath();
      g.moveTo(at, y - 6);
      g.lineTo(at + 5, y);
      g.lineTo(at, y + 6);
      g.lineTo(at - 5, y);
      g.closePath();
      g.fill();
      g.stroke();
    }
  }

  function drawViolations(g, width) {
    let end = -1e9;
    for (const v of VIOLATIONS) {
      const at = Math.round(x(v.us, width)) + 0.5;
      if (at < 0 || at > width) continue;
      g.strokeStyle = g.fillStyle = palette.violated;
      g.lineWidth = 1.5;
      g.beginPath();
      g.moveTo(at, 18);
      g.lineTo(at, height);
      g.stroke();
      if (at < end) continue;
      g.font = "600 11px " + FONT;
      g.textBaseline = "alphabetic";
      const w = g.measureText(v.invariant).width,
        left = at + w + 12 > width;
      g.fillRect(left ? at - w - 8 : at, 14, w + 8, 15);
      g.fillStyle = palette.panel;
      g.textAlign = "left";
      g.fillText(v.invariant, (left ? at - w - 8 : at) + 4, 25.5);
      end = at + w + 10;
    }
    g.lineWidth = 1;
  }

  const laneAt = (y) => lanes.findIndex((lane) => lane && y >= lane.top && y < lane.top + lane.h);
  return { canvas, show, draw, filter, each, x, laneAt, lane: (i) => lanes[i], gutter: GUTTER };
})();
