"use strict";
// Shows the pictures. What it shows is loaded as scripts, as a page from disk may load nothing else; all text that comes
// from names goes into the page as text, never as markup.
const yolocliReport = (() => {
  const PAGE_TILES = 48;
  const NEAR = 5; // percent
  const NO_SCORE = 255;
  const FOUND = 0, NOTHING = 1, FAILED = 2;
  const PARTS_KEPT = 20;
  const SVG = "http://www.w3.org/2000/svg";
  const base = document.body.dataset.parts;
  const at = (id) => document.getElementById(id);

  let index = null;
  let least = 0;
  let view = "all";
  let on = null; // by class: whether it is shown
  let list = []; // positions of the images shown, in the order of the input
  let first = 0; // place in it of the first tile
  let current = 0; // place in it of the tile that Tab reaches
  let opened = -1; // place in it of the picture in the viewer
  let drawn = 0; // counts what was asked for, so that what comes late is dropped

  // What is loaded

  const parts = new Map(); // by number; the ones used last are last
  const arrived = new Map();

  function load(file) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${base}/${file}.js`;
      script.onload = () => { script.remove(); resolve(); };
      script.onerror = () => { script.remove(); reject(new Error(`${script.getAttribute("src")} cannot be loaded`)); };
      document.head.append(script);
    });
  }

  function part(number) {
    let found = parts.get(number);
    if (found === undefined) {
      found = load(`part-${String(number).padStart(4, "0")}`).then(() => {
        const records = arrived.get(number);
        arrived.delete(number);
        return records;
      });
      found.catch(() => parts.delete(number));
    }
    parts.delete(number);
    parts.set(number, found);
    while (parts.size > PARTS_KEPT) parts.delete(parts.keys().next().value);
    return found;
  }

  async function record(position) {
    let low = 0, high = index.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (index.starts[middle] <= position) low = middle; else high = middle - 1;
    }
    return (await part(low))[position - index.starts[low]];
  }

  function unpacked(text, kind) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const size = kind.BYTES_PER_ELEMENT;
    const values = new kind(bytes.length / size);
    for (let i = 0; i < values.length; i++) {
      let value = 0;
      for (let byte = size - 1; byte >= 0; byte--) value = value * 256 + bytes[i * size + byte];
      values[i] = value;
    }
    return values;
  }

  function complain(error) {
    at("trouble").textContent = `${error.message}. The folder “report” must lie beside this page.`;
    at("trouble").hidden = false;
  }

  // What is shown

  function matches(position) {
    if (view === "all") return true;
    if (view === "failed") return index.states[position] === FAILED;
    if (index.states[position] === FAILED) return false;
    const low = view === "near" ? least - NEAR : least;
    const high = view === "near" ? least + NEAR : NO_SCORE + 1;
    let found = false;
    for (let i = index.offsets[position]; i < index.offsets[position + 1] && !found; i++) {
      found = on[index.kinds[i]] && index.percents[i] >= low && index.percents[i] < high;
    }
    return view === "nothing" ? !found : found;
  }

  function isShown(thing) {
    if (!on[thing.kind]) return false;
    if (thing.score === undefined) return true;
    const percent = thing.score * 100 + 1e-6;
    if (view === "near") return percent >= least - NEAR;
    return percent >= least;
  }

  const isBelow = (thing) => thing.score !== undefined && thing.score * 100 + 1e-6 < least;
  const text = (thing) => thing.text ?? `${index.classes[thing.kind].name} ${thing.score.toFixed(2)}`;

  function filter() {
    list = [];
    for (let position = 0; position < index.images; position++) if (matches(position)) list.push(position);
    first = current = 0;
    at("least-shown").textContent = (least / 100).toFixed(2);
    at("slider").hidden = !index.scored;
    return render();
  }

  async function render(focus = false) {
    const ticket = ++drawn;
    const places = [];
    for (let place = first; place < Math.min(first + PAGE_TILES, list.length); place++) places.push(place);
    let records;
    try {
      records = await Promise.all(places.map((place) => record(list[place])));
    } catch (error) {
      complain(error);
      return;
    }
    if (ticket !== drawn) return;
    at("trouble").hidden = true;
    at("tiles").replaceChildren(...places.map((place, i) => tile(place, records[i])));
    tellWhere(places.length);
    if (focus) tileAt(current)?.focus();
  }

  function tellWhere(count) {
    const pages = Math.max(Math.ceil(list.length / PAGE_TILES), 1);
    const all = index.images.toLocaleString("en");
    at("status").textContent = list.length
      ? `${(first + 1).toLocaleString("en")} to ${(first + count).toLocaleString("en")} of ${list.length.toLocaleString("en")} image${list.length === 1 ? "" : "s"}`
        + (list.length < index.images ? `, ${all} in all` : "")
      : `None of ${all} images`;
    at("page").value = Math.floor(first / PAGE_TILES) + 1;
    at("page").max = pages;
    at("page-count").textContent = `of ${pages.toLocaleString("en")}`;
    at("page-back").disabled = first === 0;
    at("page-on").disabled = first + PAGE_TILES >= list.length;
  }

  function turn(page, focus = false) {
    const last = Math.max(Math.ceil(list.length / PAGE_TILES) - 1, 0);
    first = Math.min(Math.max(page, 0), last) * PAGE_TILES;
    if (current < first || current >= first + PAGE_TILES) current = first;
    return render(focus);
  }

  // Tiles

  function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key in made) made[key] = value; else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  function drawing(name, attributes, ...children) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function counted(things) {
    const counts = new Map();
    for (const thing of things) counts.set(thing.kind, (counts.get(thing.kind) ?? 0) + 1);
    const few = things.length === 1 || things.every((thing) => thing.text !== undefined || !thing.box);
    if (few) return things.slice(0, 2).map(text).join(", ");
    return [...counts].map(([kind, count]) => `${index.classes[kind].name}${count > 1 ? ` ×${count}` : ""}`).join(", ");
  }

  function tile(place, entry) {
    const things = (entry.things ?? []).filter(isShown);
    const what = entry.failed ? `failed: ${entry.failed[1]}` : counted(things) || "nothing found";
    const frame = element("span", { className: "frame" });
    if (entry.small) {
      frame.append(element("img", { loading: "lazy", decoding: "async", alt: "", src: entry.small }));
      frame.append(overlay(entry, things, false));
    } else {
      frame.append(element("span", { className: "why", textContent: entry.failed ? entry.failed[2] : entry.missing }));
    }
    const caption = element("span", { className: "caption" },
      called(entry.name),
      element("span", { className: "what", textContent: what, title: what }));
    const button = element("button", { type: "button", className: "tile", tabIndex: place === current ? 0 : -1 }, frame, caption);
    button.dataset.place = place;
    button.setAttribute("aria-label", `${entry.name}: ${entry.failed ? what : things.map(text).join(", ") || what}`);
    return element("li", {}, button);
  }

  function called(name) { // where there is little room, the end is what tells images apart
    const cut = name.lastIndexOf("/") + 1;
    return element("span", { className: "name", title: name },
      element("span", { className: "folder", textContent: name.slice(0, cut) }),
      element("span", { className: "base", textContent: name.slice(cut) }));
  }

  const tileAt = (place) => at("tiles").querySelector(`[data-place="${place}"]`);

  function overlay(entry, things, labels) {
    const { width, height } = entry;
    const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    for (const thing of [...things].reverse()) { // the surest on top
      const colour = index.classes[thing.kind].colour;
      const below = isBelow(thing) ? " below" : "";
      for (const shape of shapes(thing)) {
        const under = shape.cloneNode();
        under.setAttribute("class", "shape under");
        shape.setAttribute("class", `shape${below}${thing.rings && shape.tagName === "path" ? " filled" : ""}`);
        shape.setAttribute("stroke", colour);
        if (thing.rings) shape.setAttribute("fill", colour);
        svg.append(under, shape);
      }
      const dot = Math.max(width, height) / 200;
      for (let i = 0; i < (thing.points ?? []).length; i += 2) {
        svg.append(drawing("circle", { cx: thing.points[i], cy: thing.points[i + 1], r: dot, fill: colour, stroke: "#fff", "stroke-width": dot / 3 }));
      }
    }
    if (labels) for (const thing of things) if (thing.box) svg.append(label(thing, entry));
    return svg;
  }

  function shapes(thing) {
    const found = [];
    if (thing.rings) {
      const path = thing.rings.map((ring) => `M${pairs(ring).join("L")}Z`).join("");
      found.push(drawing("path", { d: path, "fill-rule": "evenodd" }));
    } else if (thing.box) {
      const [left, top, right, bottom] = thing.box;
      found.push(drawing("rect", { x: left, y: top, width: Math.max(right - left, 0), height: Math.max(bottom - top, 0) }));
    }
    for (const line of thing.lines ?? []) found.push(drawing("polyline", { points: pairs(line).join(" ") }));
    return found;
  }

  function pairs(values) {
    const found = [];
    for (let i = 0; i < values.length; i += 2) found.push(`${values[i]},${values[i + 1]}`);
    return found;
  }

  function label(thing, { width, height }) {
    const size = Math.max(width / at("viewer-figure").clientWidth, height / at("viewer-figure").clientHeight) * 14;
    const y = thing.box[1] > size * 1.4 ? thing.box[1] - size * 0.4 : thing.box[1] + size * 1.1;
    const x = Math.min(Math.max(thing.box[0], size * 0.2), width - size * 2);
    return drawing("text", { class: "label", x, y, "font-size": size, "stroke-width": size / 4 }, text(thing));
  }

  // The picture large

  async function open(place) {
    opened = current = place;
    try {
      const entry = await record(list[place]);
      if (opened !== place) return;
      if (!at("viewer").open) at("viewer").showModal();
      fill(entry, place);
    } catch (error) {
      complain(error);
    }
  }

  function fill(entry, place) {
    const things = (entry.things ?? []).filter(isShown);
    at("viewer-name").textContent = entry.name;
    at("viewer-place").textContent = `${(place + 1).toLocaleString("en")} of ${list.length.toLocaleString("en")}`
      + (entry.width ? ` · ${entry.width} × ${entry.height} pixels` : "");
    at("viewer-note").textContent = entry.failed ? `Failed in stage ${entry.failed[0]}: ${entry.failed[1]}. ${entry.failed[2]}` : entry.missing ?? "";
    const link = at("viewer-original");
    const leads = /^(file|https?):\/\//.test(entry.url);
    link.hidden = !leads;
    if (leads) link.href = entry.url; else link.removeAttribute("href");
    at("viewer-back").disabled = place === 0;
    at("viewer-on").disabled = place + 1 === list.length;
    at("viewer-things").replaceChildren(...things.map((thing) => element("li", { className: isBelow(thing) ? "below" : "" }, swatch(thing.kind), text(thing))));
    show(entry, things);
  }

  function show(entry, things) {
    const figure = at("viewer-figure");
    const unread = entry.missing || (entry.failed && ["discover", "read"].includes(entry.failed[0]));
    const loads = !entry.large && !unread && entry.url.startsWith("file:"); // nothing is asked of a network
    const sources = [entry.large, loads ? entry.url : "", entry.small].filter(Boolean);
    const picture = element("img", { alt: entry.name });
    const next = () => {
      if (sources.length) { picture.src = sources.shift(); return; }
      figure.replaceChildren(element("p", { className: "why", textContent: entry.missing ?? "No picture: the original is gone or not on this disk, or this browser cannot show it." }));
    };
    picture.onerror = () => {
      if (sources.length) at("viewer-note").textContent = "The original is gone, or this browser cannot show it: this is a small picture.";
      next();
    };
    figure.replaceChildren(picture);
    if (entry.width) figure.append(overlay(entry, things, true));
    next();
  }

  function step(by) {
    const place = opened + by;
    if (place >= 0 && place < list.length) open(place);
  }

  async function closed() {
    opened = -1;
    if (current < first || current >= first + PAGE_TILES) await turn(Math.floor(current / PAGE_TILES));
    reach(current);
  }

  function swatch(kind) {
    return drawing("svg", { class: "swatch", viewBox: "0 0 10 10", "aria-hidden": "true" },
      drawing("rect", { width: 10, height: 10, rx: 2, fill: index.classes[kind].colour }));
  }

  // Keys and controls

  function reach(place) {
    if (place < 0 || place >= list.length) return;
    const from = tileAt(current);
    current = place;
    if (place < first || place >= first + PAGE_TILES) { turn(Math.floor(place / PAGE_TILES), true); return; }
    if (from) from.tabIndex = -1;
    const to = tileAt(place);
    if (to) { to.tabIndex = 0; to.focus(); }
  }

  function columns() {
    return getComputedStyle(at("tiles")).gridTemplateColumns.split(" ").length;
  }

  function tileKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest(".tile")) return;
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() };
    let place = current;
    if (event.key in moves) place += moves[event.key];
    else if (event.key === "Home") place = first;
    else if (event.key === "End") place = Math.min(first + PAGE_TILES, list.length) - 1;
    else if (event.key === "PageUp") place = Math.max(first - PAGE_TILES, 0);
    else if (event.key === "PageDown") place = Math.min(first + PAGE_TILES, list.length - 1);
    else return;
    event.preventDefault();
    reach(place);
  }

  function choose(kinds) {
    on.fill(false);
    for (const kind of kinds) on[kind] = true;
    for (const box of at("class-list").querySelectorAll("input")) box.checked = on[box.value];
    return filter();
  }

  function setView(name) {
    view = name;
    at("controls").elements.view.value = name;
  }

  function classChips() {
    at("classes").hidden = index.classes.length < 2;
    at("class-list").replaceChildren(...index.classes.map(({ name }, kind) => {
      const box = element("input", { type: "checkbox", checked: true, value: kind });
      box.onchange = () => { on[kind] = box.checked; filter(); };
      const only = element("button", { type: "button", textContent: "only" });
      only.setAttribute("aria-label", `Only ${name}`);
      only.onclick = () => choose([kind]);
      return element("li", {}, element("label", {}, box, swatch(kind), name), only);
    }));
  }

  function lookAt(name, kinds) {
    setView(name);
    choose(kinds);
    at("pictures").scrollIntoView();
    at("controls").querySelector("input:checked").focus({ preventScroll: true });
  }

  function wire() {
    const controls = at("controls");
    controls.onsubmit = (event) => event.preventDefault();
    for (const radio of controls.elements.view) radio.onchange = () => { view = radio.value; filter(); };
    at("least").oninput = () => { least = Number(at("least").value); filter(); };
    at("classes-all").onclick = () => choose(index.classes.keys());
    at("classes-none").onclick = () => choose([]);
    at("page-back").onclick = () => turn(Math.floor(first / PAGE_TILES) - 1);
    at("page-on").onclick = () => turn(Math.floor(first / PAGE_TILES) + 1);
    at("page").onchange = () => turn((Number(at("page").value) || 1) - 1);
    at("tiles").onkeydown = tileKey;
    at("tiles").onclick = (event) => {
      const button = event.target.closest(".tile");
      if (button) { reach(Number(button.dataset.place)); open(Number(button.dataset.place)); }
    };
    const viewer = at("viewer");
    viewer.onclose = closed;
    viewer.onclick = (event) => { if (event.target === viewer) viewer.close(); };
    viewer.onkeydown = (event) => {
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") { event.preventDefault(); step(event.key === "ArrowLeft" ? -1 : 1); }
    };
    at("viewer-close").onclick = () => viewer.close();
    at("viewer-back").onclick = () => step(-1);
    at("viewer-on").onclick = () => step(1);
    for (const button of document.querySelectorAll(".show-class")) button.onclick = () => lookAt("found", [Number(button.dataset.class)]);
    const failed = at("show-failed");
    if (failed) { failed.hidden = false; failed.onclick = () => lookAt("failed", index.classes.keys()); }
    const fold = at("fold-classes");
    if (fold) {
      const more = at("more-classes");
      more.hidden = true;
      fold.hidden = false;
      fold.setAttribute("aria-expanded", "false");
      fold.onclick = () => { more.hidden = false; fold.setAttribute("aria-expanded", "true"); fold.hidden = true; };
    }
  }

  async function start() {
    index.states = unpacked(index.states, Uint8Array);
    index.starts = unpacked(index.starts, Uint32Array);
    index.kinds = unpacked(index.kinds, Uint16Array);
    index.percents = unpacked(index.percents, Uint8Array);
    index.scored = index.percents.some((percent) => percent !== NO_SCORE);
    const counts = unpacked(index.counts, Uint32Array);
    index.offsets = new Uint32Array(counts.length + 1);
    counts.forEach((count, position) => { index.offsets[position + 1] = index.offsets[position] + count; });
    on = new Array(index.classes.length).fill(true);
    least = index.least;
    at("least").min = at("least").value = least;
    classChips();
    setView(index.states.includes(FOUND) ? "found" : index.states.includes(NOTHING) ? "nothing" : "all");
    wire();
    at("controls").hidden = at("pages").hidden = false;
    await filter();
    document.body.dataset.ready = "true";
  }

  load("index").then(start).catch(complain);

  return {
    index: (content) => { index = content; },
    part: (number, records) => { arrived.set(number, records); },
  };
})();
