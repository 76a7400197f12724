// What is at a place of the space-time diagram, in words; and the way through what is notable.

const finder = (() => {
  let cursor = -1;
  const marks = notable();

  // What the keys n and p go to, in order.
  function notable() {
    const all = VIOLATIONS.map((v) => ({
      us: v.us,
      text: `${v.invariant} ${v.anomaly}: ${v.detail}`,
      event: v.event,
      violation: true,
    }));
    for (const f of R.faults) all.push({ us: f.begin[0], event: f.begin[1], text: "fault: " + f.what });
    for (const l of R.leaderships) all.push({ us: l.begin[0], event: l.begin[1], text: leads(l) });
    return all.sort((a, b) => a.us - b.us);
  }
  function leads(l) {
    return (
      `${laneName(l.lane)} leads ${R.partitions[l.partition]} in epoch ${l.epoch}` +
      (l.end ? ` until ${seconds(l.end[0])}` : "")
    );
  }
  function names(list) {
    return "[" + list.map(laneName).join(", ") + "]";
  }
  function registered(r) {
    return (
      `${R.partitions[r.partition]}: leader ${r.leader === null ? "none" : laneName(r.leader)}, epoch ${r.leader_epoch}, ISR ${names(r.isr)} of ${names(r.replicas)}` +
      (r.elr.length ? `, ELR ${names(r.elr)}` : "") +
      `, partition epoch ${r.partition_epoch}`
    );
  }
  // What is under the pointer, as text; the rarest first.
  function find(px, py) {
    const width = pageWidth,
      us = view.from + ((px - spacetime.gutter()) / (width - spacetime.gutter())) * (view.to - view.from),
      near = (5 * (view.to - view.from)) / (width - spacetime.gutter());
    const lane = spacetime.laneAt(py),
      place = spacetime.lane(lane);
    for (const v of VIOLATIONS)
      if (Math.abs(v.us - us) < near)
        return [`${v.invariant} ${v.anomaly} at ${v.node || "the clients"}: ${v.detail}`, v.us, v.event];
    if (place && place.isNode && py > place.top + place.h - 25) {
      for (const r of R.registrations)
        if (
          r.partition === spacetime.show.partition &&
          (r.leader === null ? r.lane : r.leader) === lane &&
          Math.abs(r.at[0] - us) < near
        )
          return [registered(r), r.at[0], r.at[1]];
      const partition = py > place.top + place.h - 13 ? 0 : spacetime.show.partition;
      for (const l of R.leaderships)
        if (l.lane === lane && l.partition === partition && l.begin[0] <= us && us <= (l.end ? l.end[0] : END))
          return [leads(l), l.begin[0], l.begin[1]];
    }
    if (place)
      for (const p of R.processes)
        if (p.lane === lane && Math.abs(p.at[0] - us) < near && Math.abs(py - place.mid) < 7)
          return [
            `${laneName(lane)}: ${typeof p.what === "string" ? p.what : "failed: " + p.what.failed}`,
            p.at[0],
            p.at[1],
          ];
    const message = nearest(px, py, width);
    if (message) return message;
    for (const f of R.faults)
      if (
        (!f.lanes.length || f.lanes.includes(lane)) &&
        f.begin[0] - near <= us &&
        us <= (f.end ? f.end[0] : END) + near
      )
        return [
          `fault: ${f.what}` +
            (f.end && f.end[0] > f.begin[0] ? `, healed at ${seconds(f.end[0])}` : f.end ? "" : ", not healed"),
          f.begin[0],
          f.begin[1],
        ];
    return null;
  }
  function nearest(px, py, width) {
    let best = 6,
      found = -1;
    spacetime.each((i) => {
      if (
        M.got[i] < 0
          ? Math.abs(spacetime.x(M.sent[i], width) - px) > best
          : spacetime.x(M.sent[i], width) > px + best || spacetime.x(M.got[i], width) < px - best
      )
        return;
      const a = spacetime.lane(M.from[i]).mid,
        b = spacetime.lane(M.to[i]).mid;
      if (py < Math.min(a, b) - 4 || py > Math.max(a, b) + 4) return;
      const t = (py - a) / (b - a),
        at = M.got[i] < 0 ? spacetime.x(M.sent[i], width) : spacetime.x(M.sent[i] + (M.got[i] - M.sent[i]) * t, width),
        d = Math.abs(at - px);
      if (d < best) {
        best = d;
        found = i;
      }
    });
    return found < 0 ? null : [describe(found), M.sent[found], M.event[found]];
  }
  function describe(i) {
    const c = R.messages,
      name = R.apis[M.api[i]] || "unknown api";
    return (
      `${name} ${c.is_response[i] ? "response" : "request"} v${c.version[i]} #${c.correlation_id[i]}, ${laneName(M.from[i])} → ${laneName(M.to[i])}, ${grouped(c.sizes[i])} bytes, ` +
      (M.got[i] < 0 ? "never arrived" : `took ${took(M.got[i] - M.sent[i])}`)
    );
  }
  function inspect(found) {
    const out = byId("inspect");
    out.replaceChildren();
    if (!found) {
      out.append(
        "Point at or tap something to see what it is; Previous and Next go through faults, leaderships and violations.",
      );
      return;
    }
    out.append(found[0]);
    const when = document.createElement("div");
    when.className = "mono";
    when.textContent = `${seconds(found[1], 6)} · event ${found[2]}`;
    out.append(when);
  }
  // From where the last step led, or else from the middle of the view.
  function step(direction) {
    const middle = (view.from + view.to) / 2;
    if (cursor >= 0) cursor += direction;
    else
      cursor =
        direction > 0 ? marks.findIndex((mark) => mark.us > middle) : marks.findLastIndex((mark) => mark.us < middle);
    cursor = Math.min(Math.max(cursor, 0), marks.length - 1);
    const mark = marks[cursor];
    if (!mark) return;
    view.show(mark.us, Math.min(view.to - view.from, END / 8));
    inspect([mark.text, mark.us, mark.event]);
  }
  return { find, inspect, step };
})();
