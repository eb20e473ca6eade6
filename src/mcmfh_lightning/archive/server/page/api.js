// Requests to the server that the page came from, with the token if there is one. Paths are relative: there may be
// several archives, each with its page.

const TOKEN_KEY = "mcmfh-archive-token";

class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0: no answer at all
  }
}

const token = {
  get: () => sessionStorage.getItem(TOKEN_KEY),
  set: (value) => sessionStorage.setItem(TOKEN_KEY, value),
  drop: () => sessionStorage.removeItem(TOKEN_KEY),
};

// Resolves with what the user gave; one prompt however many requests wait for it.
let asking = null;

function askToken(message) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("token");
    byId("token-error").textContent = message;
    byId("token-value").value = "";
    // Closing without a token asks again: without one there is nothing to see.
    dialog.oncancel = (event) => event.preventDefault();
    byId("token-form").onsubmit = () => {
      token.set(byId("token-value").value.trim());
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}

async function request(path, options = {}) {
  for (;;) {
    const sent = token.get();
    const headers = { ...options.headers };
    if (sent !== null) headers.Authorization = `Bearer ${sent}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "The server does not answer. Is mcmfh-archive serve still running?");
    }
    if (response.status === 401) {
      if (token.get() === sent) token.drop();
      if (token.get() === null) await askToken(sent === null ? "" : "That token is not the right one.");
      continue;
    }
    if (response.ok) return response;
    const answer = await response.json().catch(() => ({}));
    throw new Problem(response.status, answer.detail ?? `The server answered ${response.status}.`);
  }
}

const getJson = async (path) => (await request(path)).json();

function filmForm(film) {
  const form = new FormData();
  form.append("image", film, "film"); // its own name may be a patient's
  return form;
}

function search({ file: film, ...query }, options, signal) {
  if (film === undefined) {
    const headers = { "Content-Type": "application/json" };
    return request("api/search", { method: "POST", headers, body: JSON.stringify({ ...query, ...options }), signal });
  }
  const form = filmForm(film);
  form.append("options", JSON.stringify(options));
  return request("api/search/image", { method: "POST", body: form, signal });
}

const picturePath = (id) => `api/pictures/${encodeURIComponent(id)}`;
