// Asks the device to look at a picture.

/** A problem to be shown; `again` if it is worth another try in a moment. */
export class Problem extends Error {
  constructor(text, again = false) {
    super(text);
    this.again = again;
  }
}

/** @param picture a Blob. @returns the record: {width, height, faces, summary, ...}. */
export async function judge(picture) {
  let answer;
  try {
    answer = await fetch("/judge", { method: "POST", body: picture, headers: { "Content-Type": "application/octet-stream" } });
  } catch {
    throw new Problem("The device does not answer.", true);
  }
  if (answer.ok) return answer.json();
  if (answer.status === 401) {
    location.assign("/login");
    throw new Problem("You have been logged out.");
  }
  if (answer.status === 413) throw new Problem("The picture is too large: at most 16 MB.");
  const text = (await answer.text()).trim();
  throw new Problem(text ? `${text[0].toUpperCase()}${text.slice(1)}.` : `The device answers ${answer.status}.`, answer.status === 503);
}
