// Queries, one at a time; the state that the Back button walks through is kept here, and never in an address.

const PAGE_SIZE = 24;
const RETRY_MS = 5000;

const past = []; // {query, offset}: what was asked in this tab; filters are always those of the form
let present = -1;
let running = null;
let archive = null; // api/info

// --- asking

function remember(state, entry) {
  past.length = present + 1;
  present = past.push(state) - 1;
  history[`${present === 0 ? "replace" : entry}State`]({ present }, "", location.pathname);
}

// entry: "push" makes an entry of the history, "replace" takes the present one, null leaves it as it is.
async function ask(state, { entry = "push", focus = false } = {}) {
  if (entry !== null) remember(state, entry);
  running?.abort();
  const current = new AbortController();
  running = current;
  clearProblem();
  busy(true);
  say("Searching …");
  try {
    const { query } = state;
    const options = { ...searchOptions(query), offset: state.offset, limit: PAGE_SIZE };
    const result = await (await search(query, options, current.signal)).json();
    if (running !== current) return;
    byId("results-title").textContent = titleOf(query);
    await learn();
    forgetPicks(query);
    showResult(result, state.offset, PAGE_SIZE, archive.items, { similar: (id) => askLike([id]), label: filterBy });
    if (focus) showTop();
  } catch (error) {
    if (running !== current) return;
    if (error.name === "AbortError") return;
    failed(error, () => ask(state, { entry: null, focus }));
  } finally {
    if (running === current) {
      running = null;
      busy(false);
    }
  }
}

const fresh = (query) => ({ query, offset: 0 });

function askLike(ids, entry = "push") {
  byId("query").value = "";
  forgetFile();
  return ask(fresh({ id: ids.length === 1 ? ids[0] : ids }), { entry, focus: true });
}

function filterBy(label) {
  toggleLabel(label);
  again({ focus: true });
}

function titleOf(query) {
  if (Array.isArray(query.id)) return `Cases like these ${query.id.length}: ${query.id.join(", ")}`;
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
  const info = await getJson("api/info");
  if (archive?.version === info.version) return;
  const facets = await getJson("api/facets");
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
    await openLink();
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

// --- filters, pages, the Back button

function again({ focus = false } = {}) {
  showActive();
  if (past[present] === undefined || !byId("filters").checkValidity()) return;
  past[present] = fresh(past[present].query);
  ask(past[present], { entry: null, focus });
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
  ask(state, { entry: null, focus: true });
});

// --- what is done with the hits

byId("more").addEventListener("click", () => askLike([...picked]));
byId("link").addEventListener("click", () => showLink(past[present].query));
for (const format of ["csv", "html"]) byId(`save-${format}`).addEventListener("click", () => save(format, past[present]));

async function openLink() {
  const link = readLink();
  if (link === null) return;
  showActive();
  findLabels();
  // The browser has made an entry for the address, which the search takes over.
  if (link.items.length) {
    await askLike(link.items, "replace");
  } else {
    history.replaceState({ present }, "", location.pathname);
    if (past[present] === undefined) say("The filters of the link are set. Write a finding or choose a film.");
    else again();
  }
  if (!link.complete) showProblem("The link has filters that this archive does not know. They were left out.");
}
addEventListener("hashchange", openLink);

const wide = matchMedia("(min-width: 60rem)");
const unfold = () => {
  byId("options").open = wide.matches;
};
wide.addEventListener("change", unfold);
unfold();
watchFilms(() => ask(fresh({ file })));
start();
