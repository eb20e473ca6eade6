// Links to a search: filters, ranking, and cases that are searched by. What was typed, and films, are in none.
//
// The address of the page never shows one by itself: ids may be those of patients, and browsers keep addresses. It is
// made when asked for, and taken out of the address bar when it has been read. What follows # is not sent to a server.

function linkTo(query) {
  const parts = new URLSearchParams([query?.id ?? []].flat().map((id) => ["item", id]));
  for (const [name, value] of new FormData(byId("filters"))) if (value !== "") parts.append(name, value);
  return `${location.origin}${location.pathname}#${parts}`;
}

function showLink(query) {
  byId("link-value").value = linkTo(query);
  byId("copy").hidden = navigator.clipboard === undefined; // a browser has one for this machine and over TLS
  byId("link-box").showModal();
  byId("link-value").select();
}

byId("copy").addEventListener("click", () => navigator.clipboard.writeText(byId("link-value").value));

// Sets the filters by the link in the address; null if the address has none.
function readLink() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (!parts.has("mode")) return null;
  const { elements } = byId("filters");
  for (const field of elements) {
    const values = parts.getAll(field.name);
    if (["checkbox", "radio"].includes(field.type)) field.checked = values.includes(field.value);
    else if (field.name) field.value = values[0] ?? "";
  }
  if (elements.mode.value === "") elements.mode.value = "labels";
  elements.match.disabled = false; // else it has no value
  const set = new URLSearchParams(new FormData(byId("filters")));
  const items = parts.getAll("item");
  parts.delete("item");
  return { items, complete: [...parts].every(([name, value]) => set.getAll(name).includes(value)) };
}
