// Filters and settings: what the archive offers, and what of it is asked for.

const EXAMPLES = 8;

function choices(name, counts) {
  const before = new Set(chosen(name));
  byId(`${name}-set`).hidden = counts.length === 0;
  byId(name).replaceChildren(
    ...counts.map(({ name: value, items }) =>
      element(
        "label",
        { className: "check" },
        element("input", { type: "checkbox", name, value, checked: before.has(value) }),
        element("span", {}, value),
        element("span", { className: "number" }, count(items)),
      ),
    ),
  );
}

const chosen = (name) => [...byId("filters").querySelectorAll(`input[name="${name}"]:checked`)].map((box) => box.value);

function offerFacets(facets) {
  choices("labels", facets.labels);
  choices("licences", facets.licences);
  choices("splits", facets.splits);
  byId("label-finder").hidden = facets.labels.length <= EXAMPLES;
  byId("dates-set").hidden = facets.earliest === null;
  const { since, until } = byId("filters").elements;
  for (const field of [since, until]) {
    field.min = facets.earliest ?? "";
    field.max = facets.latest ?? "";
  }
}

function offerExamples(facets, onExample) {
  const frequent = facets.labels.filter(({ items }) => items > 0).slice(0, EXAMPLES);
  const buttons = frequent.map(({ name }) => {
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", () => onExample(name));
    return button;
  });
  byId("examples").replaceChildren(byId("examples-title"), ...buttons);
  byId("examples").hidden = buttons.length === 0;
}

// A radius is one of codes; words are those of a text.
function searchOptions(query) {
  const form = byId("filters").elements;
  const filters = {};
  const put = (name, value) => {
    if (value !== "" && value.length !== 0) filters[name] = value;
  };
  put(form.mode.value, chosen("labels"));
  put("licences", chosen("licences"));
  put("splits", chosen("splits"));
  put("since", form.since.value);
  put("until", form.until.value);
  if (["image", "both"].includes(form.present.value)) filters.has_image = true;
  if (["text", "both"].includes(form.present.value)) filters.has_text = true;
  const options = { filters };
  if (form.against.value !== "") options.against = form.against.value;
  if (form.match.value !== "" && form.k.value !== "" && query?.text !== undefined) options.match = form.match.value;
  if (form.k.value === "") options.radius = form.radius.valueAsNumber;
  else options.k = Number(form.k.value);
  if (!form.rerank.checked) options.rerank = 0;
  return options;
}

function showActive() {
  const { filters } = searchOptions();
  const number = Object.values(filters).reduce((sum, value) => sum + (Array.isArray(value) ? value.length : 1), 0);
  byId("active").textContent = number ? `(${number} set)` : "";
  byId("radius-set").hidden = byId("k").value !== "";
  byId("match").disabled = byId("k").value === "";
}

function toggleLabel(name) {
  const box = [...byId("labels").querySelectorAll("input")].find(({ value }) => value === name);
  if (box === undefined) return;
  box.checked = !box.checked;
  findLabels();
}

function findLabels() {
  const wanted = byId("label-finder").value.trim().toLowerCase();
  for (const label of byId("labels").children) {
    const box = label.querySelector("input");
    label.hidden = !box.checked && !box.value.toLowerCase().includes(wanted);
  }
}
