// The answer to a search, or why there is none.

function showResult(result, offset, pageSize, items, on) {
  const { hits, total } = result;
  forgetPictures();
  byId("hits").replaceChildren(...hits.map((hit) => card(hit, result.num_bits, on)));
  byId("facts").replaceChildren(...facts(result, items));
  byId("facts").hidden = false;
  byId("tools").hidden = total === 0;
  const pages = Math.ceil(total / pageSize);
  const page = Math.floor(offset / pageSize) + 1;
  byId("pages").hidden = pages <= 1;
  byId("page").textContent = `Page ${count(page)} of ${count(pages)}`;
  byId("previous").disabled = offset === 0;
  byId("next").disabled = page >= pages;
  if (total === 0) {
    const none = result.match === "words" ? "No case has these words." : "No case is that near.";
    showProblem(result.candidates === 0 ? "No case passes these filters." : none, [
      ["Clear filters", () => byId("filters").reset()],
    ]);
    say("Nothing found.");
  } else {
    const shown = `${count(offset + 1)} to ${count(offset + hits.length)}`;
    say(`${count(total)} of ${count(result.candidates)} cases ranked, ${shown} shown.`);
  }
}

function facts(result, items) {
  const { timing } = result;
  const total = timing.encode + timing.search + timing.rerank + timing.fetch;
  const steps = [
    ["encoded", timing.encode],
    ["searched", timing.search],
    ["re-ranked", timing.rerank],
    ["fetched", timing.fetch],
  ];
  const size = `${result.num_bits} bits = ${count(result.code_bytes)} bytes an item, ${count(items)} items, ${bytes(items * result.code_bytes)}`;
  const found = result.explained.length ? [["Found", result.explained.join(" ")]] : [];
  if (result.query_tokens > result.query_tokens_read) {
    const read = `the encoder read the first ${count(result.query_tokens_read)}`;
    found.push(["Text cut", `it has ${count(result.query_tokens)} tokens; ${read}`]);
  }
  found.push(
    ["Time", `${milliseconds(total)}: ${steps.map(([name, seconds]) => `${name} ${milliseconds(seconds)}`).join(", ")}`],
    ["Codes", size],
  );
  if (result.reranked) found.push(["Order", `the nearest ${count(result.reranked)} by codes are ordered by embeddings`]);
  return found.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
}

function showProblem(message, actions = []) {
  const buttons = actions.map(([name, act]) => {
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", act);
    return button;
  });
  byId("problem").replaceChildren(element("p", {}, message), ...buttons);
}

function clearResult() {
  forgetPictures();
  byId("hits").replaceChildren();
  byId("facts").hidden = true;
  byId("tools").hidden = true;
  byId("pages").hidden = true;
}

const clearProblem = () => byId("problem").replaceChildren();

const say = (message) => {
  byId("status").textContent = message;
};

function busy(on) {
  byId("results").setAttribute("aria-busy", String(on));
  document.body.classList.toggle("busy", on);
}
