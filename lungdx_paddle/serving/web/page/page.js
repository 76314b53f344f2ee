// One CT: sent, looked through, clicked, corrected, closed.

import { about, card } from "./cards.js";
import { listen } from "./input.js";
import * as server from "./server.js";
import { View, circle, distance_mm } from "./view.js";

const KEPT_SLICES = 120; // pictures in the browser's memory, 1 MB each
const AHEAD = 3; // slices that are fetched before they are looked at
const NEAR = 4; // zoom at which a nodule is looked at
const RADIUS_MM = 5; // of a circle that no drag has given
const HINTS = {
  find: "Click a nodule: its outline is looked for. Drag to move the picture.",
  circle: "Drag from a nodule's middle outwards: it is taken for a ball, on all slices that it reaches.",
  draw: "Draw around the nodule on this slice: that replaces its outline here; other slices keep theirs.",
};

const BESIDE = matchMedia("(min-width: 761px)"); // as in viewer.css

const $ = (id) => document.getElementById(id);
const view = new View($("slice"));
let model = null;
let scan = null; // {path, series: [], number, index, window}
let nodules = []; // {finding, before, crop}
let chosen = null; // a nodule's number
let tool = "find";
let radius_mm = RADIUS_MM;
let busy = 0;

function tell(text, isBad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", isBad);
}

// Run something that may fail; a failure is a sentence on the page.
async function attempt(text, work) {
  busy += 1;
  tell(text);
  try {
    const found = await work();
    if (busy === 1) tell("");
    return found;
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message, true);
    return null;
  } finally {
    busy -= 1;
  }
}

// ---- slices

const pictures = new Map(); // key -> promise of an ImageBitmap, the last used at the end
let looking = 0;

function picture(index) {
  const [center, width] = scan.window;
  const path = `${scan.path}/series/${scan.number}/slices/${index}.png?center=${center}&width=${width}`;
  const found = pictures.get(path) || server.picture(path);
  pictures.delete(path);
  pictures.set(path, found);
  found.catch(() => pictures.delete(path));
  if (pictures.size > KEPT_SLICES) {
    const [oldest, image] = pictures.entries().next().value;
    pictures.delete(oldest);
    image.then((bitmap) => bitmap !== view.image && bitmap.close(), () => {});
  }
  return found;
}

async function look() {
  const mine = ++looking;
  const { series, index } = scan;
  corners();
  overlay();
  try {
    const image = await picture(index);
    if (mine !== looking || !scan) return;
    view.image = image;
    overlay();
    for (let k = 1; k <= AHEAD; k += 1) {
      for (const next of [index - k, index + k]) {
        if (next >= 0 && next < series[scan.number].slices) picture(next).catch(() => {});
      }
    }
  } catch (error) {
    if (mine === looking) tell(error.message, true);
  }
}

function corners() {
  const series = scan.series[scan.number];
  const { index } = scan;
  const instance = series.instances[index] ? `\nimage ${series.instances[index]} (InstanceNumber)` : "";
  $("place").textContent = `slice ${index + 1} of ${series.slices}${instance}\nz ${series.z_mm[index].toFixed(1)} mm`;
  $("shown").textContent = `C ${scan.window[0]} W ${scan.window[1]} HU\n${series.columns} × ${series.rows}, ${series.spacing_mm[2].toFixed(2)} mm`;
  for (const side of ["left", "right", "top", "bottom"]) $(side).textContent = series.sides[side];
  $("index").value = index;
  $("index").setAttribute("aria-valuetext", `slice ${index + 1} of ${series.slices}`);
  $("number").textContent = `${index + 1} of ${series.slices}`;
}

function overlay() {
  view.outlines = nodules.filter(({ number }) => number === scan.number).map(({ finding }) => ({
    polygons: finding.outlines[scan.index] || [],
    chosen: finding.nodule === chosen,
    label: String(finding.nodule),
  }));
  view.draw();
}

function scroll(slices) {
  const last = scan.series[scan.number].slices - 1;
  const index = Math.min(last, Math.max(0, scan.index + slices));
  if (index !== scan.index) {
    scan.index = index;
    look();
  }
}

function setWindow(center, width) {
  scan.window = [Math.round(center), Math.max(1, Math.round(width))];
  [$("center").value, $("width").value] = scan.window;
  for (const button of document.querySelectorAll(".window")) {
    button.setAttribute("aria-pressed", String(button.dataset.window === scan.window.join(",")));
  }
  look();
}

// ---- nodules

function list() {
  $("findings").replaceChildren(...nodules.map((nodule) =>
    card(nodule, nodule.finding.nodule === chosen, model, (what) =>
      ({ go: () => goTo(nodule), zoom: () => goTo(nodule, NEAR), remove: () => remove(nodule) })[what]())));
  $("none").hidden = nodules.length > 0;
  $("save").hidden = !nodules.length;
  overlay();
}

function choose(number) {
  chosen = number;
  list();
  // On a phone the cards are below the picture, which shall stay in sight.
  if (BESIDE.matches) document.querySelector("li.chosen")?.scrollIntoView({ block: "nearest" });
}

function goTo(nodule, zoom = view.zoom) {
  if (nodule.number !== scan.number) openSeries(nodule.number);
  const [x, y, index] = nodule.finding.place_px;
  [view.cross, scan.index] = [null, index];
  if (zoom > 1) view.show([x, y], zoom);
  choose(nodule.finding.nodule);
  look();
}

async function remove(nodule) {
  await attempt("", () => server.remove(`${scan.path}/findings/${nodule.finding.nodule}`));
  nodules = nodules.filter((other) => other !== nodule);
  choose(nodules.at(-1)?.finding.nodule ?? null);
}

const cropOf = (finding, turn) => `${scan.path}/findings/${finding.nodule}/crop.png?${turn}`;

async function find(mark) {
  const { path, number } = scan;
  const finding = await attempt("looking for the nodule …", () =>
    server.json(`${path}/series/${number}/findings`, mark));
  if (!finding || scan?.path !== path) return;
  nodules.push({ finding, before: null, crop: cropOf(finding, 0), number, turn: 0 });
  choose(finding.nodule);
}

async function correct(mark) {
  const nodule = nodules.find(({ finding }) => finding.nodule === chosen);
  if (!nodule || nodule.number !== scan.number) return find(mark);
  const finding = await attempt("reading the new outline …", () =>
    server.json(`${scan.path}/findings/${chosen}`, mark, "PUT"));
  if (!finding) return undefined;
  nodule.before ||= nodule.finding;
  nodule.turn += 1;
  Object.assign(nodule, { finding, crop: cropOf(finding, nodule.turn) });
  return choose(finding.nodule);
}

const placeOf = ([x, y]) => [Math.max(0, x), Math.max(0, y), scan.index];

function act(at) { // a click, or Enter at the cross
  if (!view.contains(at)) return;
  if (tool === "circle") putCircle(at);
  else if (tool === "find") find({ point: placeOf(at) });
}

function putCircle(at) {
  const near = nodules.find(({ finding }) => finding.nodule === chosen && finding.outlines[scan.index]);
  const mark = { ball: { place: placeOf(at), radius_mm } };
  if (near) correct(mark); else find(mark);
}

function draw(kind, points) {
  const { spacing_mm } = scan.series[scan.number];
  if (kind === "circle") radius_mm = Math.max(0.5, distance_mm(...points, spacing_mm));
  view.drawing = kind === "circle" ? [circle(points[0], radius_mm, spacing_mm)] : kind ? [points] : [];
  view.draw();
}

async function drawn(kind, points) {
  const { columns, rows } = scan.series[scan.number];
  const inside = points.map(([x, y]) => [Math.min(columns - 1, Math.max(0, x)), Math.min(rows - 1, Math.max(0, y))]);
  if (kind === "circle") putCircle(inside[0]);
  else correct({ outlines: { [scan.index]: [inside] } });
  draw(null);
}

function setTool(name) {
  tool = name;
  $("hint").textContent = HINTS[name];
  for (const button of document.querySelectorAll(".tool")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  }
}

function resizeCircle(factor) {
  radius_mm = Math.min(100, Math.max(0.5, radius_mm * factor));
  tell(`circle of ${(2 * radius_mm).toFixed(1)} mm; Enter puts it at the cross`);
  if (view.cross) draw("circle", [view.cross, [view.cross[0] + radius_mm / scan.series[scan.number].spacing_mm[2], view.cross[1]]]);
}

// ---- keys

const KEYS = {
  PageUp: () => scroll(10), PageDown: () => scroll(-10), Home: () => scroll(Infinity), End: () => scroll(-Infinity),
  "+": () => view.zoomAt(1.25, view.cross || undefined), "=": () => view.zoomAt(1.25, view.cross || undefined),
  "-": () => view.zoomAt(0.8, view.cross || undefined), 0: () => view.fit(),
  f: () => setTool("find"), c: () => setTool("circle"), d: () => setTool("draw"),
  "[": () => resizeCircle(1 / 1.15), "]": () => resizeCircle(1.15),
  h: () => { view.showsOutlines = !view.showsOutlines; view.draw(); },
  n: () => nodules.length && goTo(nodules[(nodules.findIndex(({ finding }) => finding.nodule === chosen) + 1) % nodules.length]),
  Enter: () => { if (view.cross) act(view.cross); },
  Backspace: () => { if (chosen) correct({ outlines: { [scan.index]: [] } }); },
  Delete: () => { const one = nodules.find(({ finding }) => finding.nodule === chosen); if (one) remove(one); },
  Escape: () => { view.cross = null; draw(null); tell(""); },
};

listen(view, {
  scroll, click: act, draw: (...drawing) => scan && draw(...drawing), drawn,
  tool: () => tool,
  window: (dx, dy) => setWindow(scan.window[0] + 2 * dy, scan.window[1] + 4 * dx),
  cross: (dx, dy) => {
    const { columns, rows } = scan.series[scan.number];
    const [x, y] = view.cross || view.middle;
    view.cross = [Math.min(columns - 1, Math.max(0, Math.round(x + dx))), Math.min(rows - 1, Math.max(0, Math.round(y + dy)))];
    if (tool === "circle") resizeCircle(1); else view.draw();
  },
  key: (key) => {
    const preset = document.querySelector(`.window[data-key="${key}"]`);
    const work = KEYS[key.length === 1 ? key.toLowerCase() : key];
    if (preset) preset.click();
    else if (work) work();
    return Boolean(preset || work);
  },
});

// ---- opening and closing

async function open(files) {
  const some = [...files].filter((file) => !file.name.startsWith("."));
  await ready;
  if (!some.length || !model) return;
  const bytes = some.reduce((sum, file) => sum + file.size, 0);
  if (bytes > model.upload_bytes) {
    tell(`up to ${model.upload_bytes >> 20} MiB can be sent, these are ${Math.ceil(bytes / 2 ** 20)}: choose one CT`, true);
    return;
  }
  $("progress").hidden = false;
  const found = await attempt("sending …", () => server.upload("scans", some, (part) => {
    $("progress").value = part;
    if (part === 1) tell("reading the CT …");
  }));
  $("progress").hidden = true;
  if (!found) return;
  scan = { path: `scans/${found.scan}`, series: found.series, number: 0, index: 0, window: [model.window.center, model.window.width] };
  for (const id of ["slice", "corners", "controls", "close", "keys"]) $(id).hidden = false;
  $("drop").hidden = true;
  $("about").open = false;
  $("series").replaceChildren(...found.series.map((one, k) =>
    new Option(`${one.slices} slices, ${one.spacing_mm[0].toFixed(2)} mm apart (UID …${one.series_uid.slice(-8)})`, k)));
  $("several").hidden = found.series.length < 2;
  openSeries(0);
  list();
  $("slice").focus();
}

function openSeries(number) {
  const series = scan.series[number];
  Object.assign(scan, { number, index: series.slices >> 1 });
  $("series").value = number;
  for (const [id, name] of [["report", "report.html"], ["sr", "report.dcm"], ["seg", "outlines.dcm"]]) {
    $(id).href = `${scan.path}/series/${number}/${name}`;
  }
  $("index").max = series.slices - 1;
  $("doubts").replaceChildren(...series.warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  view.open(series);
  setWindow(...scan.window);
}

function close() {
  if (!scan) return;
  server.remove(scan.path).catch(() => {});
  scan = chosen = view.series = view.image = null;
  nodules = [];
  pictures.clear();
  for (const id of ["slice", "corners", "controls", "close", "keys", "save", "none"]) $(id).hidden = true;
  $("findings").replaceChildren();
  $("drop").hidden = false;
  tell("");
}

async function save(event) {
  event.preventDefault();
  const link = event.currentTarget;
  const blob = await attempt("writing …", () => server.file(link.href));
  if (!blob) return;
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: link.href.split("/").pop() }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

for (const id of ["files", "folder"]) $(id).addEventListener("change", (event) => open(event.target.files));
for (const id of ["report", "sr", "seg"]) $(id).addEventListener("click", save);
$("close").addEventListener("click", close);
$("index").addEventListener("input", (event) => scroll(Number(event.target.value) - scan.index));
$("series").addEventListener("change", (event) => openSeries(Number(event.target.value)));
for (const id of ["center", "width"]) {
  $(id).addEventListener("change", () => setWindow(Number($("center").value), Number($("width").value)));
}
for (const button of document.querySelectorAll(".window")) {
  button.addEventListener("click", () => setWindow(...button.dataset.window.split(",").map(Number)));
}
for (const button of document.querySelectorAll(".tool")) {
  button.addEventListener("click", () => setTool(button.dataset.tool));
}
$("in").addEventListener("click", () => view.zoomAt(1.4));
$("out").addEventListener("click", () => view.zoomAt(1 / 1.4));
$("fit").addEventListener("click", () => view.fit());

const stage = $("stage");
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
  });
}
stage.addEventListener("drop", async (event) => {
  const files = await server.dropped(event.dataTransfer);
  close();
  open(files);
});
window.addEventListener("pagehide", () => scan && server.remove(scan.path).catch(() => {}));
window.addEventListener("pageshow", (event) => event.persisted && close()); // back again: it is gone

setTool("find");
const ready = attempt("", async () => {
  model = await server.json("model");
  $("model").textContent = `model ${model.name}`;
  const own = [model.window.center, model.window.width].map(Math.round).join(",");
  document.querySelector('.window[data-key="1"]').dataset.window = own;
  $("about").querySelector("div").append(...about(model));
});
