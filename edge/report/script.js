"use strict";
// Rows come as [path, [address, address of the copy], kind, width, height, ms, [[x, y, width, height, label, p_mask, score]], error].
(() => {
  const PER_PAGE = 50;
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const kinds = read("kinds");
  const thumbnails = read("thumbnails");
  const order = new Intl.Collator("en", { numeric: true });
  const closest = (faces) => faces.reduce((best, f) => (Math.abs(f[5] - 0.5) < Math.abs(best - 0.5) ? f[5] : best), Infinity);
  const rows = read("rows").map(([path, links, kind, width, height, ms, faces, error], number) => ({
    number, path, links, kind, width, height, ms, faces, error,
    closest: closest(faces),
    text: `${path}\n${error ?? ""}`.toLowerCase(),
  }));
  [...rows].sort((a, b) => order.compare(a.path, b.path)).forEach((row, place) => { row.place = place; });
  const KEYS = {
    path: (row) => row.place,
    kind: (row) => row.kind,
    faces: (row) => row.faces.length,
    closest: (row) => Math.abs(row.closest - 0.5),
    size: (row) => (row.width ?? 0) * (row.height ?? 0),
    time: (row) => row.ms,
  };
  // What somebody wants to see first: rows with many faces, large, slow; but close calls from the closest on.
  const DOWN_FIRST = new Set(["faces", "size", "time"]);

  const byId = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const probability = (p) => (Number.isFinite(p) ? p.toFixed(3) : "–");
  const chip = (kind) => make("span", { className: `chip kind-${kinds[kind][0]}` }, kinds[kind][1]);

  let key = "kind", direction = 1, page = 0, shown = rows, open = 0;

  const picture = (row) => {
    const data = thumbnails[row.number];
    if (data === undefined) return null;
    const faces = row.faces.length === 1 ? "1 face" : `${row.faces.length} faces`;
    return make("img", { src: `data:image/jpeg;base64,${data}`, alt: `${row.path}, ${faces} drawn in` });
  };

  const tableRow = (row, place) => {
    const small = make("button", { type: "button", className: "small" });
    small.setAttribute("aria-label", `Details of ${row.path}`);
    small.append(picture(row) ?? "details");
    small.addEventListener("click", () => showDetails(place));
    const name = make("th", { scope: "row" }, make("bdi", {}, row.path));
    if (row.error !== null) name.append(make("small", {}, row.error));
    const number = (text) => make("td", { className: "number wide" }, text);
    return make("tr", {},
      make("td", {}, small), name, make("td", {}, chip(row.kind)),
      number(String(row.faces.length)), number(probability(row.closest)),
      number(row.width === null ? "–" : `${row.width} × ${row.height}`), number(`${row.ms.toFixed(0)} ms`));
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PER_PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const from = page * PER_PAGE;
    const visible = shown.slice(from, from + PER_PAGE);
    byId("table").replaceChildren(...visible.map((row, place) => tableRow(row, from + place)));
    const total = shown.length.toLocaleString("en");
    byId("status").textContent = shown.length === 0
      ? "No picture matches."
      : `${(from + 1).toLocaleString("en")} to ${(from + visible.length).toLocaleString("en")} of ${total}`;
    byId("place").textContent = `Page ${page + 1} of ${pages}`;
    for (const button of document.querySelectorAll("[data-page]")) {
      const isBack = ["first", "previous"].includes(button.dataset.page);
      button.disabled = isBack ? page === 0 : page === pages - 1;
    }
    for (const head of document.querySelectorAll("[data-key]")) {
      if (head.dataset.key === key) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
    byId("sort").value = key;
  };

  const choose = () => {
    const checked = new Set([...document.querySelectorAll("[name=kind]:checked")].map((box) => box.value));
    const wanted = kinds.map(([kind]) => checked.has(kind));
    const text = byId("search").value.toLowerCase();
    const value = KEYS[key];
    const last = (row) => (key === "closest" && row.faces.length === 0 ? 1 : 0);
    shown = rows
      .filter((row) => wanted[row.kind] && row.text.includes(text))
      .sort((a, b) => last(a) - last(b) || direction * (value(a) - value(b)) || a.place - b.place);
    page = 0;
    draw();
  };

  const sortBy = (next) => {
    direction = next === key ? -direction : DOWN_FIRST.has(next) ? -1 : 1;
    key = next;
    choose();
  };

  const facesTable = (row) => make("table", {},
    make("thead", {}, make("tr", {}, ...["Face", "p_mask", "Score", "Box"].map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...row.faces.map(([x, y, width, height, label, p, score]) => make("tr", {},
      make("td", {}, chip(label)), make("td", {}, probability(p)), make("td", {}, score === null ? "–" : score.toFixed(2)),
      make("td", {}, `${width} × ${height}`, make("span", { className: "wide" }, ` at ${x}, ${y}`))))));

  const showDetails = (place) => {
    open = place;
    const row = shown[place];
    byId("details-heading").replaceChildren(make("bdi", {}, row.path), " ", chip(row.kind));
    const size = row.error ?? `${row.width} × ${row.height} pixels, ${row.ms.toFixed(0)} ms`;
    const small = picture(row) ?? (row.error === null ? make("p", {}, "Its small picture is not in this report.") : "");
    byId("details-body").replaceChildren(small, make("p", {}, size), row.faces.length ? facesTable(row) : "");
    const names = ["Open the picture", "Open it with its faces drawn in"];
    byId("details-links").replaceChildren(...row.links.flatMap((href, n) => [make("a", { href, target: "_blank", rel: "noopener" }, names[n]), " "]));
    for (const button of document.querySelectorAll("[data-step]")) {
      button.disabled = shown[open + Number(button.dataset.step)] === undefined;
    }
    const dialog = byId("details");
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    // What had the focus, a link or a button at the end of its way, may be gone; outside of the dialog no key arrives.
    const active = document.activeElement;
    if (!dialog.contains(active) || active.disabled) byId("details-heading").focus();
  };
  const step = (by) => { if (shown[open + by] !== undefined) showDetails(open + by); };

  // The dialog may have gone on to another page of the table: follow it, and give the focus to its row.
  const closed = () => {
    page = Math.floor(open / PER_PAGE);
    draw();
    byId("table").rows[open - page * PER_PAGE]?.querySelector("button").focus();
  };

  for (const head of document.querySelectorAll("[data-key]")) {
    head.firstElementChild.addEventListener("click", () => sortBy(head.dataset.key));
  }
  for (const box of document.querySelectorAll("[name=kind]")) box.addEventListener("change", choose);
  byId("search").addEventListener("input", choose);
  byId("sort").addEventListener("change", (event) => sortBy(event.target.value));
  for (const button of document.querySelectorAll("[data-page]")) {
    button.addEventListener("click", () => {
      page = { first: 0, previous: page - 1, next: page + 1, last: Infinity }[button.dataset.page];
      draw();
      if (button.disabled) button.parentElement.querySelector("button:enabled")?.focus();
    });
  }
  for (const button of document.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  byId("details").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  byId("details").addEventListener("close", closed);
  document.querySelector("[data-close]").addEventListener("click", () => byId("details").close());
  byId("no-script").remove();
  byId("list").hidden = false;
  choose();
})();
