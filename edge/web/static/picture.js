// A picture of one's own: sent to the device, shown with the boxes that come back.

import { draw, verdict } from "./draw.js";
import { judge } from "./judge.js";

const LONGEST_SIDE_PX = 2048;
const LARGEST_BYTES = 4 * 2 ** 20;
const SUMMARIES = {
  mask: "Mask",
  no_mask: "No mask",
  mixed: "Some with, some without",
  uncertain: "Not sure",
  no_face: "No face found",
};

const $ = (id) => document.getElementById(id);
let shown = null;
let round = 0;

async function take(file) {
  const mine = ++round;
  $("problem").hidden = true;
  $("shown").hidden = true;
  say("Looking at the picture");
  const picture = await decoded(file);
  try {
    const record = await patiently(picture === null ? file : await sized(file, picture));
    if (mine === round) show(file.name, picture, record);
  } catch (problem) {
    if (mine === round) fail(problem.message);
  }
}

/** Null where the browser does not know the format; the device may. */
async function decoded(file) {
  return createImageBitmap(file).catch(() => null);
}

/** Scales down here what is larger than any face needs: less to send, and no limit to meet. */
async function sized(file, picture) {
  const scale = LONGEST_SIDE_PX / Math.max(picture.width, picture.height);
  if (scale >= 1 && file.size <= LARGEST_BYTES) return file;
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * Math.min(1, scale));
  canvas.height = Math.round(picture.height * Math.min(1, scale));
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
}

async function patiently(picture) {
  for (let tries = 4; ; tries -= 1) {
    try {
      return await judge(picture);
    } catch (problem) {
      if (!problem.again || tries === 0) throw problem;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function show(name, picture, record) {
  shown = { picture, record };
  $("shown").hidden = false;
  $("picture").parentElement.hidden = picture === null;
  $("picture").setAttribute("aria-label", `${name} with a box around each face`);
  paint();
  const heading = document.createElement("strong");
  const text = document.createElement("p");
  heading.textContent = SUMMARIES[record.summary];
  text.textContent = `${record.faces.length} ${record.faces.length === 1 ? "face" : "faces"}, ${record.width} × ${record.height} pixels` +
    `${picture === null ? ". This browser cannot show the picture; the device has read it" : ""}.`;
  $("result").className = `result ${record.summary}`;
  $("result").replaceChildren(heading, text);
  $("faces").replaceChildren(...record.faces.map((face) => {
    const item = document.createElement("li");
    item.className = "face";
    const word = document.createElement("span");
    word.className = `verdict ${face.label}`;
    word.textContent = verdict(face.label, face.p_mask);
    item.append(word);
    return item;
  }));
  $("result").focus();
  say(`${heading.textContent}. ${text.textContent}`);
}

function paint() {
  if (!shown?.picture) return;
  const people = shown.record.faces.map((face) => ({
    box: face.box,
    label: face.label,
    text: verdict(face.label, face.p_mask),
    sure: face.label !== "uncertain",
  }));
  draw($("picture"), shown.picture, shown.record, people);
}

function fail(text) {
  $("problem").textContent = text;
  $("problem").hidden = false;
  say(text);
}

function say(text) {
  $("announce").textContent = text;
}

$("file").addEventListener("change", () => $("file").files[0] && take($("file").files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}
addEventListener("resize", paint);
$("file").disabled = false;
