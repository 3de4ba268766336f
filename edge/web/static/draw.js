// Draws a picture and the people in it on a canvas, sharp and legible at any size.

const COLOURS = { mask: "#58c795", no_mask: "#ff9673", uncertain: "#dfe5e3" };
const WORDS = { mask: "Mask", no_mask: "No mask", uncertain: "Not sure" };
const FONT_PX = 15;
const SHADE = "rgb(12 16 18 / 82%)";

/** What was said, and how sure: `No mask 98 %`. A certainty of 100 % is never shown: nothing measured is certain. */
export function verdict(label, pMask) {
  if (label === "uncertain" || pMask === null) return WORDS[label];
  const share = label === "mask" ? pMask : 1 - pMask;
  const percent = share > 0.99 ? Math.min(99.9, 100 * share).toFixed(1) : Math.round(100 * share);
  return `${WORDS[label]} ${percent} %`;
}

/**
 * @param canvas its width on the page decides the size; its height follows the picture.
 * @param picture anything that can be drawn.
 * @param size {width, height} of the picture, in whose pixels the boxes are.
 * @param people [{box, label, text, sure}]; the box of one who is not `sure` is dashed.
 * @param mirrored whether the picture is shown as in a mirror.
 */
export function draw(canvas, picture, size, people, mirrored = false) {
  const shown = canvas.clientWidth || size.width;
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const scale = shown / size.width;
  canvas.width = Math.round(shown * ratio);
  canvas.height = Math.round(size.height * scale * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.save();
  if (mirrored) {
    context.translate(shown, 0);
    context.scale(-1, 1);
  }
  context.drawImage(picture, 0, 0, shown, size.height * scale);
  context.restore();
  for (const person of people) drawPerson(context, person, scale, { width: shown, height: size.height * scale }, mirrored);
}

function drawPerson(context, { box, label, text, sure }, scale, shown, mirrored) {
  const width = box.width * scale;
  const height = box.height * scale;
  const x = mirrored ? shown.width - box.x * scale - width : box.x * scale;
  const y = box.y * scale;
  context.beginPath();
  context.roundRect(x, y, width, height, Math.min(8, width / 6));
  context.setLineDash([]);
  context.lineWidth = 5;
  context.strokeStyle = "rgb(12 16 18 / 55%)";
  context.stroke();
  context.setLineDash(sure ? [] : [7, 5]);
  context.lineWidth = 3;
  context.strokeStyle = COLOURS[label];
  context.stroke();
  if (text) drawText(context, text, COLOURS[label], { x, y, width, height }, shown);
}

function drawText(context, text, colour, box, shown) {
  context.font = `600 ${FONT_PX}px system-ui, "Noto Sans", "Liberation Sans", sans-serif`;
  const width = context.measureText(text).width + 16;
  const height = FONT_PX + 11;
  const left = Math.max(2, Math.min(box.x + box.width / 2 - width / 2, shown.width - width - 2));
  const above = box.y - height - 5;
  const below = Math.min(box.y + box.height + 5, shown.height - height - 2);
  const top = above >= 2 ? above : below;
  context.beginPath();
  context.roundRect(left, top, width, height, height / 2);
  context.fillStyle = SHADE;
  context.fill();
  context.fillStyle = colour;
  context.textBaseline = "middle";
  context.fillText(text, left + 8, top + height / 2 + 1);
}
