// One hit, one card.

// on: what its buttons do, by name.
function card(hit, bits, on) {
  const { item } = hit;
  const title = element("h3", {}, element("span", { className: "rank" }, `${hit.rank}`), ` ${item.id}`);
  const similar = element("button", { type: "button", className: "similar" }, "Find similar", unseen(` to ${item.id}`));
  similar.addEventListener("click", () => on.similar(item.id));
  const tools = element("div", { className: "card-tools" }, similar, pickBox(item.id));
  return element(
    "li",
    { className: "card" },
    filmButton(item),
    element("div", { className: "details" }, title, measures(hit, bits), labels(hit, on.label), report(item), about(item), tools),
  );
}

function filmButton(item) {
  if (!item.has_image) return element("p", { className: "film none" }, "No image in this case");
  const image = film(item.id);
  const button = element("button", { type: "button", className: "film", "aria-label": `Enlarge the film of ${item.id}` }, image);
  button.addEventListener("click", () => showCase(item, image));
  image.addEventListener("error", () => {
    button.replaceWith(element("p", { className: "film none" }, "The picture is not stored in the archive"));
  });
  return button;
}

function measures(hit, bits) {
  const list = element("dl", { className: "measures" });
  const add = (name, ...value) => list.append(element("div", {}, element("dt", {}, name), element("dd", {}, ...value)));
  if (hit.distance !== null) {
    const bar = element("span", { className: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", hit.distance / bits);
    add("Distance", element("b", {}, `${hit.distance}`), ` of ${bits} bits`, bar);
  }
  if (hit.similarity !== null) add("Similarity", element("b", {}, hit.similarity.toFixed(2)));
  if (hit.reasons.length > 1 || hit.distance === null) add("Found", hit.why);
  return list;
}

function labels(hit, onLabel) {
  const shared = new Set(hit.shared_labels);
  const filtered = new Set(chosen("labels"));
  if (!hit.item.labels.length) return null;
  const chip = (name) => {
    const marks = shared.has(name) ? [element("span", { "aria-hidden": "true" }, "✓ "), unseen(" (shared with the query)")] : [null, null];
    const properties = { type: "button", title: "Filter by this label, or no longer", "aria-pressed": String(filtered.has(name)) };
    const button = element("button", properties, marks[0], name, marks[1]);
    button.addEventListener("click", () => onLabel(name));
    return element("li", { className: shared.has(name) ? "shared" : "" }, button);
  };
  const ordered = [...hit.item.labels].sort((one, other) => shared.has(other) - shared.has(one));
  return element("ul", { className: "labels", "aria-label": "Labels" }, ...ordered.map(chip));
}

const SHORT_REPORT = 160;

function report(item) {
  if (!item.has_text) return element("p", { className: "quiet" }, "No text in this case");
  if (item.text === null) return element("p", { className: "quiet" }, "The text is not stored in the archive");
  const body = element("p", { className: "report" }, item.text);
  if (item.text.length <= SHORT_REPORT) return body;
  body.classList.add("short");
  const more = element("button", { type: "button", className: "plain", "aria-expanded": "false" }, "Whole text");
  more.addEventListener("click", () => {
    const open = body.classList.toggle("short") === false;
    more.setAttribute("aria-expanded", String(open));
    more.firstChild.textContent = open ? "Less text" : "Whole text";
  });
  return element("div", {}, body, more);
}

function about(item) {
  const parts = [`group ${item.group}`, item.date, item.split && `${item.split} split`, item.licence].filter(Boolean);
  return element("p", { className: "about" }, parts.join(" · "));
}

function showCase(item, image) {
  byId("case-title").textContent = item.id;
  byId("case-film").replaceChildren(element("img", { src: image.src, alt: image.alt }));
  byId("case-text").textContent = item.text ?? "";
  byId("case").showModal();
}
