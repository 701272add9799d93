// The page: takes videos, sends one after the other, and shows how each is. Nothing is asked of anyone but this server.
"use strict";

const BUSY = 700, IDLE = 2000; // ms between two questions
const ACTIVE = ["queued", "uploading", "waiting", "faces", "scoring"];
const limits = document.body.dataset;
const at = (id) => document.getElementById(id);
const rows = new Map(); // a video's id, or before it has one its key -> its row
const own = new Map(); // key of what this page sends -> {file, key, row, request}
const toSend = [];
let sending = false, timer = 0, reached = true;

// --- What is shown ---------------------------------------------------------------------------------------------------

function makeRow(name) {
  const row = at("video").content.firstElementChild.cloneNode(true);
  row.querySelector("bdi").textContent = name;
  row.querySelector("progress").setAttribute("aria-label", `Progress of ${name}`);
  row.querySelector(".show").addEventListener("click", () => toggle(row));
  row.querySelector(".remove").addEventListener("click", () => remove(row));
  at("videos").append(row);
  at("none").hidden = true;
  return row;
}

function share(done, total) {
  return total ? Math.min(100, Math.floor((100 * done) / total)) : 0;
}

// What is said of a video: [in bold, the rest].
function words(video) {
  const { state, progress, position, result, error } = video;
  const { done, total } = progress ?? {};
  if (state === "queued") return ["Not sent yet", "the videos before it are sent first"];
  if (state === "uploading") return ["Uploading", total ? `${share(done, total)} %` : `${(done / 1e6).toFixed(1)} MB`];
  if (state === "waiting") return ["Waiting", position === 1 ? "next in the queue" : `number ${position} in the queue`];
  if (state === "faces" && !done) return ["Finding faces", "the video is opened"];
  if (state === "faces") return ["Finding faces", total ? `${share(done, total)} %` : `${(done / 30).toFixed(0)} s of video`];
  if (state === "scoring" && done < total) return ["Scoring", `window ${done + 1} of ${total}`];
  if (state === "scoring") return ["Scoring", `the last of ${total} windows, and drawing the page`];
  if (state === "failed") return ["Not scored", error];
  if (result.label === "undetermined") {
    return ["Undetermined", "the model does not know videos like this one, and its score says nothing about it"];
  }
  return [`Called ${result.label}`, `P(fake) ${result.score.toFixed(2)}, from ${result.threshold.toFixed(2)} on it is called fake`];
}

function show(row, video) {
  const [bold, rest] = words(video), name = row.querySelector("bdi").textContent;
  const state = row.querySelector(".state"), bar = row.querySelector("progress");
  const text = `${bold}: ${rest}`;
  if (state.textContent !== text) {
    const strong = document.createElement("b");
    strong.textContent = bold;
    state.replaceChildren(strong, `: ${rest}`);
  }
  const active = ACTIVE.includes(video.state), { done, total } = video.progress ?? {};
  bar.hidden = !active || video.state === "queued" || video.state === "waiting";
  if (total) { bar.max = total; bar.value = Math.min(done, total); } else bar.removeAttribute("value");
  row.querySelector(".remove").textContent = active ? "Cancel" : "Remove";
  row.querySelector(".remove").setAttribute("aria-label", `${active ? "Cancel" : "Remove"} ${name}`);
  const before = row.dataset.state;
  if (before === video.state) return;
  row.dataset.state = video.state;
  row.dataset.label = video.result?.label ?? "";
  if (before || own.has(video.key)) say(`${name}: ${video.state === "scoring" ? bold : text}`);
  if (video.state === "done" || video.state === "failed") finish(row, video, name);
  for (const part of row.querySelectorAll(".show, .tab, .html")) part.hidden = video.state !== "done";
  row.querySelector(".json").hidden = !video.id || active;
}

function finish(row, video, name) {
  const place = `api/videos/${encodeURIComponent(video.id)}`;
  row.querySelector(".tab").href = `${place}/page`;
  row.querySelector(".html").href = `${place}/page?download`;
  row.querySelector(".json").href = `${place}/answer?download`;
  for (const part of row.querySelectorAll(".show, .tab, .html, .json")) {
    part.setAttribute("aria-label", `${part.textContent}: ${name}`);
  }
  if (!video.result) return;
  // How far it is from what the model knows; all that is said of it is on its page.
  row.querySelector(".distance").hidden = false;
  row.querySelector(".distance").textContent = video.result.sentences[1];
}

// The result's page below its row, as high as it is.
function toggle(row) {
  const button = row.querySelector(".show"), box = row.querySelector(".result");
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", open);
  button.textContent = open ? "Hide what it rests on" : "Show what it rests on";
  button.setAttribute("aria-label", `${button.textContent}: ${row.querySelector("bdi").textContent}`);
  box.hidden = !open;
  if (!open) return box.replaceChildren();
  const frame = document.createElement("iframe");
  frame.title = `What the answer to ${row.querySelector("bdi").textContent} rests on`;
  frame.sandbox = "allow-same-origin"; // to measure it; it has no scripts
  frame.addEventListener("load", () => {
    const fit = () => { frame.style.height = `${frame.contentDocument.documentElement.offsetHeight + 4}px`; };
    new ResizeObserver(fit).observe(frame.contentDocument.documentElement);
    fit();
  });
  frame.src = row.querySelector(".tab").href;
  box.replaceChildren(frame);
}

function say(text) {
  const line = document.createElement("span");
  line.textContent = `${text}. `;
  at("spoken").append(line);
  while (at("spoken").childElementCount > 8) at("spoken").firstElementChild.remove();
}

function dropRow(row) {
  const next = (row.nextElementSibling ?? row.previousElementSibling)?.querySelector(".remove");
  const focused = row.contains(document.activeElement);
  row.remove();
  for (const [name, known] of rows) if (known === row) rows.delete(name);
  at("none").hidden = rows.size > 0;
  if (focused) (next ?? at("pick")).focus();
}

// --- What is sent ----------------------------------------------------------------------------------------------------

function add(files) {
  for (const file of files) {
    const key = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const row = makeRow(file.name), sent = { file, key, row };
    rows.set(key, row);
    own.set(key, sent);
    const why = refusal(file);
    if (why) fail(sent, why);
    else { toSend.push(sent); show(row, { state: "queued", key }); }
  }
  send();
}

// What the server would refuse, too; but a browser may not get to read why, once it is sending.
function refusal(file) {
  if (file.folder) return "it is a folder; open it and choose the videos in it.";
  if (file.size > Number(limits.bytes)) {
    return `it has ${(file.size / 1e6).toFixed(0)} MB, and a video may have at most ${limits.largest} here. Cut it, or make it smaller first.`;
  }
  return file.size ? "" : "the file is empty (0 bytes).";
}

function fail(sent, error) {
  own.delete(sent.key);
  show(sent.row, { state: "failed", key: sent.key, error });
}

async function send() {
  if (sending || !toSend.length) return;
  sending = true;
  try {
    while (toSend.length) {
      if (!(await roomFor())) { await new Promise((then) => setTimeout(then, BUSY)); continue; }
      const sent = toSend.shift();
      if (sent && own.has(sent.key)) await upload(sent);
    }
  } finally {
    sending = false;
  }
}

// Whether the server takes another one now; where it does not, the rest waits here and nothing is refused.
async function roomFor() {
  try {
    const response = await fetch("api/videos");
    return response.ok && (await response.json()).room > 0;
  } catch {
    return false;
  }
}

function upload(sent) {
  const { file, key, row } = sent;
  return new Promise((then) => {
    const request = new XMLHttpRequest();
    sent.request = request;
    const told = (done) => show(row, { state: "uploading", key, progress: { done, total: file.size } });
    request.upload.addEventListener("progress", (event) => { if (own.has(key)) told(event.loaded); });
    request.addEventListener("load", () => {
      const answer = parsed(request.responseText);
      if (request.status === 201 && answer) {
        own.delete(key);
        if (!row.isConnected) fetch(`api/videos/${answer.id}`, { method: "DELETE" });
        else { identify(row, answer); show(row, answer); ask(); }
      } else if (own.has(key)) fail(sent, answer?.error ?? `the server answered with status ${request.status}.`);
      then();
    });
    request.addEventListener("error", () => {
      if (own.has(key)) fail(sent, "the upload broke off: the server was stopped, or the file cannot be read.");
      then();
    });
    request.addEventListener("abort", () => then());
    told(0);
    request.open("POST", `api/videos?${new URLSearchParams({ name: file.name, key })}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  });
}

function identify(row, video) {
  rows.delete(video.key);
  rows.set(video.id, row);
  row.dataset.id = video.id;
}

function parsed(text) {
  try { return JSON.parse(text); } catch { return null; }
}

async function remove(row) {
  const id = row.dataset.id, sent = [...own.values()].find((each) => each.row === row);
  if (sent) {
    own.delete(sent.key);
    sent.request?.abort();
  }
  dropRow(row);
  say(`${row.querySelector("bdi").textContent}: removed`);
  if (!id) return;
  try { await fetch(`api/videos/${encodeURIComponent(id)}`, { method: "DELETE" }); } catch { /* the next question tells */ }
}

// --- What is asked ---------------------------------------------------------------------------------------------------

async function ask() {
  clearTimeout(timer);
  let active = true;
  try {
    const response = await fetch("api/videos");
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    active = answer.videos.some((video) => ACTIVE.includes(video.state));
    update(answer.videos);
    reached = true;
    at("trouble").hidden = true;
  } catch (error) {
    const said = error instanceof TypeError ? "The server does not answer: it may have been stopped. This page goes on asking." : error.message;
    if (reached || at("trouble").textContent !== said) at("trouble").textContent = said;
    at("trouble").hidden = reached = false;
  }
  clearTimeout(timer);
  timer = setTimeout(ask, active && !document.hidden ? BUSY : IDLE);
}

function update(videos) {
  const listed = new Set(videos.map((video) => video.id));
  for (const video of videos) {
    if (own.has(video.key)) continue; // this page knows better how much of it is sent
    let row = rows.get(video.id) ?? rows.get(video.key);
    if (!row) row = makeRow(video.name);
    if (row.dataset.id !== video.id) identify(row, video);
    show(row, video);
  }
  for (const row of [...rows.values()]) if (row.dataset.id && !listed.has(row.dataset.id)) dropRow(row);
}

// --- The start -------------------------------------------------------------------------------------------------------

at("pick").addEventListener("change", () => { add(at("pick").files); at("pick").value = ""; });
for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    if (kind === "drop" || !event.relatedTarget) document.body.classList.remove("over");
  });
}
addEventListener("drop", (event) => {
  const items = [...(event.dataTransfer?.items ?? [])].filter((item) => item.kind === "file");
  add(items.map((item) => {
    const entry = item.webkitGetAsEntry?.();
    return entry?.isDirectory ? { name: entry.name, size: 1, folder: true } : item.getAsFile();
  }).filter(Boolean));
});
addEventListener("beforeunload", (event) => { if (own.size) event.preventDefault(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
ask();
