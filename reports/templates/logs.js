// Each replica's log around a violation: epochs, high watermark, last stable offset, and what was done to it before.

const logs = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  function svg(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }
  function cell(row, text, name) {
    const made = document.createElement("td");
    made.textContent = text;
    if (name) made.className = name;
    row.append(made);
  }
  const words = (what) => {
    if (what === "delete") return "deleted";
    const [kind, value] = Object.entries(what)[0];
    return {
      append: () => `appended ${value[0]}` + (value[1] > value[0] ? `–${value[1]}` : "") + ` in epoch ${value[2]}`,
      load: () => `opened with ${value[0]}–${value[1]}`,
      truncate: () => `truncated to ${value}`,
      start: () => `starts at ${value}`,
    }[kind]();
  };

  function draw() {
    const snapshot = R.snapshots[byId("snapshot").value],
      partition = spacetime.show.partition,
      box = byId("logview");
    box.replaceChildren();
    const replicas = (snapshot ? snapshot.replicas : []).filter((r) => r.partition === partition);
    if (!replicas.length) {
      box.append("No replica of this partition was known then.");
      return;
    }
    box.append(picture(replicas), numbers(replicas), changes(snapshot, partition));
  }

  // Offsets from where replicas may differ: a little below the lowest high watermark and the last epochs.
  function picture(replicas) {
    const width = Math.max(300, Math.min(byId("logview").clientWidth, 1100)),
      left = 84,
      row = 40,
      height = replicas.length * row + 30;
    const high = Math.max(...replicas.map((r) => r.log_end), 1),
      lowest = Math.min(...replicas.map((r) => Math.min(r.high_watermark, r.log_end)));
    let low = Math.max(0, Math.min(lowest, high) - Math.max(12, Math.round((high - lowest) * 0.6)));
    if (high - low > 5000) low = Math.max(low, high - 5000);
    const x = (offset) => left + ((Math.max(offset, low) - low) / Math.max(high - low, 1)) * (width - left - 24);
    const picture = svg("svg", {
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": "Logs of the replicas; the table below has the numbers",
    });
    replicas.forEach((r, i) => {
      const y = i * row + 6;
      picture.append(
        svg("text", { x: 0, y: y + 15 }, laneName(r.lane)),
        svg("text", { x: 0, y: y + 28, class: "dim" }, r.leads !== null ? "leader e" + r.leads : r.is_up ? "" : "down"),
      );
      r.epochs.forEach(([epoch, start], k) => {
        const end = k + 1 < r.epochs.length ? r.epochs[k + 1][1] : r.log_end,
          from = Math.max(start, r.log_start);
        if (end <= low || end <= from) return;
        const a = x(from),
          b = x(end);
        picture.append(
          svg("rect", {
            x: a,
            y,
            width: Math.max(b - a - 1, 1),
            height: 20,
            fill: epochColour(epoch),
            opacity: r.is_up ? 0.75 : 0.35,
          }),
        );
        if (b - a > 60) {
          const label = svg("text", { x: a + 5, y: y + 14 }, `epoch ${epoch}`);
          label.style.fill = palette.panel;
          label.style.fontWeight = "600";
          picture.append(label);
        }
      });
      if (!r.epochs.length && r.log_end > low)
        picture.append(
          svg("rect", {
            x: x(r.log_start),
            y,
            width: Math.max(x(r.log_end) - x(r.log_start) - 1, 1),
            height: 20,
            fill: palette.other,
            opacity: 0.5,
          }),
        );
      const mark = (offset, text, dy) => {
        const at = x(offset);
        picture.append(
          svg("path", { d: `M${at} ${y - 3}V${y + 23}`, stroke: palette.ink, "stroke-width": 2 }),
          svg("text", { x: Math.min(at + 3, width - 60), y: y + dy, class: "dim" }, text),
        );
      };
      if (r.last_stable >= low && r.last_stable < r.high_watermark) mark(r.last_stable, "LSO", 33);
      if (r.high_watermark >= low) mark(r.high_watermark, "HW " + r.high_watermark, 33);
    });
    const { all } = ticks(low, high, 8);
    for (const t of all)
      if (Number.isInteger(t))
        picture.append(svg("text", { x: x(t), y: height - 4, class: "dim", "text-anchor": "middle" }, grouped(t)));
    return picture;
  }

  function numbers(replicas) {
    const wide = document.createElement("div"),
      table = document.createElement("table"),
      head = table.createTHead().insertRow(),
      body = table.createTBody();
    wide.className = "wide";
    for (const text of [
      "replica",
      "role",
      "log start",
      "log end",
      "high watermark",
      "last stable",
      "epochs (first offset)",
    ]) {
      const th = document.createElement("th");
      th.textContent = text;
      th.scope = "col";
      head.append(th);
    }
    for (const r of replicas) {
      const row = body.insertRow();
      cell(row, laneName(r.lane));
      cell(row, r.leads !== null ? "leads in epoch " + r.leads : r.is_up ? "follows" : "down");
      for (const n of [r.log_start, r.log_end, r.high_watermark, r.last_stable]) cell(row, grouped(n), "n");
      cell(
        row,
        r.epochs
          .slice(-8)
          .map(([epoch, start]) => `${epoch} (${start})`)
          .join(", "),
        "mono",
      );
    }
    wide.append(table);
    return wide;
  }

  function changes(snapshot, partition) {
    const before = [];
    for (let i = R.logs.length - 1; i >= 0 && before.length < 40; i--) {
      const c = R.logs[i];
      if (c[0] === partition && c[2][1] <= snapshot.at[1]) before.push(c);
    }
    const details = document.createElement("details"),
      summary = document.createElement("summary"),
      wide = document.createElement("div"),
      table = document.createElement("table"),
      body = table.createTBody();
    summary.textContent = `The last ${before.length} changes of these logs until then`;
    wide.className = "wide";
    for (const [, lane, at, what] of before.reverse()) {
      const row = body.insertRow();
      cell(row, seconds(at[0], 6), "when");
      cell(row, "event " + at[1], "when");
      cell(row, laneName(lane));
      cell(row, words(what));
    }
    wide.append(table);
    details.append(summary, wide);
    return details;
  }
  return { draw };
})();
