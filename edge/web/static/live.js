// The live view: one stream from the device, open only while this page is in front.

import { draw, verdict } from "./draw.js";

const figures = new Map([...document.querySelectorAll(".camera")].map((figure) => [figure.dataset.source, figure]));
const last = new Map();
const pause = document.getElementById("pause");
const offline = document.getElementById("offline");
const announce = document.getElementById("announce");
const STALE_MS = 4000;
let paused = matchMedia("(prefers-reduced-motion: reduce)").matches;
let stream = null;

function open() {
  close();
  const query = new URLSearchParams(paused ? [] : [...figures.keys()].map((name) => ["source", name]));
  stream = new EventSource(`/live?${query}`);
  stream.addEventListener("open", () => { offline.hidden = true; });
  stream.addEventListener("error", lost);
  stream.addEventListener("frame", (event) => showFrame(JSON.parse(event.data)));
  stream.addEventListener("panels", (event) => showPanels(JSON.parse(event.data)));
  stream.addEventListener("verdict", (event) => { announce.textContent = JSON.parse(event.data); });
}

function close() {
  stream?.close();
  stream = null;
}

function lost() {
  offline.hidden = false;
  if (stream.readyState !== EventSource.CLOSED) return; // it tries again by itself
  close();
  setTimeout(again, 5000);
}

async function again() {
  if (stream !== null || document.hidden) return;
  const answer = await fetch("/", { method: "HEAD" }).catch(() => null);
  if (answer?.status === 401) location.assign("/login");
  else open();
}

async function showFrame(frame) {
  const figure = figures.get(frame.source);
  const bytes = Uint8Array.from(atob(frame.jpeg), (letter) => letter.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  last.get(frame.source)?.picture.close();
  last.set(frame.source, { frame, picture, at: performance.now() });
  paint(frame.source);
  figure.querySelector(".stage-note").hidden = true;
  figure.querySelector(".who").textContent = inWords(frame.people);
}

function paint(source) {
  const { frame, picture } = last.get(source);
  const people = frame.people.map((person) => ({
    box: person.box,
    label: person.said || person.progress > 0 ? person.label : "uncertain",
    text: wordsFor(person),
    sure: person.said,
  }));
  draw(figures.get(source).querySelector("canvas"), picture, frame, people);
}

function wordsFor(person) {
  if (person.said) return verdict(person.label, person.p_mask);
  if (person.too_small) return "Too far away";
  return person.progress > 0 ? `${verdict(person.label, null)}? ${Math.round(100 * person.progress)} %` : "Looking";
}

/** A picture that is old must not look like one of now. */
function tellOld() {
  for (const [source, { at }] of last) {
    const age = performance.now() - at;
    if (paused || age < STALE_MS) continue;
    const note = figures.get(source).querySelector(".stage-note");
    note.textContent = `No picture for ${Math.round(age / 1000)} s`;
    note.hidden = false;
    figures.get(source).querySelector(".who").textContent = "";
  }
}

function inWords(people) {
  if (people.length === 0) return "nobody in view";
  const said = people.filter((person) => person.said).length;
  return `${people.length} in view, ${said} judged`;
}

function showPanels(panels) {
  for (const [name, html] of Object.entries(panels)) {
    const panel = document.getElementById(`panel-${name}`);
    const open = panel.querySelector("details")?.open;
    const inside = panel.contains(document.activeElement);
    panel.innerHTML = html; // rendered and escaped by the device
    const details = panel.querySelector("details");
    if (details) details.open = Boolean(open);
    if (inside) details?.querySelector("summary").focus();
  }
}

function showPause() {
  pause.hidden = false;
  pause.textContent = paused ? "Show live picture" : "Pause";
}

pause?.addEventListener("click", () => {
  paused = !paused;
  showPause();
  open();
});
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
setInterval(tellOld, 1000);
addEventListener("pagehide", close);
addEventListener("resize", () => last.forEach((_, source) => paint(source)));
if (pause) showPause();
if (!document.hidden) open();
