// Hits as files, which the server writes as the command line does.

const MAX_ROWS = 1000; // of the whole ranking, as CSV

async function save(format, { query, offset }) {
  const part = format === "csv" ? { offset: 0, limit: MAX_ROWS } : { offset, limit: PAGE_SIZE };
  say("Saving …");
  clearProblem();
  try {
    const answer = await search(query, { ...searchOptions(query), ...part, format });
    download(await answer.blob(), `hits.${format}`);
    say(`Saved as hits.${format}.`);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    say("");
    showProblem(error.message);
  }
}

function download(content, name) {
  const url = URL.createObjectURL(content);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser has read it by then
}
