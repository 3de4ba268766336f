// This phone's camera: small pictures until a face is held still, then one large one, which is judged.

import { draw, verdict } from "./draw.js";
import { Dwell } from "./dwell.js";
import { judge } from "./judge.js";

const LOOK_EVERY_MS = 250;
const LOOK_SIDE_PX = 480;
const JUDGE_SIDE_PX = 1280;
const QUALITY = 0.85;
const PROMPTS = {
  looking: "Look into the camera",
  closer: "Come a little closer",
  hold: "Hold still",
  judging: "Judging",
};
const ADVICE = "Too small, blurred, or half covered. Come closer, into better light, and hold still.";

const $ = (id) => document.getElementById(id);
const video = $("video");
let camera = null;
let faces = [];
let round = 0; // whatever belongs to an older round is too late

function whyNot() {
  if (!window.isSecureContext) {
    return "The browser gives a page its camera only over https or on the device itself (localhost). " +
      "Ask whoever runs this device to put https in front of the page, or choose a picture instead.";
  }
  if (!navigator.mediaDevices?.getUserMedia) return "This browser has no access to a camera. Choose a picture instead.";
  return "";
}

async function start() {
  $("start").disabled = true;
  try {
    camera = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch (error) {
    $("start").disabled = false;
    fail(error.name === "NotAllowedError"
      ? "The camera was not allowed. Allow it for this page in the browser, and start again."
      : "There is no camera, or another program has it.");
    return;
  }
  camera.getVideoTracks()[0].addEventListener("ended", stop);
  video.srcObject = camera;
  await video.play();
  $("unavailable").hidden = true;
  $("closed").hidden = true;
  $("open").hidden = false;
  $("stop").focus();
  look();
}

function stop() {
  round += 1;
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  video.srcObject = null;
  $("open").hidden = true;
  $("closed").hidden = false;
  $("start").disabled = false;
  $("start").focus();
}

function fail(text) {
  $("unavailable").textContent = text;
  $("unavailable").hidden = false;
  say(text);
}

async function look() {
  const mine = ++round;
  const dwell = new Dwell();
  faces = [];
  $("result").hidden = true;
  $("again").hidden = true;
  show("looking", 0);
  requestAnimationFrame(() => preview(mine));
  while (mine === round) {
    const began = performance.now();
    const seen = await ask(LOOK_SIDE_PX, mine);
    if (mine !== round) return;
    if (seen) {
      const { state, progress } = dwell.see(seen.record.faces, seen.record, began);
      faces = scaled(seen.record.faces, seen.record.width);
      if (state === "ready") {
        await capture(mine);
        return;
      }
      show(state, progress);
    }
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, LOOK_EVERY_MS - (performance.now() - began))));
  }
}

async function capture(mine) {
  show("judging", 1);
  let seen = null;
  while (mine === round && seen === null) {
    seen = await ask(JUDGE_SIDE_PX, mine);
    if (seen === null) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  if (mine !== round) return;
  const found = seen.record.faces;
  if (found.length === 0) return look();
  round += 1; // the preview ends: the picture that was judged stays
  const face = found.reduce((best, each) => (each.box.width * each.box.height > best.box.width * best.box.height ? each : best));
  draw($("picture"), seen.picture, seen.record, [{ box: face.box, label: face.label, text: "", sure: true }], true);
  result(face);
}

/** Sends what the camera sees now. @returns {picture, record}, or null if the device is busy or away. */
async function ask(longestSide, mine) {
  const scale = Math.min(1, longestSide / Math.max(video.videoWidth, video.videoHeight, 1));
  const picture = document.createElement("canvas");
  picture.width = Math.round(video.videoWidth * scale);
  picture.height = Math.round(video.videoHeight * scale);
  if (picture.width === 0) return null;
  picture.getContext("2d").drawImage(video, 0, 0, picture.width, picture.height);
  const blob = await new Promise((resolve) => picture.toBlob(resolve, "image/jpeg", QUALITY));
  try {
    return { picture, record: await judge(blob) };
  } catch (problem) {
    if (mine === round) {
      $("prompt").textContent = problem.again ? "One moment" : problem.message;
      if (!problem.again) await new Promise((resolve) => setTimeout(resolve, 2000));
    }
    return null;
  }
}

function preview(mine) {
  if (mine !== round || camera === null) return;
  if (video.videoWidth > 0) {
    const size = { width: video.videoWidth, height: video.videoHeight };
    const boxes = faces.map((box) => ({ box, label: "uncertain", text: "", sure: false }));
    draw($("picture"), video, size, boxes, true);
  }
  requestAnimationFrame(() => preview(mine));
}

function scaled(found, width) {
  const scale = video.videoWidth / width;
  return found.map(({ box }) => ({ x: box.x * scale, y: box.y * scale, width: box.width * scale, height: box.height * scale }));
}

function show(state, progress) {
  if ($("prompt").textContent !== PROMPTS[state]) say(PROMPTS[state]);
  $("prompt").parentElement.hidden = false;
  $("prompt").textContent = PROMPTS[state];
  $("progress").setAttribute("stroke-dasharray", `${Math.round(100 * progress)} 100`);
}

function result(face) {
  const words = verdict(face.label, face.p_mask);
  const [, name, sure] = words.match(/^(\D+?)(?: (\d.*))?$/);
  const panel = $("result");
  const heading = document.createElement("strong");
  const text = document.createElement("p");
  heading.textContent = name;
  text.textContent = sure ? `Probability ${sure}` : ADVICE;
  panel.className = `result ${face.label}`;
  panel.replaceChildren(heading, text);
  panel.hidden = false;
  $("prompt").parentElement.hidden = true;
  $("prompt").textContent = "";
  $("again").hidden = false;
  $("again").focus();
  say(`${heading.textContent}. ${text.textContent}`);
}

function say(text) {
  $("announce").textContent = text;
}

$("start").addEventListener("click", start);
$("stop").addEventListener("click", stop);
$("again").addEventListener("click", look);
addEventListener("pagehide", () => camera && stop());
document.addEventListener("visibilitychange", () => document.hidden && camera && stop());
const reason = whyNot();
if (reason) fail(reason);
else $("start").disabled = false;
