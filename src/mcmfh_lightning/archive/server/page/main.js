// Queries, one at a time; the state that the Back button walks through is kept here, and never in an address.

const PAGE_SIZE = 24;
const MAX_UPLOAD_BYTES = 20 * 1024 ** 2;
const RETRY_MS = 5000;

const past = []; // {query, offset}: what was asked in this tab; filters are always those of the form
let present = -1;
let running = null;
let archive = null; // /api/info

// --- asking

async function ask(state, { remember = true, focus = false } = {}) {
  if (remember) {
    past.length = present + 1;
    present = past.push(state) - 1;
    history[present === 0 ? "replaceState" : "pushState"]({ present }, "");
  }
  running?.abort();
  const current = new AbortController();
  running = current;
  clearProblem();
  busy(true);
  say("Searching …");
  try {
    const { query } = state;
    const options = { ...searchOptions(query), offset: state.offset, limit: PAGE_SIZE };
    const result =
      query.file === undefined
        ? await searchJson({ ...query, ...options }, current.signal)
        : await searchImage(query.file, options, current.signal);
    if (running !== current) return;
    byId("results-title").textContent = titleOf(query);
    await learn();
    showResult(result, state.offset, PAGE_SIZE, archive.items, askLike);
    if (focus) showTop();
  } catch (error) {
    if (running !== current) return;
    if (error.name === "AbortError") return;
    failed(error, () => ask(state, { remember: false, focus }));
  } finally {
    if (running === current) {
      running = null;
      busy(false);
    }
  }
}

const fresh = (query) => ({ query, offset: 0 });

function askLike(id) {
  byId("query").value = "";
  forgetFile();
  ask(fresh({ id }), { focus: true });
}

function titleOf(query) {
  if (query.id !== undefined) return `Cases like ${query.id}`;
  return query.file === undefined ? `Cases like “${query.text}”` : "Cases like your film";
}

function showTop() {
  byId("results-title").focus({ preventScroll: true });
  byId("results-title").scrollIntoView({ block: "start" });
}

function failed(error, again) {
  clearResult();
  say("");
  if (!(error instanceof Problem)) {
    showProblem("The page failed; reload it.");
    throw error;
  }
  showProblem(error.message, error.status === 0 || error.status >= 500 ? [["Try again", again]] : []);
}

function cancel() {
  running.abort();
  running = null;
  busy(false);
  say("Canceled.");
}

// --- what is served

async function learn() {
  const info = await getJson("/api/info");
  if (archive?.version === info.version) return;
  const facets = await getJson("/api/facets");
  archive = info;
  byId("choices").hidden = false;
  byId("summary").textContent = `${count(info.items)} cases, ${info.num_bits}-bit codes, ${bytes(info.codes_bytes)}`;
  offerFacets(facets);
  offerExamples(facets, (name) => {
    byId("query").value = name;
    forgetFile();
    ask(fresh({ text: name }));
  });
  showActive();
}

let retry = null;

async function start() {
  try {
    await learn();
    clearProblem();
    say("Nothing asked yet.");
  } catch (error) {
    // A problem that is shown already is not shown again every few seconds: the button there may have the focus.
    if (byId("problem").firstChild?.textContent !== error.message) {
      failed(error, start);
      if (error.status === 503) say("Nothing to search yet. This page looks again by itself.");
    }
    clearTimeout(retry);
    if (error.status === 503) retry = setTimeout(() => archive === null && start(), RETRY_MS);
  }
}

// --- the text

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("query").value.trim();
  if (text) {
    forgetFile();
    ask(fresh({ text }));
  } else if (file !== null) {
    ask(fresh({ file }));
  } else {
    say("Write a finding or choose a film first.");
    byId("query").focus();
  }
});

byId("query").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("search").requestSubmit();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  if (running) cancel();
  else if (document.activeElement === byId("query")) byId("query").value = "";
});

// --- the film

let file = null;

function takeFile(files) {
  const [first] = files;
  if (first === undefined) {
    say("");
    showProblem("That is not a file. Drop a JPEG, PNG or DICOM file.");
  } else if (first.size > MAX_UPLOAD_BYTES) {
    say("");
    showProblem(`The film has ${bytes(first.size)}; the most is 20 MB. Send a smaller one.`);
  } else {
    file = first;
    byId("query").value = "";
    showFile();
    ask(fresh({ file }));
  }
}

function showFile() {
  const preview = byId("preview");
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.hidden = file === null;
  preview.removeAttribute("src");
  preview.onerror = () => {
    preview.hidden = true;
  };
  if (file !== null) preview.src = URL.createObjectURL(file);
  byId("chosen").textContent = file?.name ?? "";
  byId("chosen").hidden = file === null;
  byId("unchoose").hidden = file === null;
}

function forgetFile() {
  file = null;
  byId("file").value = "";
  showFile();
}

byId("file").addEventListener("change", () => byId("file").files.length && takeFile(byId("file").files));
byId("unchoose").addEventListener("click", () => {
  forgetFile();
  byId("file").focus();
});

// Anywhere on the page: a film that misses the box must not replace the page.
let depth = 0; // of nested elements that the pointer entered
document.addEventListener("dragenter", () => {
  depth += 1;
  byId("drop").classList.add("over");
});
document.addEventListener("dragleave", () => {
  depth -= 1;
  if (depth === 0) byId("drop").classList.remove("over");
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  byId("drop").classList.remove("over");
  takeFile(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length === 0) return;
  event.preventDefault();
  takeFile(event.clipboardData.files);
});

// --- filters, pages, the Back button

function again() {
  showActive();
  if (past[present] === undefined || !byId("filters").checkValidity()) return;
  past[present] = fresh(past[present].query);
  ask(past[present], { remember: false });
}

byId("filters").addEventListener("change", (event) => event.target.id !== "label-finder" && again());
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", () =>
  setTimeout(() => {
    findLabels();
    again();
  }),
);
byId("label-finder").addEventListener("input", findLabels);

function turn(pages) {
  const state = past[present];
  ask({ ...state, offset: state.offset + pages * PAGE_SIZE }, { focus: true });
}
byId("previous").addEventListener("click", () => turn(-1));
byId("next").addEventListener("click", () => turn(1));

addEventListener("popstate", (event) => {
  const state = past[event.state?.present];
  if (state === undefined) return;
  present = event.state.present;
  byId("query").value = state.query.text ?? "";
  ask(state, { remember: false, focus: true });
});

const wide = matchMedia("(min-width: 60rem)");
const unfold = () => {
  byId("options").open = wide.matches;
};
wide.addEventListener("change", unfold);
unfold();
start();
