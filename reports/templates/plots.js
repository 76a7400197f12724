// Plots over simulated time, on the same view as the diagram, with the faults behind.

const plots = (() => {
  const HEIGHT = 150,
    BOTTOM = 20,
    C = R.clients;
  const gutter = () => spacetime.gutter();
  let what = "lag";

  function area(canvas) {
    const { g, width, height } = canvasOf(canvas, HEIGHT);
    const x = (us) => gutter() + ((us - view.from) / (view.to - view.from)) * (width - gutter());
    g.save();
    g.beginPath();
    g.rect(gutter(), 0, width - gutter(), height);
    g.clip();
    timeAxis(g, gutter(), width, height - 5, height - BOTTOM);
    for (const f of R.faults) {
      const a = x(f.begin[0]),
        b = x(f.end ? f.end[0] : END);
      if (b < 0 || a > width) continue;
      g.globalAlpha = 0.12;
      g.fillStyle = faultColour(f.kind);
      g.fillRect(a, 0, Math.max(b - a, 1.5), height - BOTTOM);
    }
    g.globalAlpha = 1;
    g.strokeStyle = palette.violated;
    for (const v of VIOLATIONS) {
      const at = Math.round(x(v.us)) + 0.5;
      g.beginPath();
      g.moveTo(at, 0);
      g.lineTo(at, height - BOTTOM);
      g.stroke();
    }
    return { g, width, height, x };
  }

  function valueAxis(g, width, height, from, to, text, isLog) {
    g.restore();
    const y = (v) => {
      const part = isLog ? Math.log10(Math.max(v, from) / from) / Math.log10(to / from) : (v - from) / (to - from || 1);
      return height - BOTTOM - 4 - part * (height - BOTTOM - 12);
    };
    g.font = "11px " + FONT;
    g.fillStyle = palette.dim;
    g.textAlign = "right";
    g.textBaseline = "middle";
    const all = isLog
      ? [...Array(8).keys()].map((k) => 10 ** k).filter((v) => v >= from && v <= to)
      : ticks(from, to, 4).all;
    for (const v of all) {
      g.fillText(text(v), gutter() - 6, y(v));
      g.strokeStyle = palette.faint;
      g.beginPath();
      g.moveTo(gutter(), y(v));
      g.lineTo(width, y(v));
      g.stroke();
    }
    g.save();
    g.beginPath();
    g.rect(gutter(), 0, width - gutter(), height);
    g.clip();
    return y;
  }

  function buckets(first) {
    const from = Math.max(0, Math.floor(view.from / C.bucket_us) - 1);
    return [from, Math.min(first.length, Math.ceil(view.to / C.bucket_us) + 1)];
  }
  function steps(g, x, y, values, colour, dash, skipZero) {
    const [from, to] = buckets(values);
    g.strokeStyle = colour;
    g.lineWidth = 1.5;
    g.setLineDash(dash);
    g.beginPath();
    let pen = false;
    for (let i = from; i < to; i++) {
      if (skipZero && !values[i]) {
        pen = false;
        continue;
      }
      const a = x(i * C.bucket_us),
        b = x((i + 1) * C.bucket_us);
      if (pen) g.lineTo(a, y(values[i]));
      else g.moveTo(a, y(values[i]));
      g.lineTo(b, y(values[i]));
      pen = true;
    }
    g.stroke();
    g.setLineDash([]);
    g.lineWidth = 1;
  }
  function top(...series) {
    let max = 1;
    for (const s of series) {
      const [from, to] = buckets(s);
      for (let i = from; i < to; i++) max = Math.max(max, s[i]);
    }
    return max;
  }

  function rates() {
    const per = (list) => list.map((n) => (n * 1e6) / C.bucket_us),
      acked = per(C.acked),
      consumed = per(C.consumed),
      failed = per(C.failed.map((n, i) => n + C.unknown[i]));
    const { g, width, height, x } = area(byId("rates"));
    // The final read fetches everything at once; the scale is that of the rest.
    const sorted = [...consumed].sort((a, b) => a - b),
      usual = sorted[Math.floor(sorted.length * 0.97)] * 1.5;
    const y = valueAxis(
      g,
      width,
      height,
      0,
      Math.max(top(acked, failed), Math.min(top(consumed), Math.max(usual, 1))),
      (v) => grouped(Math.round(v)),
    );
    steps(g, x, y, consumed, palette.consume, [5, 3]);
    steps(g, x, y, acked, palette.produce, []);
    steps(g, x, y, failed, palette.violated, [2, 2], true);
    g.restore();
  }
  function latency() {
    const { g, width, height, x } = area(byId("latency"));
    const y = valueAxis(g, width, height, 100, Math.max(top(C.max_us), 1000) * 1.3, took, true);
    steps(g, x, y, C.max_us, palette.other, [2, 3], true);
    steps(g, x, y, C.p99_us, palette.quorum, [6, 3], true);
    steps(g, x, y, C.p50_us, palette.produce, [], true);
    g.restore();
  }

  // The series of a partition's replicas as arrays; made anew only if another partition or quantity is asked for.
  let made = { key: "", all: [] };
  function series() {
    const partition = spacetime.show.partition,
      key = partition + what;
    if (made.key === key) return made.all;
    const all = R.replicas.filter((r) => r.partition === partition && r.points.length);
    const times = all.map((r) => r.points.map((p) => p[0][0]));
    const end = (k, us) => {
      const at = above(times[k], us);
      return at ? all[k].points[at - 1][1] : 0;
    };
    const value = {
      lag: (p) => all.reduce((max, _, k) => Math.max(max, end(k, p[0][0])), 0) - p[1],
      end: (p) => p[1],
      hw: (p) => p[2],
      lso: (p) => p[3],
    }[what];
    made = { key, all: all.map((r, k) => ({ lane: r.lane, us: times[k], value: r.points.map(value) })) };
    legend(made.all);
    return made.all;
  }

  function offsets() {
    const { g, width, height, x } = area(byId("offsets")),
      all = series();
    const cut = all.map((s) => [Math.max(0, above(s.us, view.from) - 1), above(s.us, view.to)]);
    let low = Infinity,
      high = -Infinity;
    all.forEach((s, k) => {
      for (let i = cut[k][0]; i < cut[k][1]; i++) {
        low = Math.min(low, s.value[i]);
        high = Math.max(high, s.value[i]);
      }
    });
    if (what === "lag" || low > high) low = 0;
    if (high - low < 4) high = low + 4;
    if (high === -Infinity) high = 4;
    const y = valueAxis(g, width, height, low, high, (v) => grouped(Math.round(v)));
    all.forEach((s, k) => {
      g.strokeStyle = epochColour(s.lane);
      g.lineWidth = 1.5;
      g.setLineDash([[], [6, 3], [2, 2], [8, 3, 2, 3]][s.lane % 4]);
      g.beginPath();
      // Within a pixel only the extremes show.
      let column = -1,
        min = 0,
        max = 0,
        last = 0;
      for (let i = cut[k][0]; i < cut[k][1]; i++) {
        const px = Math.round(x(s.us[i])),
          v = s.value[i];
        if (px === column) {
          min = Math.min(min, v);
          max = Math.max(max, v);
          last = v;
          continue;
        }
        if (column < 0) g.moveTo(px, y(v));
        else {
          g.lineTo(column, y(min));
          g.lineTo(column, y(max));
          g.lineTo(column, y(last));
          g.lineTo(px, y(last));
          g.lineTo(px, y(v));
        }
        column = px < 0 ? 0 : px;
        min = max = last = v;
      }
      if (column >= 0) {
        g.lineTo(column, y(min));
        g.lineTo(column, y(max));
        g.lineTo(column, y(last));
        g.lineTo(x(Math.min(view.to, END)), y(last));
      }
      g.stroke();
      g.setLineDash([]);
      g.lineWidth = 1;
    });
    g.restore();
  }
  function legend(all) {
    const box = byId("offsets-legend");
    box.replaceChildren(
      ...all.map(({ lane }) => {
        const item = document.createElement("span"),
          key = document.createElement("i");
        key.className = "key";
        key.style.color = `var(--e${lane % 6})`;
        item.append(key, laneName(lane));
        return item;
      }),
    );
    if (R.dropped.thinned_us > 10000) box.append(` thinned to one value per ${took(R.dropped.thinned_us)}`);
  }

  function overview() {
    const canvas = byId("overview"),
      { g, width, height } = canvasOf(canvas, 40),
      inner = width - gutter(),
      x = (us) => gutter() + (us / END) * inner;
    const counts = new Float64Array(Math.max(1, Math.floor(inner / 2)));
    for (let i = 0; i < M.n; i++) counts[Math.min(counts.length - 1, Math.floor((M.sent[i] / END) * counts.length))]++;
    const max = Math.max(...counts, 1);
    for (const f of R.faults) {
      g.globalAlpha = 0.25;
      g.fillStyle = faultColour(f.kind);
      g.fillRect(x(f.begin[0]), 0, Math.max(x(f.end ? f.end[0] : END) - x(f.begin[0]), 1.5), 9);
    }
    g.globalAlpha = 1;
    g.fillStyle = palette.replicate;
    counts.forEach((n, i) => {
      const h = Math.sqrt(n / max) * 26;
      g.fillRect(gutter() + i * 2, height - h, 1.5, h);
    });
    g.fillStyle = palette.violated;
    for (const v of VIOLATIONS) g.fillRect(x(v.us) - 0.75, 0, 2, height);
    g.fillStyle = palette.dim;
    g.font = "11.5px " + FONT;
    g.textBaseline = "middle";
    g.textAlign = "left";
    g.fillText(gutter() > 80 ? "whole run" : "run", 10, height / 2);
    return canvas;
  }
  // The whole run never changes: it is drawn once and only the frame around the view moves.
  let backdrop = null,
    backdropFor = "";
  function drawOverview() {
    const canvas = byId("overview"),
      width = pageWidth,
      key = width + palette.ink;
    if (backdropFor !== key) {
      overview();
      backdrop = document.createElement("canvas");
      backdrop.width = canvas.width;
      backdrop.height = canvas.height;
      backdrop.getContext("2d").drawImage(canvas, 0, 0);
      backdropFor = key;
    }
    const g = canvas.getContext("2d");
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.clearRect(0, 0, canvas.width, canvas.height);
    g.drawImage(backdrop, 0, 0);
    const ratio = canvas.width / width,
      inner = width - gutter(),
      a = gutter() + (Math.max(view.from, 0) / END) * inner,
      b = gutter() + (Math.min(view.to, END) / END) * inner;
    g.scale(ratio, ratio);
    g.fillStyle = palette.page;
    g.globalAlpha = 0.6;
    g.fillRect(gutter(), 0, a - gutter(), 40);
    g.fillRect(b, 0, width - b, 40);
    g.globalAlpha = 1;
    g.strokeStyle = palette.ink;
    g.lineWidth = 1.5;
    g.strokeRect(a + 0.5, 1, Math.max(b - a - 1, 3), 38);
  }
  return {
    draw() {
      drawOverview();
      rates();
      latency();
      offsets();
    },
    showing(next) {
      what = next;
      redraw();
    },
  };
})();
