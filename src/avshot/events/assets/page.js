"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const KEY = "avshot-review-" + data.key;
const SAME = 0.5; // share of time in common from which a mark belongs to an event, also after the threshold has moved
const $ = (id) => document.getElementById(id);
const state = { recording: 0, begin: data.settings.begin, zoom: 1, events: [], chosen: -1, missed: null };
let marks = restored(); // {file, start, end, name, probability, sound, mark, renamed}

function restored() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(kept) ? kept : [];
  } catch {
    return []; // a browser may forbid a local file to keep anything
  }
}

function keep() {
  try {
    localStorage.setItem(KEY, JSON.stringify(marks));
  } catch {
    $("kept").textContent = "This browser does not keep marks; save the CSV before you leave.";
  }
  tell();
}

function numbers(text, kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new kind(bytes.buffer);
}

// [window, class] as it is sent, to [class][window].
function columns(text, names) {
  if (text === null) return null;
  const all = numbers(text, Float32Array);
  return names.map((_, j) => Array.from({ length: all.length / names.length }, (_, i) => all[i * names.length + j]));
}

for (const one of data.recordings) {
  if (one.track === null) continue;
  one.track.time = Array.from(numbers(one.track.time, Float64Array));
  one.track.probability = columns(one.track.probability, one.track.names);
  one.track.sound = columns(one.track.sound, one.track.names);
}

function eventsOf(one) {
  if (one.track === null) return one.events.filter((event) => event.probability >= state.begin);
  if (state.begin === data.settings.begin) return one.events;
  const ratio = state.begin / data.settings.begin;
  const own = Object.entries(data.settings.begins).map(([name, begin]) => [name, Math.min(1, begin * ratio)]);
  const cut = findEvents(one.track, { ...data.settings, begin: state.begin, begins: Object.fromEntries(own) });
  const unseen = one.events.filter((event) => !one.track.names.includes(event.name)); // they have no row on the map
  const others = unseen.filter((event) => event.probability >= state.begin);
  return [...cut, ...others].sort((a, b) => a.start - b.start || a.end - b.end);
}

function markOf(file, event) {
  const near = marks.filter((mark) => mark.file === file && mark.mark !== "missed" && mark.name === event.name);
  const best = near.reduce((a, b) => (a === null || overlap(b, event) > overlap(a, event) ? b : a), null);
  return best !== null && overlap(best, event) >= SAME ? best : null;
}

function setMark(event, mark, renamed = "") {
  const one = data.recordings[state.recording], before = markOf(one.file, event);
  marks = marks.filter((other) => other !== before);
  if (mark !== "") marks.push({ ...event, file: one.file, mark, renamed });
  keep();
  drawList();
}

function clock(seconds) {
  const tenths = Math.round(seconds * 10), hours = Math.floor(tenths / 36000);
  const minutes = `${Math.floor(tenths / 600) % 60}`.padStart(hours ? 2 : 1, "0");
  const rest = `${minutes}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
  return hours ? `${hours}:${rest}` : rest;
}

function element(kind, text = "", name = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function choose() {
  const one = data.recordings[state.recording], player = $("player");
  state.chosen = -1;
  player.hidden = one.source === null;
  if (one.source !== null) player.src = one.source;
  $("about").textContent = [one.status === "ok" ? "" : one.status, ...one.notes].filter((text) => text).join(" ");
  recut();
}

function recut() {
  state.events = eventsOf(data.recordings[state.recording]);
  $("value").textContent = state.begin.toFixed(2);
  drawMap();
  drawList();
}

function lengthOf(one) {
  const ends = one.events.map((event) => event.end);
  return Math.max(one.duration, one.track === null ? 0 : (one.track.time.at(-1) ?? 0), ...ends, 0.001);
}

function drawMap() {
  const one = data.recordings[state.recording], rows = $("rows"), length = lengthOf(one);
  const names = one.track === null ? [...new Set(one.events.map((event) => event.name))] : one.track.names;
  rows.style.width = `${100 * state.zoom}%`;
  rows.replaceChildren($("now"));
  names.forEach((name, j) => {
    const canvas = element("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `How probable ${name} is over time; a click goes there.`);
    canvas.onclick = (click) => seek((click.offsetX / canvas.clientWidth) * length);
    rows.append(element("span", name, "name"), canvas);
    paint(canvas, one.track, j, name, length);
  });
  const axis = element("div"), marks = 4 * state.zoom;
  axis.id = "axis";
  for (let i = 0; i <= marks; i++) axis.append(element("span", clock((length * i) / marks)));
  rows.append(axis);
  moved();
}

// Each column of the picture shows the highest probability of its windows; a bar below it, what counts as an event.
function paint(canvas, track, j, name, length) {
  const sharp = window.devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
  const wide = Math.min(16000, Math.round(canvas.clientWidth * sharp)), high = 20 * sharp;
  [canvas.width, canvas.height] = [wide, high];
  const pen = canvas.getContext("2d"), place = (seconds) => (seconds / length) * wide;
  if (track !== null) {
    const best = new Float32Array(wide);
    track.time.forEach((time, i) => {
      const from = Math.max(0, Math.floor(place(time - track.hop / 2)));
      const to = Math.ceil(place(time + track.hop / 2));
      for (let x = from; x < Math.min(to, wide); x++) best[x] = Math.max(best[x], track.probability[j][i]);
    });
    best.forEach((value, x) => {
      pen.fillStyle = `rgba(${style.getPropertyValue("--heat")}, ${0.04 + 0.96 * value})`;
      pen.fillRect(x, 0, 1, high * 0.75);
    });
  }
  pen.fillStyle = style.getPropertyValue("--bar");
  for (const event of state.events.filter((event) => event.name === name)) {
    const from = place(event.start), length = Math.max(2 * sharp, place(event.end) - from);
    pen.fillRect(from, high * 0.78, length, high * 0.22);
  }
}

function drawList() {
  const one = data.recordings[state.recording];
  const missed = marks.filter((mark) => mark.file === one.file && mark.mark === "missed");
  $("list").replaceChildren(
    ...state.events.map((event, i) => row(one, event, i)),
    ...missed.map((mark) => missedRow(mark)),
  );
  $("none").hidden = state.events.length + missed.length > 0;
  tell();
}

function row(one, event, i) {
  const line = element("li"), mark = markOf(one.file, event), time = element("button", "", "time");
  time.textContent = `${clock(event.start)} – ${clock(event.end)}`;
  time.onclick = () => select(i);
  const name = element("span", event.name), buttons = element("span", "", "marks");
  const rename = element("input");
  rename.placeholder = "it is …";
  rename.setAttribute("aria-label", `What ${event.name} at ${clock(event.start)} really is`);
  rename.setAttribute("list", "names");
  rename.value = mark?.renamed ?? "";
  rename.onchange = () => setMark(event, rename.value.trim() ? "renamed" : "", rename.value.trim());
  for (const [key, text, kind] of [["right", "✓ right", "good"], ["wrong", "✗ wrong", "bad"]]) {
    const button = element("button", text, kind);
    button.setAttribute("aria-pressed", String(mark?.mark === key));
    button.onclick = () => setMark(event, mark?.mark === key ? "" : key);
    buttons.append(button);
  }
  buttons.append(rename);
  if (mark?.mark === "renamed") name.append(element("span", ` → ${mark.renamed}`, "new"));
  line.append(time, name, element("span", `${(100 * event.probability).toFixed(0)} %`, "share"), buttons);
  line.classList.toggle("chosen", i === state.chosen);
  return line;
}

function missedRow(mark) {
  const line = element("li"), time = element("button", `${clock(mark.start)} – ${clock(mark.end)}`, "time");
  time.onclick = () => seek(mark.start, true);
  const buttons = element("span", "", "marks"), away = element("button", "take away");
  away.onclick = () => {
    marks = marks.filter((other) => other !== mark);
    keep();
    drawList();
  };
  buttons.append(away);
  line.append(time, element("span", mark.name), element("span", "missed", "share"), buttons);
  return line;
}

function seek(seconds, play = false) {
  const player = $("player");
  if (player.hidden) return;
  player.currentTime = seconds;
  if (play) player.play().catch(() => {});
  moved();
}

function select(i) {
  if (!state.events.length) return;
  state.chosen = Math.min(Math.max(i, 0), state.events.length - 1);
  drawList();
  $("list").children[state.chosen].scrollIntoView({ block: "nearest" });
  seek(state.events[state.chosen].start, true);
}

function moved() {
  const share = $("player").currentTime / lengthOf(data.recordings[state.recording]);
  $("now").style.left = `${100 * Math.min(1, share || 0)}%`;
}

function tell() {
  const count = (kind) => marks.filter((mark) => mark.mark === kind).length;
  $("count").textContent =
    `${state.events.length} events here. Marked in all: ${count("right")} right, ${count("wrong")} wrong, ` +
    `${count("renamed")} renamed, ${count("missed")} missed.`;
}

function cells(file, event, mark, renamed) {
  const share = (value) => (value === null || value === undefined ? "" : value.toFixed(4));
  const picture = event.sound === null || event.sound === undefined ? null : 1 - event.sound;
  const span = [event.start.toFixed(3), event.end.toFixed(3)];
  return [file, ...span, event.name, share(event.probability), share(event.sound), share(picture), mark, renamed];
}

function save() {
  const rows = [["file", "start", "end", "name", "probability", "sound", "picture", "mark", "renamed"]];
  for (const one of data.recordings) {
    const told = new Set();
    for (const event of eventsOf(one)) {
      const mark = markOf(one.file, event);
      told.add(mark);
      rows.push(cells(one.file, event, mark?.mark ?? "", mark?.renamed ?? ""));
    }
    // What was missed, and what is marked but no event at this threshold.
    const others = marks.filter((mark) => mark.file === one.file && !told.has(mark));
    others.forEach((mark) => rows.push(cells(one.file, mark, mark.mark, mark.renamed)));
  }
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([tableText(rows)], { type: "text/csv" }));
  link.download = "review.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function addMissed() {
  const player = $("player"), name = $("missedName").value.trim(), one = data.recordings[state.recording];
  if (state.missed === null) {
    state.missed = player.currentTime;
    $("missed").textContent = `Missed from ${clock(state.missed)}: end here`;
    return;
  }
  if (!name) return void $("missedName").focus();
  const ends = [state.missed, player.currentTime].sort((a, b) => a - b);
  const span = { file: one.file, start: ends[0], end: Math.max(ends[1], ends[0] + 0.1) };
  marks.push({ ...span, name, probability: 1, sound: null, mark: "missed", renamed: "" });
  state.missed = null;
  $("missed").textContent = "Missed: begins here";
  keep();
  drawList();
}

document.addEventListener("keydown", (key) => {
  if (key.target.matches("input:not([type=range]), select") || key.ctrlKey || key.metaKey || key.altKey) return;
  const chosen = state.events[state.chosen], player = $("player");
  const acts = {
    ArrowDown: () => select(state.chosen + 1),
    ArrowUp: () => select(state.chosen - 1),
    ArrowRight: () => seek(player.currentTime + 1),
    ArrowLeft: () => seek(Math.max(0, player.currentTime - 1)),
    r: () => chosen && setMark(chosen, "right"),
    w: () => chosen && setMark(chosen, "wrong"),
    " ": () => (player.paused ? player.play().catch(() => {}) : player.pause()),
  };
  if (key.target === $("threshold") && key.key.startsWith("Arrow")) return; // they move the slider
  if (!(key.key in acts) || (key.key === " " && key.target.matches("button, video"))) return;
  key.preventDefault();
  acts[key.key]();
});

data.recordings.forEach((one, i) => $("recording").append(new Option(`${one.file} (${one.events.length})`, i)));
$("recording").parentElement.hidden = data.recordings.length < 2;
$("recording").onchange = (change) => { state.recording = Number(change.target.value); choose(); };
$("threshold").value = state.begin;
$("threshold").oninput = (input) => { state.begin = Number(input.target.value); recut(); };
$("reset").onclick = () => { state.begin = data.settings.begin; $("threshold").value = state.begin; recut(); };
$("closer").onclick = () => { state.zoom = Math.min(64, state.zoom * 2); drawMap(); };
$("wider").onclick = () => { state.zoom = Math.max(1, state.zoom / 2); drawMap(); };
$("save").onclick = save;
$("missed").onclick = addMissed;
$("player").ontimeupdate = moved;
$("player").onloadedmetadata = () => $("player").classList.toggle("sound", $("player").videoWidth === 0);
$("player").onerror = () => {
  $("kept").textContent = "This browser cannot play the recording, or it is not where the page expects it.";
};
const known = data.recordings.flatMap((one) => [...(one.track?.names ?? []), ...one.events.map((event) => event.name)]);
new Set(known).forEach((name) => $("names").append(new Option(name)));
window.addEventListener("resize", drawMap);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
choose();
