/* The page of a watch service: asks /api/streams once a second, listens to /api/live, draws. Texts that come from streams are
 * only ever put in as text. */
"use strict";

const byId = id => document.getElementById(id);

function make(tag, parts = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(parts)) {
    if (key === "text") node.textContent = value;
    else if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function makeSvg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

/* ---- streams ---- */

const cards = new Map(); /* name -> what is shown of it */
let streams = [];

function newCard(name) {
  const card = { root: make("article", { class: "stream" }), rows: new Map(), signals: "" };
  card.title = make("span", { text: name });
  card.state = make("span", { class: "state" });
  card.image = make("img", { alt: "" });
  card.svg = makeSvg("svg", { preserveAspectRatio: "none" });
  card.view = make("div", { class: "view" }, card.image, card.svg);
  card.facts = make("p", { class: "facts" });
  card.error = make("p", { class: "facts error" });
  card.table = make("tbody");
  const edit = make("button", { type: "button", text: "Edit regions", onclick: () => openEditor(name) });
  card.root.append(make("h2", {}, card.title, card.state), card.facts, card.error, card.view, make("table", {}, card.table), edit);
  card.root.id = `stream-${name}`;
  card.visible = false;
  new IntersectionObserver(entries => { card.visible = entries[entries.length - 1].isIntersecting; }).observe(card.root);
  byId("streams").append(card.root);
  return card;
}

/* Over that part of the picture in which the watch's regions lie: anchors may say that it is not all of it. */
function layOver(node, [x, y, width, height]) {
  Object.assign(node.style, { left: `${x * 100}%`, top: `${y * 100}%`, width: `${width * 100}%`, height: `${height * 100}%` });
}

function showSignals(card, stream) {
  layOver(card.svg, stream.place);
  const shape = JSON.stringify([stream.size, stream.signals.map(s => [s.name, s.box])]);
  if (shape !== card.signals) { /* another watch: begin anew */
    card.signals = shape;
    card.rows.clear();
    card.table.replaceChildren();
    card.svg.replaceChildren();
    card.svg.setAttribute("viewBox", `0 0 ${stream.size[0]} ${stream.size[1]}`);
    card.view.style.aspectRatio = `${stream.size[0]} / ${stream.size[1]}`;
    for (const s of stream.signals) {
      const value = make("td"), score = make("td");
      card.table.append(make("tr", {}, make("td", { text: s.name, title: s.kind }), value, score));
      const rect = makeSvg("rect", { x: s.box[0], y: s.box[1], width: s.box[2], height: s.box[3] });
      if (s.region !== null) card.svg.append(rect);
      card.rows.set(s.name, { value, score, rect });
    }
  }
  for (const s of stream.signals) {
    const row = card.rows.get(s.name);
    const unknown = s.value === null;
    row.value.textContent = unknown ? `unknown${s.why ? ": " + s.why : ""}` : Array.isArray(s.value) ? s.value.join(" · ") || "nothing" : String(s.value);
    row.value.className = unknown ? "unknown" : "";
    row.score.textContent = s.score === null ? "" : s.score.toFixed(2);
    row.rect.setAttribute("class", s.value === true ? "on" : "");
  }
}

function showStream(stream) {
  if (!cards.has(stream.name)) cards.set(stream.name, newCard(stream.name));
  const card = cards.get(stream.name);
  card.state.textContent = stream.state + (stream.state === "down" ? `: ${stream.cause}` : "");
  card.state.className = `state ${stream.state}`;
  const skipped = ["busy", "late", "rate", "lost"].filter(c => stream[c] > 0).map(c => `${c} ${stream[c]}`).join(", ");
  card.facts.textContent = `${stream.fps.toFixed(1)} samples/s · p95 ${(stream.latency * 1000).toFixed(0)} ms · ${stream.events} events · ` +
    `${stream.judged} of ${stream.wanted} judged${skipped ? ` (${skipped})` : ""}`;
  card.error.textContent = stream.error;
  card.error.hidden = !stream.error;
  if (stream.signals) showSignals(card, stream);
}

/* A picture is fetched as a blob, so that a missing one leaves the last in place. */
async function loadPicture(image, name, wanted = () => true) {
  const reply = await fetch(`/snapshot/${encodeURIComponent(name)}.jpg`);
  if (!reply.ok) return;
  const blob = await reply.blob();
  if (!wanted()) return;
  const url = URL.createObjectURL(blob);
  image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
  image.src = url;
}

/* ---- spotlight ---- */

let spotlit = null; /* whose picture stands there */

function rankRow(rank, place) {
  const row = make("tr", { class: rank.shown ? "shown" : rank.standing === "can" ? "" : "out" });
  const score = rank.score === null ? "" : String(Math.round(rank.score * 100) / 100);
  const link = make("a", { href: `#stream-${encodeURIComponent(rank.stream)}`, text: rank.stream });
  row.append(make("td", { text: rank.standing === "can" ? `${place}` : "–" }), make("td", {}, link),
    make("td", { text: rank.standing === "can" ? score : rank.standing === "unknown" ? "nothing known" : rank.standing }));
  return row;
}

function showSpotlight(now) {
  byId("spotlight").hidden = byId("spotlight-link").hidden = now.streams === 0;
  const shown = now.rank.find(r => r.shown);
  byId("spotlight-name").textContent = now.shown === null ? "nothing worth showing" : now.shown;
  byId("spotlight-score").textContent = !shown || shown.score === null ? "" : `score ${Math.round(shown.score * 100) / 100} · for ${now.seconds.toFixed(0)} s`;
  byId("spotlight-ranks").replaceChildren(...now.rank.map((r, i) => rankRow(r, i + 1)));
  byId("spotlight-more").textContent = now.streams > now.rank.length ? `and ${now.streams - now.rank.length} more` : "";
  const image = byId("spotlight-image");
  if (now.shown !== spotlit) image.removeAttribute("src"); /* another one's picture under this name would be a lie */
  spotlit = now.shown;
  image.alt = spotlit === null ? "" : `The last picture of ${spotlit}`;
  if (spotlit !== null && !document.hidden) loadPicture(image, spotlit, () => spotlit === now.shown).catch(() => {});
}

async function refreshSpotlight() {
  const reply = await fetch("/api/spotlight");
  if (reply.ok) showSpotlight(await reply.json());
}

async function refresh() {
  try {
    const reply = await fetch("/api/streams");
    const now = await reply.json();
    streams = now.streams;
    for (const stream of streams) showStream(stream);
    await refreshSpotlight();
    for (const [name, card] of cards)
      if (!streams.some(s => s.name === name)) {
        card.root.remove();
        cards.delete(name);
      }
    byId("load").textContent = `${streams.length} streams · workers ${(now.busy * 100).toFixed(0)} % busy` +
      (now.factor < 1 ? ` · overload: rates at ${(now.factor * 100).toFixed(0)} %` : "");
    if (!document.hidden)
      for (const [name, card] of cards) if (card.visible) loadPicture(card.image, name).catch(() => {});
  } catch (error) {
    byId("load").textContent = "no answer: is the service still there?";
  }
  setTimeout(refresh, 1000);
}

/* ---- events ---- */

const RECORDS = 500, SPAN = 10 * 60 * 1000; /* ms that lanes show */
const records = [];

const timeOf = record => record.wall ? Date.parse(record.wall) : record.seen;
const clock = ms => new Date(ms).toLocaleTimeString();

function describe(record) {
  const data = Object.entries(record.data || {}).map(([key, value]) => `${key} = ${Array.isArray(value) ? value.map(v => v.label).join(", ") : value}`);
  if (record.event === "spotlight" && record.stream) data.push(`score ${record.value}`);
  if (record.cause) data.push(record.cause);
  if (record.previous) data.push(`before: ${record.previous}`);
  if (record.reason) data.push(record.reason);
  return data.join(" · ");
}

function shown(record) {
  const words = byId("filter").value.toLowerCase();
  return !words || `${record.stream} ${record.event} ${record.key || ""}`.toLowerCase().includes(words);
}

let clipsThere = new Set(); /* a record names its clip before that is cut */

function addClip(row, record) {
  const name = (record.clip || "").split("/").pop();
  if (clipsThere.has(name)) row.append(" ", make("button", { type: "button", text: "clip", onclick: () => play(name) }));
}

function recordRow(record) {
  const row = make("li", {}, make("time", { text: clock(timeOf(record)) }), make("span", { class: "where", text: record.stream }),
    make("b", { text: record.event + (record.key ? ` “${record.key}”` : "") }), make("span", { text: record.kind }),
    make("span", { class: "where", text: describe(record) }));
  if (record.evidence) row.append(make("a", { href: `/evidence/${encodeURIComponent(record.evidence.split("/").pop())}`, target: "_blank", text: "picture" }));
  addClip(row, record);
  return row;
}

/* One lane a stream; an event from its start to its end, or to now. */
function drawLanes() {
  const now = Date.now(), lanes = new Map(), spans = new Map();
  for (const record of records) {
    if (record.kind === "state" || !shown(record)) continue;
    const span = spans.get(record.id) || { stream: record.stream, event: record.event, severity: record.severity, from: timeOf(record), to: null };
    if (record.kind === "point") span.to = span.from;
    if (record.kind === "end") span.to = span.from + (record.t_end - record.t_start) * 1000;
    spans.set(record.id, span);
  }
  for (const stream of streams) lanes.set(stream.name, []);
  for (const span of spans.values()) if (lanes.has(span.stream)) lanes.get(span.stream).push(span);
  const children = [];
  for (const [name, list] of lanes) {
    const lane = make("div", { class: "lane" });
    for (const span of list) {
      const from = Math.max(0, 1 - (now - span.from) / SPAN), to = Math.min(1, 1 - (now - (span.to === null ? now : span.to)) / SPAN);
      if (to < 0) continue;
      const bar = make("i", { class: span.severity >= 2 ? "severe" : "", title: `${span.event} ${clock(span.from)}` });
      bar.style.left = `${from * 100}%`;
      bar.style.width = `${Math.max(0, to - from) * 100}%`;
      lane.append(bar);
    }
    children.push(make("span", { text: name }), lane);
  }
  byId("lanes").replaceChildren(...children);
}

function drawRecords() {
  byId("records").replaceChildren(...records.filter(shown).slice(-100).reverse().map(recordRow));
}

let drawing = false;
function drawEvents() { /* many may come at once: draw once */
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; drawLanes(); drawRecords(); });
}

function listen() {
  const source = new EventSource("/api/live");
  source.onmessage = message => {
    const record = JSON.parse(message.data);
    record.seen = Date.now();
    records.push(record);
    if (records.length > RECORDS) records.shift();
    drawEvents();
  };
}

/* ---- search ---- */

/* What matched stands between [ and ]. */
function marked(snippet) {
  return (snippet || "").split(/(\[[^\]]*\])/).map(part => part.startsWith("[") && part.endsWith("]") ? make("mark", { text: part.slice(1, -1) }) : part);
}

function hitRow(hit) {
  const row = make("li", {}, make("time", { text: new Date(hit.wall).toLocaleString() }), make("span", { class: "where", text: `${hit.stream} · ${hit.kind} ${hit.signal}` }),
    make("span", {}, ...marked(hit.snippet)), make("span", { class: "where", text: `${hit.t_start.toFixed(1)}–${hit.t_end.toFixed(1)} s` }));
  if (hit.record && hit.record.evidence)
    row.append(make("a", { href: `/evidence/${encodeURIComponent(hit.record.evidence.split("/").pop())}`, target: "_blank", text: "picture" }));
  if (hit.record) addClip(row, hit.record);
  return row;
}

async function search(event) {
  event.preventDefault();
  const said = byId("search-said");
  said.textContent = "searching ..";
  try {
    const reply = await fetch(`/api/search?q=${encodeURIComponent(byId("query").value)}`);
    const answer = await reply.json();
    byId("hits").replaceChildren(...(answer.hits || []).map(hitRow));
    said.textContent = answer.error || (answer.hits.length ? `${answer.hits.length} found` : "nothing found");
  } catch (error) {
    said.textContent = "no answer";
  }
}

/* ---- clips ---- */

async function loadClips() {
  try {
    const answer = await (await fetch("/api/clips")).json();
    clipsThere = new Set(answer.clips.map(clip => clip.name));
    byId("clip-list").replaceChildren(...answer.clips.map(clip => make("li", {},
      make("button", { type: "button", text: clip.name, onclick: () => play(clip.name) }), make("time", { text: new Date(clip.wall).toLocaleString() }),
      make("span", { class: "where", text: `${(clip.bytes / 1e6).toFixed(1)} MB` }))));
    byId("clips").hidden = answer.clips.length === 0;
  } catch (error) { /* the next time */ }
  setTimeout(loadClips, 10000);
}

function play(name) {
  const player = byId("player");
  player.hidden = false;
  player.src = `/clips/${encodeURIComponent(name)}`;
  player.scrollIntoView({ block: "nearest" });
  player.play().catch(() => {});
}

/* ---- region editor ---- */

const editor = { stream: null, size: [1, 1], boxes: new Map(), chosen: null, timer: 0 };

function placeBox(name) {
  const { node, box } = editor.boxes.get(name);
  const [w, h] = editor.size;
  node.style.left = `${box[0] / w * 100}%`;
  node.style.top = `${box[1] / h * 100}%`;
  node.style.width = `${box[2] / w * 100}%`;
  node.style.height = `${box[3] / h * 100}%`;
  if (name === editor.chosen) byId("editor-box").textContent = `[${box.join(", ")}]`;
}

function chooseBox(name) {
  editor.chosen = name;
  for (const [other, { node }] of editor.boxes) node.classList.toggle("chosen", other === name);
  byId("editor-region").value = name;
  placeBox(name);
}

function changeBox(name, dx, dy, dw, dh) {
  const entry = editor.boxes.get(name), [w, h] = editor.size;
  const b = entry.box;
  b[2] = Math.min(Math.max(1, Math.round(b[2] + dw)), w - b[0]);
  b[3] = Math.min(Math.max(1, Math.round(b[3] + dh)), h - b[1]);
  b[0] = Math.min(Math.max(0, Math.round(b[0] + dx)), w - b[2]);
  b[1] = Math.min(Math.max(0, Math.round(b[1] + dy)), h - b[3]);
  placeBox(name);
}

function addBox(name, box) {
  const node = make("div", { class: "box", tabindex: "0", role: "button", "aria-label": `region ${name}` }, make("span", { text: name }));
  editor.boxes.set(name, { node, box: box.map(Math.round) });
  byId("editor-boxes").append(node);
  byId("editor-region").append(make("option", { text: name }));
  node.addEventListener("pointerdown", event => {
    chooseBox(name);
    node.setPointerCapture(event.pointerId);
    const area = byId("editor-boxes").getBoundingClientRect(), own = node.getBoundingClientRect();
    const sizing = own.right - event.clientX < 12 && own.bottom - event.clientY < 12;
    const start = [...editor.boxes.get(name).box], x = event.clientX, y = event.clientY;
    const move = now => {
      const dx = (now.clientX - x) / area.width * editor.size[0], dy = (now.clientY - y) / area.height * editor.size[1];
      editor.boxes.get(name).box = [...start];
      changeBox(name, sizing ? 0 : dx, sizing ? 0 : dy, sizing ? dx : 0, sizing ? dy : 0);
    };
    node.addEventListener("pointermove", move);
    node.addEventListener("lostpointercapture", () => node.removeEventListener("pointermove", move), { once: true });
  });
  node.addEventListener("focus", () => chooseBox(name));
  node.addEventListener("keydown", event => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    changeBox(name, ...(event.shiftKey ? [0, 0, ...step] : [...step, 0, 0]));
  });
  placeBox(name);
}

function openEditor(name) {
  const stream = streams.find(s => s.name === name);
  if (!stream || !stream.signals) return;
  Object.assign(editor, { stream: name, size: stream.size, boxes: new Map(), chosen: null });
  byId("editor-boxes").replaceChildren();
  byId("editor-region").replaceChildren();
  byId("editor-stream").textContent = `${name} (${stream.path})`;
  byId("editor-said").textContent = "";
  layOver(byId("editor-boxes"), stream.place);
  for (const s of stream.signals) if (s.region !== null && !editor.boxes.has(s.region)) addBox(s.region, s.box);
  byId("editor").hidden = false;
  byId("editor").scrollIntoView();
  if (editor.boxes.size) chooseBox(editor.boxes.keys().next().value);
  const show = () => loadPicture(byId("editor-image"), name).catch(() => {});
  clearInterval(editor.timer);
  editor.timer = setInterval(show, 2000);
  show();
}

function closeEditor() {
  clearInterval(editor.timer);
  byId("editor").hidden = true;
}

async function saveRegion(event) {
  event.preventDefault();
  const said = byId("editor-said");
  if (!editor.chosen) return;
  const body = JSON.stringify({ stream: editor.stream, region: editor.chosen, box: editor.boxes.get(editor.chosen).box });
  try {
    const send = () => fetch("/api/region", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    let reply = await send();
    for (let i = 0; i < 10 && reply.status === 409; i++) { /* the stream was just changed, and has had no sample yet */
      await new Promise(wake => setTimeout(wake, 500));
      reply = await send();
    }
    const answer = await reply.json();
    said.textContent = reply.ok ? `'${editor.chosen}' is saved` : answer.error;
  } catch (error) {
    said.textContent = "no answer";
  }
}

/* ---- beginning ---- */

byId("search-form").addEventListener("submit", search);
byId("filter").addEventListener("input", drawEvents);
byId("filter").form.addEventListener("submit", event => event.preventDefault());
byId("editor-form").addEventListener("submit", saveRegion);
byId("editor-close").addEventListener("click", closeEditor);
byId("editor-region").addEventListener("change", event => chooseBox(event.target.value));
byId("editor-add").addEventListener("click", () => {
  const input = byId("editor-name"), name = input.value;
  if (!name || !input.checkValidity() || editor.boxes.has(name)) return;
  const [w, h] = editor.size;
  addBox(name, [w * .4, h * .4, w * .2, h * .2]);
  chooseBox(name);
  input.value = "";
});
setInterval(drawEvents, 5000);
refresh();
listen();
loadClips();
