"use strict";
(() => {
  const { charts, browser } = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);
  const style = () => getComputedStyle(document.documentElement);
  const trajectories = browser.trajectories;

  /* ---- charts ---- */

  const color = (name) => style().getPropertyValue(name).trim();
  const themed = (value) => {
    if (typeof value === "string") return value.startsWith("--") ? color(value) : value;
    if (Array.isArray(value)) return value.map(themed);
    if (value === null || typeof value !== "object") return value;
    // rows come from the corpus: they stay as they are
    const inside = ([key, part]) => [key, key === "values" ? part : themed(part)];
    return Object.fromEntries(Object.entries(value).map(inside));
  };
  const config = () => ({
    background: "transparent",
    font: getComputedStyle(document.body).fontFamily,
    view: { stroke: null },
    padding: 2,
    axis: {
      labelColor: color("--soft"), titleColor: color("--soft"), titleFontWeight: 400,
      gridColor: color("--line"), domainColor: color("--line"), tickColor: color("--line"),
      labelFontSize: 11, titleFontSize: 11, tickSize: 3, labelOverlap: true,
    },
    title: { color: color("--soft"), fontSize: 11, fontWeight: 400 },
    range: { category: color("--series").split(",").map((part) => part.trim()) },
  });
  const options = () => ({
    actions: false, renderer: "svg", ast: true, config: config(), tooltip: { theme: "custom" },
  });
  const drawn = new Map();

  const draw = async (place) => {
    const name = place.dataset.chart;
    const spec = themed(charts[name].spec);
    if (name === "signals") {
      const width = Math.max(120, place.clientWidth - 52);
      for (const part of spec.vconcat) part.width = width;
    }
    drawn.get(name)?.finalize();
    const result = await vegaEmbed(place, spec, options());
    drawn.set(name, result);
    place.dataset.drawn = "yes";
    if (name === "order") {
      result.view.addEventListener("click", (event, item) => item?.datum?.id && open(item.datum.id));
    }
    if (name === "signals") {
      result.view.addEventListener("mousemove", (event) => follow(event, result.view));
      await show();
    }
  };
  const drawAll = async () => {
    for (const place of document.querySelectorAll("[data-chart]")) await draw(place);
    document.documentElement.dataset.ready = "yes";
  };

  /* ---- the list of trajectories ---- */

  const list = element("list");
  let visible = [];
  let chosen = null;

  const orders = {
    place: (a, b) => a.place - b.place,
    high: (a, b) => (b.return ?? -Infinity) - (a.return ?? -Infinity) || a.place - b.place,
    low: (a, b) => (a.return ?? Infinity) - (b.return ?? Infinity) || a.place - b.place,
    length: (a, b) => b.length - a.length || a.place - b.place,
  };
  const text = (tag, name, content) => {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = content;
    return made;
  };
  const earned = (one) => one.return === null ? "no rewards" : `return ${one.return.toFixed(1)}`;
  const row = (one) => {
    const made = document.createElement("div");
    made.id = `row-${one.id}`;
    made.setAttribute("role", "option");
    const swatch = text("span", "swatch", "");
    swatch.style.background = `var(--${one.state})`;
    made.append(
      swatch,
      text("span", "place", `#${one.place}`),
      text("span", "film", one.clip ? "▶ clip" : ""),
      text("span", "return", one.return === null ? "–" : one.return.toFixed(1)),
    );
    const label = `trajectory ${one.place}, ${earned(one)}, actions ${one.state}`;
    made.setAttribute("aria-label", label + (one.clip ? ", with clip" : ""));
    made.addEventListener("click", () => choose(one));
    return made;
  };
  const refresh = () => {
    const state = element("state").value, group = element("group").value;
    const search = element("search").value.trim().toLowerCase();
    visible = trajectories
      .filter((one) => !state || one.state === state)
      .filter((one) => !group || one.group === group)
      .filter((one) => one.id.toLowerCase().includes(search))
      .sort(orders[element("sort").value]);
    list.replaceChildren(...visible.map(row));
    element("count").textContent = `${visible.length} of ${trajectories.length}`;
    if (visible.length && !visible.includes(chosen)) choose(visible[0]);
    else mark();
  };
  const mark = () => {
    for (const made of list.children) {
      made.setAttribute("aria-selected", String(made.id === `row-${chosen?.id}`));
    }
    const here = element(`row-${chosen?.id}`);
    if (!here) return list.removeAttribute("aria-activedescendant");
    list.setAttribute("aria-activedescendant", here.id);
    // only the list scrolls, never the page
    const top = here.offsetTop - list.offsetTop - 1;
    if (top < list.scrollTop) list.scrollTop = top;
    const below = top + here.offsetHeight - list.clientHeight;
    if (below > list.scrollTop) list.scrollTop = below;
  };
  const move = (by) => {
    if (!visible.length) return;
    const at = visible.indexOf(chosen) + by;
    choose(visible[Math.min(Math.max(at, 0), visible.length - 1)]);
  };
  const open = (id) => {
    const found = trajectories.find((one) => one.id === id);
    if (!found) return;
    if (!visible.includes(found)) {
      for (const name of ["state", "group", "search"]) element(name).value = "";
      refresh();
    }
    choose(found);
    element("browser").scrollIntoView();
    list.focus({ preventScroll: true });
  };

  const keys = {
    ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10,
    End: Infinity, Home: -Infinity,
  };
  element("browser").addEventListener("keydown", (event) => {
    const own = event.target.closest("input, select, video");
    if (own || !(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(keys[event.key]);
  });
  element("previous").addEventListener("click", () => move(-1));
  element("next").addEventListener("click", () => move(1));
  for (const name of ["sort", "state", "group", "search"]) {
    element(name).addEventListener("input", refresh);
  }
  document.querySelector(".controls").addEventListener("submit", (e) => e.preventDefault());

  /* ---- the chosen trajectory ---- */

  const video = element("clip"), slider = element("time"), button = element("play");

  const choose = (one) => {
    chosen = one;
    mark();
    const end = one.end ? `, ${one.end}` : "";
    const told = [
      `Trajectory ${one.place}`, earned(one), `${one.length} steps${end}`,
      `actions ${one.state}`, one.group,
    ];
    if (one.seed !== null) told.push(`seed ${one.seed}`);
    if (one.agent_step !== null) told.push(`agent step ${one.agent_step.toLocaleString("en")}`);
    element("told").replaceChildren(`${told.join(" · ")} `, text("code", "", one.id));
    video.hidden = button.hidden = !one.clip;
    video.pause();
    if (one.clip) video.src = one.clip.video;
    else video.removeAttribute("src");
    slider.max = one.length;
    slider.value = 0;
    show();
  };

  /* numbers of a trajectory: rows × signals in 16 bits between low and high */
  const unpack = (one) => {
    const bytes = Uint8Array.from(atob(one.data), (letter) => letter.charCodeAt(0));
    const codes = new DataView(bytes.buffer), width = browser.low.length;
    const number = (i, d) => {
      const code = codes.getUint16(2 * (i * width + d), true);
      const span = browser.high[d] - browser.low[d];
      return code === 65535 ? null : browser.low[d] + (code / 65534) * span;
    };
    return { rows: bytes.length / 2 / width, number };
  };
  const panelData = (one) => {
    const { rows, number } = unpack(one);
    const found = [];
    let first = 0;
    for (const panel of browser.panels) {
      const points = [];
      panel.names.forEach((name, d) => {
        let run = 0;
        for (let i = 0; i < rows; i++) {
          const t = i * one.stride, v = number(i, first + d);
          while (run < one.runs.length - 1 && t >= one.runs[run][2]) run++;
          if (v !== null) points.push({ t, v, name, run, state: one.runs[run][0] });
        }
      });
      found.push(points);
      first += panel.names.length;
    }
    return found;
  };
  const show = async () => {
    const view = drawn.get("signals")?.view;
    if (!view || !chosen) return;
    panelData(chosen).forEach((points, i) => view.data(`panel${i}`, points));
    const runs = chosen.runs.map(([state, from, to]) => ({ state, from, to }));
    view.data("runs", runs);
    await go(Number(slider.value));
    element("signals").dataset.shown = chosen.id;
  };

  /* ---- time: slider, clip and cursor go together ---- */

  const go = async (step) => {
    const stride = chosen.stride;
    const snapped = Math.min(Math.round(step / stride) * stride, Math.floor(chosen.length / stride) * stride);
    slider.value = step;
    element("now").textContent = `${Math.round(step)} of ${chosen.length}`;
    await drawn.get("signals")?.view.signal("time", snapped).runAsync();
  };
  const frames = () => chosen.clip.rows;
  const seek = (step) => {
    if (!chosen.clip || !video.duration) return;
    const rows = frames();
    let i = rows.findIndex((row) => row >= step);
    if (i < 0) i = rows.length - 1;
    video.pause();
    video.currentTime = ((i + 0.5) / rows.length) * video.duration;
  };
  const follow = (event, view) => {
    const x = view.scale("x");
    const place = element("signals").querySelector("svg").getBoundingClientRect();
    const step = Math.round(x.invert(event.clientX - place.left - view.origin()[0] - view.padding().left));
    if (step < 0 || step > chosen.length || event.buttons || !video.paused) return;
    go(step);
    seek(step);
  };
  slider.addEventListener("input", () => { go(Number(slider.value)); seek(Number(slider.value)); });
  const play = () => {
    if (video.paused || !chosen.clip) return;
    const rows = frames();
    const i = Math.min(Math.floor((video.currentTime / video.duration) * rows.length), rows.length - 1);
    go(rows[i] ?? 0);
    requestAnimationFrame(play);
  };
  const toggle = () => (video.paused ? video.play() : video.pause());
  button.addEventListener("click", toggle);
  video.addEventListener("click", toggle);
  video.addEventListener("play", () => { button.textContent = "Pause"; play(); });
  video.addEventListener("pause", () => { button.textContent = "Play"; });
  // browsers show the first frame only after a seek, which would stop what plays already
  video.addEventListener("loadedmetadata", () => { if (video.paused) seek(Number(slider.value)); });

  /* ---- start ---- */

  for (const state of new Set(trajectories.map((one) => one.state))) {
    element("state").append(new Option(state, state));
  }
  const filmed = trajectories.filter((one) => one.clip).sort(orders.high);
  chosen = filmed[0] ?? null;
  refresh();
  if (chosen) choose(chosen);
  // one after the other: two drawings of one chart at a time would end in either order
  let queue = Promise.resolve();
  const later = (work) => { queue = queue.then(work); };
  later(drawAll);
  let width = innerWidth, timer = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // on phones the height changes while scrolling
    width = innerWidth;
    clearTimeout(timer);
    timer = setTimeout(() => later(() => draw(element("signals"))), 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => later(drawAll));
})();
