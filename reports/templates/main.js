// Controls, keyboard, pointer and wheel.

(() => {
  const canvas = spacetime.canvas,
    show = spacetime.show;
  const option = (value, text) => {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = text;
    return made;
  };
  const toggle = (box, text, colour, change) => {
    const made = document.createElement("button");
    made.type = "button";
    made.setAttribute("aria-pressed", "true");
    if (colour) {
      const key = document.createElement("i");
      key.className = "key";
      key.style.color = `var(--${colour})`;
      made.append(key);
    }
    made.append(text);
    made.addEventListener("click", () => {
      const on = made.getAttribute("aria-pressed") !== "true";
      made.setAttribute("aria-pressed", String(on));
      change(on);
      spacetime.filter();
    });
    box.append(made);
  };

  KINDS.forEach((kind, k) => {
    if (M.kind.includes(k)) toggle(byId("kinds"), kind, kind, (on) => (show.kinds[k] = on));
  });
  toggle(byId("kinds"), "never arrived", "violated", (on) => (show.lost = on));
  R.lanes.forEach((lane, i) => toggle(byId("hosts"), lane.name, "", (on) => (show.lanes[i] = on)));
  const api = byId("api");
  api.append(option(-1, "every API"));
  Object.entries(R.apis)
    .sort((a, b) => a[1].localeCompare(b[1]))
    .forEach(([key, name]) => api.append(option(key, name)));
  api.addEventListener("change", () => {
    show.api = Number(api.value);
    spacetime.filter();
  });

  // The partition that a violation names, else the first that clients use.
  const named = R.partitions.findIndex((name) => VIOLATIONS.some((v) => v.detail.includes(name)));
  const used = R.partitions.findIndex((name) => !name.startsWith("__"));
  show.partition = named >= 0 ? named : Math.max(used, 0);
  const choosers = document.querySelectorAll("select.partition");
  choosers.forEach((select) => {
    [...R.partitions.keys()]
      .sort((a, b) => R.partitions[a].localeCompare(R.partitions[b], "en", { numeric: true }))
      .forEach((i) => select.append(option(i, R.partitions[i])));
    select.value = show.partition;
    select.addEventListener("change", () => {
      show.partition = Number(select.value);
      choosers.forEach((other) => (other.value = select.value));
      logs.draw();
      redraw();
    });
  });
  byId("series").addEventListener("change", (event) => plots.showing(event.target.value));
  R.snapshots.forEach((snapshot, i) => {
    const found = VIOLATIONS.find((v) => v.event === snapshot.at[1]),
      last = i === R.snapshots.length - 1;
    byId("snapshot").append(
      option(i, (found ? found.invariant + " at " : last ? "end of the run, " : "") + seconds(snapshot.at[0])),
    );
  });
  byId("snapshot").value = 0;
  byId("snapshot").addEventListener("change", logs.draw);

  const centre = () => (view.from + view.to) / 2,
    span = () => view.to - view.from;
  const actions = {
    in: () => view.zoom(centre(), 0.5),
    out: () => view.zoom(centre(), 2),
    all: () => view.set(0, END),
    next: () => finder.step(1),
    previous: () => finder.step(-1),
    violation: () => {
      if (VIOLATIONS[0]) view.show(VIOLATIONS[0].us, Math.min(END, 2e6));
    },
  };
  document
    .querySelectorAll("button[data-do]")
    .forEach((button) => button.addEventListener("click", actions[button.dataset.do]));
  document.querySelectorAll("button[data-us]").forEach((button) =>
    button.addEventListener("click", () => {
      view.show(Number(button.dataset.us), Math.min(END, 1e6));
      canvas.focus({ preventScroll: true });
      byId("spacetime").scrollIntoView({ behavior: "smooth" });
    }),
  );

  canvas.addEventListener("keydown", (event) => {
    const keys = {
      ArrowLeft: () => view.pan(-span() / 8),
      ArrowRight: () => view.pan(span() / 8),
      "+": actions.in,
      "=": actions.in,
      "-": actions.out,
      0: actions.all,
      Home: () => view.set(0, span()),
      End: () => view.set(END - span(), END),
      n: actions.next,
      p: actions.previous,
      v: actions.violation,
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  function usAt(clientX) {
    const box = canvas.getBoundingClientRect(),
      gutter = spacetime.gutter();
    return view.from + ((clientX - box.left - gutter) / (box.width - gutter)) * span();
  }
  function wheel(event) {
    // Without Ctrl the page scrolls, unless the diagram has been taken hold of.
    const zooms =
      event.ctrlKey ||
      event.metaKey ||
      (document.activeElement === canvas && Math.abs(event.deltaY) > Math.abs(event.deltaX));
    if (zooms) {
      event.preventDefault();
      view.zoom(usAt(event.clientX), Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.006));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      view.pan((event.deltaX / canvas.clientWidth) * span());
    }
  }
  canvas.addEventListener("wheel", wheel, { passive: false });

  // One pointer drags the view, two pinch it.
  const pointers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event.clientX);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) {
      if (event.pointerType === "mouse") {
        const box = canvas.getBoundingClientRect();
        finder.inspect(finder.find(event.clientX - box.left, event.clientY - box.top));
      }
      return;
    }
    const before = pointers.get(event.pointerId),
      other = [...pointers].find(([id]) => id !== event.pointerId);
    pointers.set(event.pointerId, event.clientX);
    if (!other) {
      view.pan((-(event.clientX - before) / (canvas.clientWidth - spacetime.gutter())) * span());
      return;
    }
    const was = Math.abs(before - other[1]),
      now = Math.abs(event.clientX - other[1]);
    if (was > 4 && now > 4) view.zoom(usAt((event.clientX + other[1]) / 2), was / now);
  });
  const release = (event) => pointers.delete(event.pointerId);
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    finder.inspect(finder.find(event.clientX - box.left, event.clientY - box.top));
  });
  canvas.addEventListener("dblclick", (event) => view.zoom(usAt(event.clientX), 0.4));

  const overview = byId("overview");
  const move = (event) => {
    const box = overview.getBoundingClientRect(),
      gutter = spacetime.gutter();
    view.show(((event.clientX - box.left - gutter) / (box.width - gutter)) * END, span());
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    if (span() > END * 0.9) view.show(centre(), END / 5);
    move(event);
  });
  overview.addEventListener("pointermove", (event) => {
    if (event.buttons) move(event);
  });

  view.listeners.push(spacetime.draw, plots.draw);
  // Only for a change of width: what opens below another part changes the height.
  new ResizeObserver(() => {
    const before = pageWidth;
    measure();
    if (pageWidth !== before) {
      redraw();
      logs.draw();
    }
  }).observe(document.querySelector("main"));
  measure();
  spacetime.filter();
  finder.inspect(null);
  logs.draw();
  if (VIOLATIONS.length) view.show(VIOLATIONS[0].us, Math.min(END, 2e6));
  else view.set(0, END);
})();
