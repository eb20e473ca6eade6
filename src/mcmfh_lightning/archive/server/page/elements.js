// The page is built from nodes, never from markup in strings: what an archive or a user wrote is only ever text.

const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const unseen = (text) => element("span", { className: "unseen" }, text);

const count = (number) => number.toLocaleString("en");

function bytes(number) {
  const units = ["bytes", "kB", "MB", "GB"];
  let step = 0;
  while (number >= 1000 && step < units.length - 1) {
    number /= 1000;
    step += 1;
  }
  return `${number >= 100 || step === 0 ? Math.round(number) : number.toFixed(1)} ${units[step]}`;
}

function milliseconds(seconds) {
  const value = seconds * 1000;
  return `${value >= 10 ? Math.round(value) : value.toFixed(1)} ms`;
}
