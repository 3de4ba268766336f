// When a face has been held in view for a moment: looking, closer, hold, ready.

const HOLD_MS = 1200;
const FORGIVEN_MS = 700; // a blink of the detector between two pictures
const LEAST_SHARE = 0.16; // of the picture's shorter side
const SAME_PLACE = 0.5; // overlap, intersection over union

/** Fed with what is seen, picture by picture; knows no clock and no camera. */
export class Dwell {
  #anchor = null;
  #since = 0;
  #seenAt = 0;

  /**
   * @param faces of the picture. @param size {width, height} of it. @param at milliseconds.
   * @returns {state, progress, face}; progress is 0 to 1.
   */
  see(faces, size, at) {
    const face = faces.reduce((best, each) => (best && area(best.box) >= area(each.box) ? best : each), null);
    if (face === null) {
      if (this.#anchor === null || at - this.#seenAt > FORGIVEN_MS) {
        this.#anchor = null;
        return { state: "looking", progress: 0, face: null };
      }
      return { state: "hold", progress: this.#progress(this.#seenAt), face: null };
    }
    if (Math.min(face.box.width, face.box.height) < LEAST_SHARE * Math.min(size.width, size.height)) {
      this.#anchor = null;
      return { state: "closer", progress: 0, face };
    }
    if (this.#anchor === null || overlap(this.#anchor, face.box) < SAME_PLACE) {
      this.#anchor = face.box;
      this.#since = at;
    }
    this.#seenAt = at;
    const progress = this.#progress(at);
    return { state: progress < 1 ? "hold" : "ready", progress, face };
  }

  #progress(at) {
    return Math.min(1, (at - this.#since) / HOLD_MS);
  }
}

function area(box) {
  return box.width * box.height;
}

function overlap(a, b) {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (area(a) + area(b) - width * height);
}
