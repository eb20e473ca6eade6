// The film that is searched by: chosen, dropped or pasted.

const MAX_UPLOAD_BYTES = 20 * 1024 ** 2;

let file = null;

function watchFilms(onFilm) {
  const take = (files) => {
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
      onFilm();
    }
  };
  byId("file").addEventListener("change", () => byId("file").files.length && take(byId("file").files));
  byId("unchoose").addEventListener("click", () => {
    forgetFile();
    byId("file").focus();
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    take(event.clipboardData.files);
  });
  watchDrags();
}

// Anywhere on the page: a film that misses the box must not replace the page.
function watchDrags() {
  let depth = 0; // of nested elements that the pointer entered
  const over = (entered) => {
    depth = entered;
    byId("drop").classList.toggle("over", depth > 0);
  };
  document.addEventListener("dragenter", () => over(depth + 1));
  document.addEventListener("dragleave", () => over(depth - 1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", () => over(0));
}

function showFile() {
  const preview = byId("preview");
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.hidden = true;
  preview.removeAttribute("src");
  preview.onload = () => {
    preview.hidden = false;
  };
  preview.onerror = () => {
    preview.onerror = null;
    showAsRead(file);
  };
  if (file !== null) preview.src = URL.createObjectURL(file);
  byId("chosen").textContent = file?.name ?? "";
  byId("chosen").hidden = file === null;
  byId("unchoose").hidden = file === null;
}

// DICOM, which no browser shows: the server sends a small picture of what it reads.
async function showAsRead(film) {
  try {
    const small = await (await request("api/preview", { method: "POST", body: filmForm(film) })).blob();
    if (file === film) byId("preview").src = URL.createObjectURL(small);
  } catch {
    // The search by the film says what is wrong with it.
  }
}

function forgetFile() {
  file = null;
  byId("file").value = "";
  showFile();
}
