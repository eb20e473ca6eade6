// Cases that are chosen to search by, kept while pages turn and filters change.

const MAX_PICKS = 20;

const picked = new Set();
let pickedAmong = null; // the query whose hits they are

function pickBox(id) {
  const box = element("input", { type: "checkbox", checked: picked.has(id) });
  box.addEventListener("change", () => {
    if (box.checked && picked.size === MAX_PICKS) {
      box.checked = false;
      say(`${MAX_PICKS} cases can be chosen at most.`);
    }
    picked[box.checked ? "add" : "delete"](id);
    showPicked();
  });
  return element("label", { className: "pick" }, box, element("span", {}, "Choose", unseen(` ${id}`)));
}

function showPicked() {
  byId("more").disabled = picked.size === 0;
  byId("picked").textContent = picked.size ? ` (${picked.size} chosen)` : "";
}

function forgetPicks(query) {
  if (pickedAmong !== query) picked.clear();
  pickedAmong = query;
  showPicked();
}
